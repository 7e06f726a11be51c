"""Clients that ask any member, whoever leads: each write is one transaction, whose outcome comes from that member."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.model.commands import PutRecord
from tests.simulation_raft.clients import Call, Clients
from tests.simulation_raft.forwarding import REGISTERS, WRITTEN
from tests.simulation_raft.linearizability import NEVER, Operation
from tests.simulation_raft.violation import Violation

if TYPE_CHECKING:
    from tests.simulation_raft.node import SimulatedNode

FORWARDERS = 4
PATIENCE_S = 1.5
GONE_S = 2.0
"""By then the member that was asked has answered, or is gone."""
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Forwarders(Clients):
    """`acknowledged` counts writes whose outcome came."""

    keys = ("forwarded-1", "forwarded-2")

    def start(self) -> None:
        self.token = 1 << 40  # the other clients count from 0
        for client in range(FORWARDERS):
            self.world.at(self.world.dice.random() * 0.2, self.act, client)

    def act(self, client: int) -> None:
        """Begin the next operation of a client, at any member."""
        dice = self.world.dice
        node = dice.choice(self._nodes())
        if not node.is_running or node.desk is None or not node.desk.is_open:
            self._later(client, 0.05)
        elif dice.random() < 0.7:
            self._write(client, node)
        else:
            self._read(client, node)

    def _nodes(self) -> list[SimulatedNode]:
        """Whom to ask: anybody while things fail; members once they are mended, since no other will ever answer.

        Who was removed and not told so forwards for nothing here. The real transport refuses it, and so it learns.
        """
        leader = None if self.world.faults.active else self.world.faults.leader()
        if leader is None:
            return self.world.all_nodes
        return [self.world.nodes[name] for name in leader.core._state.log.members.all]

    def _write(self, client: int, node: SimulatedNode) -> None:
        assert node.desk is not None
        now, self.count = self.world.now, self.count + 1
        key, value = self.world.dice.choice(self.keys), f"{client}.{self.count}"
        call = Call(self, client, key, Operation(now, NEVER, True, value), value.encode())
        call.rest = 1
        self.histories[key].append(call.operation)
        commands = [
            PutRecord(at=BEGINNING, namespace=REGISTERS, key=key, value=call.data),
            PutRecord(at=BEGINNING, namespace=WRITTEN, key=value, value=b""),
        ]
        node.desk.calls.append((node.desk.proposals.add(commands, None, (), now + PATIENCE_S), call))
        self.world.at(now + GONE_S, self.give_up, call)
        node.pump()

    def write_done(self, call: Call, index: int, *, same: bool) -> None:
        """`index` is where it took effect; not `same`: it has none, for sure."""
        invariants = self.world.invariants
        if same:
            self.acknowledged += 1
            call.operation.end = self.world.now
            invariants.outcomes[call.data.decode()] = index
        else:
            if call.data.decode() in invariants.effects:
                raise Violation(f"phantom: {call.data!r} took effect and was reported to have failed for sure")
            invariants.without_effect.add(call.data.decode())
            self.histories[call.key].remove(call.operation)
        self._next(call)

    def check_kept(self) -> None:
        """Each outcome names the place where the write took effect."""
        invariants = self.world.invariants
        for value, index in invariants.outcomes.items():
            if invariants.effects.get(value) != index:
                raise Violation(
                    f"acknowledged {value!r} took effect at {invariants.effects.get(value)}, not at {index}"
                )
