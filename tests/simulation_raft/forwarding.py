"""What a member puts between its callers and the core, in virtual time: the real proposals, frames and state machine.

A caller may ask any member. One that does not lead forwards to the leader, over a network that loses, doubles and
delays; what got lost is proposed again, and must take effect once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.adapters.raft import answers
from reconciler.adapters.raft.frames import Forward, NotTaken, Placed
from reconciler.adapters.raft.proposals import Proposals
from reconciler.adapters.raft.settings import Limits
from reconciler.consensus.outputs import Envelope, Role, RoleChange
from reconciler.consensus.values import Entry, EntryKind
from reconciler.model.changes import TableKind
from reconciler.model.commands import Applied, Outcome
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.store.machine import State, apply, pass_over
from reconciler.store.snapshot import decode, encode, freeze
from tests.simulation_raft.violation import Violation

if TYPE_CHECKING:
    from tests.simulation_raft.clients import Call
    from tests.simulation_raft.node import SimulatedNode

REGISTERS = "registers"
WRITTEN = "written"
"""Namespaces: of registers, and of values with which a register was ever written."""
LIMITS = Limits(
    entry_bytes=600,
    entry_transactions=3,
    entries_under_way=2,
    forwards_under_way=2,
    forward_answer_s=0.3,
    guests_bytes=900,
)
"""Small, so that they are met."""

LOOP = asyncio.new_event_loop()
"""Futures want one. It never runs: nobody waits for them, they are looked at."""


def is_forwarded(entry: Entry) -> bool:
    """Whether an entry holds transactions of callers, not one register's value: [key, value] of a short key."""
    return entry.kind is EntryKind.NORMAL and not entry.data.startswith(b"\x92\xa1")


class Desk:
    """One life of a member, as its callers and the other members' proposals know it. As `adapters.raft.engine`."""

    def __init__(self, node: SimulatedNode) -> None:
        self.node = node
        self.state = State()
        self.role = RoleChange(Role.FOLLOWER, 0, "")
        self.calls: list[tuple[asyncio.Future[Outcome], Call]] = []
        self.proposals = Proposals(
            f"{node.name}.{node.life}", LIMITS, node.world.settings.entry_bytes_max, self._send, LOOP.create_future
        )
        node.world.at(node.world.now + LIMITS.sweep_s, self._sweep, node.life)

    @property
    def is_open(self) -> bool:
        return self.role.role is not Role.REMOVED

    # --- what the node hands on ---

    def feed(self) -> None:
        now = self.node.world.now
        if self.role.role is Role.LEADER:
            self.proposals.propose(self.node.core, now)
        elif self.role.leader:
            self.proposals.forward(self.role.leader, self._send, now)

    def role_changed(self, role: RoleChange) -> None:
        self.role = role
        self.proposals.on_leader(role.leader, role.term)
        if role.role is Role.REMOVED:
            self.proposals.fail(lambda: answers.removed(self.node.name))

    def receive(self, sender: str, frame: object) -> bool:
        """Take a frame, if it is one about proposals."""
        if isinstance(frame, Forward):
            if self.role.role is not Role.LEADER or not self.proposals.take_guests(sender, frame):
                self._send(sender, NotTaken(frame.number))
        elif isinstance(frame, Placed):
            self.proposals.on_placed(sender, frame, self.node.applied)
        elif isinstance(frame, NotTaken):
            self.proposals.on_not_taken(frame, self.node.world.now)
        else:
            return False
        return True

    def apply(self, entry: Entry) -> None:
        if not is_forwarded(entry):
            pass_over(self.state, entry.index)
            self.proposals.resolve(entry.index, entry.term, ())
            return
        result = apply(self.state, entry.index, entry.data)
        for change in result.changes:
            namespace, _, value = change.id.partition("/")
            if change.kind is TableKind.RECORD and namespace == WRITTEN:
                self.node.world.invariants.took_effect(value, entry.index)
        self.proposals.resolve(entry.index, entry.term, result.outcomes)

    def installed(self) -> None:
        self.proposals.propose_again()

    def _send(self, to: str, frame: Forward | Placed | NotTaken) -> bool:
        self.node.world.network.send(self.node, [Envelope(to, frame)])  # type: ignore[arg-type]
        return True

    def _sweep(self, life: int) -> None:
        node = self.node
        if not node.up or node.life != life or not self.is_open:
            return
        node.world.at(node.world.now + LIMITS.sweep_s, self._sweep, life)
        if not node.paused:
            self.proposals.sweep(node.world.now, lambda: answers.no_leader(node.name, 0))
            node.pump()

    # --- callers ---

    def settle(self) -> None:
        """Tell callers what came of it."""
        done = [one for one in self.calls if one[0].done()]
        if not done:
            return
        self.calls = [one for one in self.calls if not one[0].done()]
        for future, call in done:
            error = future.exception()
            if error is None:
                outcome = future.result()
                if not isinstance(outcome, Applied):
                    raise Violation(f"{call.data!r} was refused: {outcome}")
                call.owner.write_done(call, outcome.index, same=True)
            elif isinstance(error, SwarmctlError) and error.code is not ErrorCode.RAFT_OUTCOME_UNKNOWN:
                call.owner.write_done(call, 0, same=False)

    # --- the state ---

    def value_of(self, key: str) -> str | None:
        record = self.state.tables.records.get(f"{REGISTERS}/{key}")
        return record.value.decode() if record is not None else None

    def all_values(self) -> list[tuple[str, bytes]]:
        return [(key, record.value) for key, record in sorted(self.state.tables.records.items())]

    def dump(self) -> bytes:
        return b"".join(encode(freeze(self.state)))

    def load(self, data: bytes) -> None:
        self.state = decode([data])
