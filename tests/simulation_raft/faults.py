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
        kinds = [
            self.crash_some, self.crash_some, self.crash_leader, self.partition, self.partition, self.isolate_leader,
            self.cut_link, self.weather, self.slow_disk, self.pause_some, self.transfer, self.change_members,
            self.change_members,
            self.hasty_operator,
        ]  # fmt: skip
        # Swarm testing (Groce and others 2012): leaving some kinds out of each run finds more than all in every run.
        self.kinds = world.dice.sample(kinds, world.dice.randint(3, len(kinds)))
        self.crash_share = world.dice.choice((0.0, 0.0, 0.01, 0.1))
        """Of the moments between sending and syncing something, those at which a node crashes."""
        self.isolate_share = world.dice.choice((0.0, 0.0, 0.3))
        """Of new leaders, those that are cut off within milliseconds."""

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
        self.world.at(self.world.now + self.world.dice.choice((0.01, 0.3, 1.5)), self.restart, node, life)

    def crash_point(self, node: SimulatedNode, *, hard: bool) -> None:
        """A node has sent what may go at once, and not yet synced the rest."""
        share = self.crash_share if hard else self.crash_share / 10
        if self.active and share and self.world.dice.random() < share:
            self.world.at(self.world.now + self.world.dice.choice((0.0, 0.001, 0.004)), self.crash, node)

    def elected(self, node: SimulatedNode) -> None:
        if self.active and self.isolate_share and self.world.dice.random() < self.isolate_share:
            self.world.at(self.world.now + self.world.dice.choice((0.0, 0.002, 0.008)), self.isolate, node)

    def restart(self, node: SimulatedNode, life: int) -> None:
        if not node.up and node.life == life and node.name in self.world.nodes:
            node.start()

    def crash_some(self) -> None:
        dice, nodes = self.world.dice, self.world.all_nodes
        count = len(nodes) if dice.random() < 0.2 else dice.randint(1, max(1, len(nodes) // 2))
        for node in dice.sample(nodes, count):
            self.crash(node)

    def crash_leader(self) -> None:
        leader = self.leader()
        if leader is not None:
            self.crash(leader)

    def cut_link(self) -> None:
        """Two nodes, mostly the leader and another, no longer hear each other, or one not the other."""
        dice, names = self.world.dice, list(self.world.nodes)
        leader = self.leader()
        one = leader.name if leader is not None and dice.random() < 0.7 else dice.choice(names)
        other = dice.choice(names)
        cut = {(one, other)}
        if dice.random() < 0.7:
            cut.add((other, one))
        self._cut(cut)

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
        if leader is not None:
            self.isolate(leader)

    def isolate(self, leader: SimulatedNode) -> None:
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
        """Ask a leader to add, promote or remove, sometimes several times at once: it must refuse what is too early."""
        leader = self.leader()
        for _ in range(self.world.dice.choice((1, 1, 3))):
            if leader is not None and leader.is_running and leader.core._state.role is Role.LEADER:
                self._change(leader)

    def _change(self, leader: SimulatedNode) -> None:
        dice, world = self.world.dice, self.world
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
        leader.core.change_members(change, world.now)
        leader.pump()

    def hasty_operator(self) -> None:
        """The leader is cut off, and is asked to remove all that it no longer hears, one after the other."""
        leader = self.leader()
        if leader is None:
            return
        self.isolate(leader)
        for name in leader.core._state.log.members.voters:
            leader.core.change_members(MemberChange(MemberVerb.REMOVE, name), self.world.now)
        leader.pump()

    def heal(self) -> None:
        """Everything works again: nodes run, disks are fast, the network is whole."""
        self.active = False
        self.world.crashes_allowed = False
        self.world.network.calm()
        for node in self.world.all_nodes:
            node.disk.slow = self.world.slow_disks = False
            if node.paused:
                node.resume()
            elif not node.up:
                node.start()
