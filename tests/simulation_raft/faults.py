"""What goes wrong, by the dice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.consensus.outputs import MemberChange, MemberVerb, Role
from tests.simulation_raft.node import SimulatedNode

if TYPE_CHECKING:
    from tests.simulation_raft.world import World

NODES_MAX = 7


class Faults:
    def __init__(self, world: World) -> None:
        self.world = world
        self.active = True
        self.kinds = (
            [self.crash_some] * 4 + [self.partition] * 4 + [self.isolate_leader] * 3 + [self.weather] * 3
            + [self.slow_disk] * 2 + [self.pause_some] * 3 + [self.transfer] * 2 + [self.change_members] * 5
        )  # fmt: skip

    def start(self) -> None:
        self.world.at(0.8, self.strike)

    def strike(self) -> None:
        if self.active:
            self.world.dice.choice(self.kinds)()
            self.world.at(self.world.now + self.world.dice.expovariate(1 / self.world.peace_s), self.strike)

    def leader(self) -> SimulatedNode | None:
        leaders = [node for node in self.world.all_nodes if node.is_running and node.core._state.role is Role.LEADER]
        return self.world.dice.choice(leaders) if leaders else None

    def crash(self, node: SimulatedNode) -> None:
        if not node.up:
            return
        node.crash()
        life = node.life
        self.world.at(self.world.now + self.world.dice.uniform(0.01, 2.0), self.restart, node, life)

    def restart(self, node: SimulatedNode, life: int) -> None:
        if not node.up and node.life == life and node.name in self.world.nodes:
            node.start()

    def crash_some(self) -> None:
        dice, nodes = self.world.dice, self.world.all_nodes
        leader = self.leader()
        if leader is not None and dice.random() < 0.4:
            self.crash(leader)
            return
        count = len(nodes) if dice.random() < 0.2 else dice.randint(1, max(1, len(nodes) // 2))
        for node in dice.sample(nodes, count):
            self.crash(node)

    def partition(self) -> None:
        dice, names = self.world.dice, list(self.world.nodes)
        dice.shuffle(names)
        middle = dice.randint(1, max(1, len(names) - 1))
        one, other = names[:middle], names[middle:]
        cut = {(left, right) for left in one for right in other}
        if dice.random() < 0.6:
            cut |= {(right, left) for left, right in cut}
        self._cut(cut)

    def isolate_leader(self) -> None:
        leader = self.leader()
        if leader is None:
            return
        others = [name for name in self.world.nodes if name != leader.name]
        cut = {(leader.name, name) for name in others}
        if self.world.dice.random() < 0.7:
            cut |= {(name, leader.name) for name in others}
        self._cut(cut)

    def _cut(self, cut: set[tuple[str, str]]) -> None:
        self.world.network.cut |= cut
        self.world.at(self.world.now + self.world.dice.uniform(0.2, 3.0), self._mend, cut)

    def _mend(self, cut: set[tuple[str, str]]) -> None:
        self.world.network.cut -= cut

    def weather(self) -> None:
        dice, network = self.world.dice, self.world.network
        if dice.random() < 0.3:
            network.loss = network.doubling = network.lateness = 0.0
            return
        network.loss = dice.choice((0.0, 0.02, 0.1, 0.3))
        network.doubling = dice.choice((0.0, 0.1, 0.3))
        network.lateness = dice.choice((0.0, 0.1, 0.5))
        network.late_s = dice.choice((0.05, 0.3, 1.5))

    def slow_disk(self) -> None:
        node = self.world.dice.choice(self.world.all_nodes)
        node.disk.slow = not node.disk.slow

    def pause_some(self) -> None:
        dice = self.world.dice
        node = self.leader() if dice.random() < 0.5 else dice.choice(self.world.all_nodes)
        if node is None or not node.is_running:
            return
        node.pause()
        self.world.at(self.world.now + dice.choice((0.3, 0.9, 1.5, 3.0)) * (0.5 + dice.random()), self._resume, node)

    def _resume(self, node: SimulatedNode) -> None:
        if node.up and node.paused:
            node.resume()

    def transfer(self) -> None:
        leader = self.leader()
        if leader is not None:
            leader.core.transfer(self.world.dice.choice(list(self.world.nodes)), self.world.now)
            leader.pump()

    def change_members(self) -> None:
        """Add, promote or remove. A removed node that nobody needs is switched off at some time."""
        dice, world, leader = self.world.dice, self.world, self.leader()
        if leader is None:
            return
        members = leader.core._state.log.members
        roll = dice.random()
        if roll < 0.35 and len(members.all) < NODES_MAX:
            name = f"n{len(world.everybody) + 1}"
            change = MemberChange(MemberVerb.ADD, name)
            world.add_node(name)
        elif roll < 0.75 and members.learners:
            change = MemberChange(MemberVerb.PROMOTE, dice.choice(members.learners))
        else:
            change = MemberChange(MemberVerb.REMOVE, dice.choice(members.all))
            if change.verb is MemberVerb.REMOVE and len(members.voters) <= 2 and change.node in members.voters:
                return
        leader.core.change_members(change, world.now)
        leader.pump()

    def heal(self) -> None:
        """Everything works again: nodes run, disks are fast, the network is whole."""
        self.active = False
        self.world.crashes_allowed = False
        self.world.network.calm()
        for node in self.world.all_nodes:
            node.disk.slow = False
            if node.paused:
                node.resume()
            elif not node.up:
                node.start()
