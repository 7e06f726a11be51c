"""Clients with unique commands: they write and read registers, and remember what they were told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from reconciler.consensus.outputs import Refused
from tests.simulation_raft.linearizability import NEVER, Operation, is_linearizable
from tests.simulation_raft.violation import Violation

if TYPE_CHECKING:
    from tests.simulation_raft.node import SimulatedNode
    from tests.simulation_raft.world import World

CLIENTS = 4
KEYS = ("a", "b", "c")
PATIENCE_S = 1.2
BATCH_SHARE = 0.15


class Call:
    """One operation under way. `open` until it is answered or given up."""

    __slots__ = ("client", "data", "key", "open", "operation", "owner", "rest")

    def __init__(self, owner: Clients, client: int, key: str, operation: Operation, data: bytes) -> None:
        self.owner = owner
        self.client = client
        self.key = key
        self.operation = operation
        self.data = data
        self.open = True
        self.rest = 0


class Clients:
    keys: tuple[str, ...] = KEYS

    def __init__(self, world: World) -> None:
        self.world = world
        self.histories: dict[str, list[Operation]] = {key: [] for key in self.keys}
        self.count = 0
        self.token = 0
        self.acknowledged = 0
        self.reads = 0
        self.targets = [""] * CLIENTS
        self.active = True

    def start(self) -> None:
        for client in range(CLIENTS):
            self.world.at(self.world.dice.random() * 0.2, self.act, client)

    def _later(self, client: int, wait_s: float) -> None:
        if self.active:
            self.world.at(self.world.now + wait_s, self.act, client)

    def act(self, client: int) -> None:
        """Begin the next operation of a client, at the node it believes to lead, or at any."""
        dice = self.world.dice
        node = self.world.nodes.get(self.targets[client])
        if node is None or not node.is_running or dice.random() < 0.1:
            node = dice.choice(self.world.all_nodes)
        if not node.is_running:
            self.targets[client] = ""
            self._later(client, 0.05)
            return
        if dice.random() < 0.55:
            self._write(client, node)
        else:
            self._read(client, node)

    def _write(self, client: int, node: SimulatedNode) -> None:
        dice = self.world.dice
        calls = []
        for _ in range(3 if dice.random() < BATCH_SHARE else 1):
            self.count += 1
            key, value = dice.choice(KEYS), f"{client}.{self.count}"
            calls.append(
                Call(
                    self,
                    client,
                    key,
                    Operation(self.world.now, NEVER, True, value),
                    msgspec.msgpack.encode((key, value)),
                )
            )
        answer = node.core.propose([call.data for call in calls], self.world.now)
        if isinstance(answer, Refused):
            for call in calls:
                self.world.invariants.not_applied(call.data)
            self.targets[client] = answer.leader
            self._later(client, 0.05)
            return
        self.targets[client] = node.name
        for place, call in enumerate(calls):
            node.waiting[answer.first_index + place] = (answer.term, call)
            self.histories[call.key].append(call.operation)
        calls[-1].rest = 1
        self.world.at(self.world.now + PATIENCE_S, self.give_up, calls[-1])
        node.pump()

    def write_done(self, call: Call, index: int, *, same: bool) -> None:
        if same:
            self.acknowledged += 1
            call.operation.end = self.world.now
            self.world.invariants.acknowledged[call.data] = index
        else:
            self.world.invariants.not_applied(call.data)
            self.histories[call.key].remove(call.operation)
        self._next(call)

    def _read(self, client: int, node: SimulatedNode) -> None:
        self.token += 1
        call = Call(self, client, self.world.dice.choice(self.keys), Operation(self.world.now, NEVER, False, None), b"")
        call.rest = 1
        node.reading[self.token] = call
        refused = node.core.read(self.token, self.world.now)
        if refused is not None:
            del node.reading[self.token]
            self.targets[client] = refused.leader
            self._later(client, 0.05)
            return
        self.world.at(self.world.now + PATIENCE_S, self.give_up, call)
        node.pump()

    def read_done(self, node: SimulatedNode, call: Call, index: int) -> None:
        if index:
            self.reads += 1
            call.operation.value = node.value_of(call.key)
            call.operation.end = self.world.now
            self.histories[call.key].append(call.operation)
        self._next(call)

    def give_up(self, call: Call) -> None:
        """Nobody knows whether it took place; the client goes on, elsewhere. A late answer still counts."""
        if call.open:
            self.targets[call.client] = ""
            self._next(call)

    def _next(self, call: Call) -> None:
        if call.open and call.rest:
            self._later(call.client, 0.02 + self.world.dice.random() * self.world.think_s)
        call.open = False

    def check_kept(self) -> None:
        """What was acknowledged is where it was."""
        for data, index in self.world.invariants.acknowledged.items():
            if self.world.invariants.committed[index].data != data:
                raise Violation(f"acknowledged {data!r} is lost")

    def check(self) -> None:
        """Linearizability of each register, and that the acknowledged is kept."""
        self.check_kept()
        for key, history in self.histories.items():
            if not is_linearizable(history):
                raise Violation(f"the history of register {key} is not linearizable")
