"""Proposals of this member's callers, and of other members: from the call to the outcome.

A leader puts what waits into entries, many callers into one. A follower forwards it, many callers in one frame, and is
told where in the log it went. Both answer their callers from what they apply themselves. Whatever was lost on the way
is proposed again: the state machine knows each by (client, sequence), and gives the first outcome once more.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from reconciler.adapters.raft import answers
from reconciler.adapters.raft.frames import Forward, NotTaken, Placed
from reconciler.adapters.raft.settings import Limits
from reconciler.consensus.outputs import Proposed, Refused
from reconciler.consensus.values import NodeId
from reconciler.model.commands import Command, Outcome
from reconciler.model.errors import SwarmctlError
from reconciler.model.transactions import Expectation, Transaction
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.sessions import OUTCOMES_PER_CLIENT_MAX

TRANSACTION_OVERHEAD_BYTES = 5
"""What an entry adds to each transaction: the length in front of a binary."""
ENTRY_OVERHEAD_BYTES = 16
"""What an entry adds to all of them."""


class ProposingCore(Protocol):
    """A consensus core, as far as proposals need it."""

    def propose(self, datas: Sequence[bytes], now_s: float, /) -> Proposed | Refused:
        """Put entries into the log, all or none."""
        ...


class Proposal(msgspec.Struct, eq=False):
    """One caller's transaction. `sent` counts the attempts of which nobody has said that they have no effect."""

    future: asyncio.Future[Outcome]
    data: bytes
    sequence: int
    due_s: float
    sent: int = 0


@dataclass(slots=True)
class Guests:
    """A forward of another member, to be proposed here."""

    sender: NodeId
    forward: Forward
    size: int


@dataclass(slots=True)
class Place:
    """Where proposals are in the log: from position `first` of an entry on, if that is still of `term` when applied."""

    term: int
    first: int
    proposals: list[Proposal]


@dataclass(slots=True)
class _Batch:
    """What goes into one entry or one forward."""

    own: list[Proposal] = field(default_factory=list)
    guests: list[Guests] = field(default_factory=list)
    size: int = 0
    count: int = 0

    def datas(self) -> list[bytes]:
        datas = [proposal.data for proposal in self.own]
        for guests in self.guests:
            datas += guests.forward.transactions
        return datas


class Proposals:
    """All that is under way here. Belongs to the event loop."""

    def __init__(
        self,
        client: str,
        limits: Limits,
        entry_bytes_max: int,
        send: Callable[[NodeId, Placed | NotTaken], bool],
        new_future: Callable[[], asyncio.Future[Outcome]] | None = None,
    ) -> None:
        """`client` is different in each life of each member. `send` answers other members' forwards.

        `new_future` makes what callers wait for; None: of the loop that runs.
        """
        self._client = client
        self._limits = limits
        self._transaction_bytes_max = entry_bytes_max - TRANSACTION_OVERHEAD_BYTES - ENTRY_OVERHEAD_BYTES
        self._send = send
        self._new_future = new_future or asyncio.get_running_loop().create_future
        self._sequence = 0
        self._open: deque[Proposal] = deque()  # in order of their sequence; those at the front are not done
        self._waiting: deque[Proposal] = deque()
        self._waiting_bytes = 0
        self._guests: deque[Guests] = deque()
        self._guests_bytes = 0
        self._places: dict[int, list[Place]] = {}
        self._forwards: dict[int, tuple[float, list[Proposal]]] = {}
        # Not from 0: a leader may still answer forwards of this member's life before.
        self._number = int.from_bytes(os.urandom(6), "little")
        self._hold_until_s = 0.0
        self._leader: tuple[NodeId, int] = ("", 0)

    # --- callers ---

    def add(
        self, commands: Sequence[Command], epoch: int | None, expectations: Sequence[Expectation], due_s: float
    ) -> asyncio.Future[Outcome]:
        """Take a transaction. Raises SwarmctlError: request-refused, raft-overloaded."""
        limits = self._limits
        if len(self._waiting) >= limits.waiting_count or self._waiting_bytes >= limits.waiting_bytes:
            raise answers.overloaded("proposals wait")
        sequence = self._sequence + 1
        data = encode_transaction(
            Transaction(self._client, sequence, tuple(commands), epoch, tuple(expectations)),
        )
        if len(data) > self._transaction_bytes_max:
            raise answers.too_large(len(data), self._transaction_bytes_max)
        self._sequence = sequence
        proposal = Proposal(self._new_future(), data, sequence, due_s)
        self._open.append(proposal)
        self._waiting.append(proposal)
        self._waiting_bytes += len(data)
        return proposal.future

    # --- leading ---

    def propose(self, core: ProposingCore, now_s: float) -> None:
        """Put what waits into the log, as entries of a good size."""
        while (self._waiting or self._guests) and len(self._places) < self._limits.entries_under_way:
            batch = self._take()
            if not batch.count:
                return
            answer = core.propose([encode_entry(batch.datas())], now_s)
            if isinstance(answer, Refused):
                self._give_back(batch)
                return
            self._place(batch, answer)

    def _place(self, batch: _Batch, answer: Proposed) -> None:
        for proposal in batch.own:
            proposal.sent += 1
        self._places[answer.first_index] = [Place(answer.term, 0, batch.own)]
        first = len(batch.own)
        for guests in batch.guests:
            self._send(guests.sender, Placed(guests.forward.number, answer.term, answer.first_index, first))
            first += len(guests.forward.transactions)

    def take_guests(self, sender: NodeId, forward: Forward) -> bool:
        """Take another member's forward, to be proposed here; False if there is no room."""
        size = sum(map(len, forward.transactions)) + TRANSACTION_OVERHEAD_BYTES * len(forward.transactions)
        count = sum(len(guests.forward.transactions) for guests in self._guests) + len(forward.transactions)
        if (
            (self._guests and self._guests_bytes + size > self._limits.guests_bytes)
            or count > self._limits.guests_count
            or size > self._transaction_bytes_max + TRANSACTION_OVERHEAD_BYTES
            or not 0 < len(forward.transactions) <= self._limits.entry_transactions
        ):
            return False
        self._guests.append(Guests(sender, forward, size))
        self._guests_bytes += size
        return True

    def _take(self) -> _Batch:
        """What fits into the next entry: guests first, since they have waited on the way already."""
        batch, limits = _Batch(), self._limits
        while self._guests:
            guests = self._guests[0]
            if batch.count and (
                batch.size + guests.size > limits.entry_bytes
                or batch.count + len(guests.forward.transactions) > limits.entry_transactions
            ):
                return batch
            self._guests.popleft()
            self._guests_bytes -= guests.size
            batch.guests.append(guests)
            batch.size += guests.size
            batch.count += len(guests.forward.transactions)
        self._take_own(batch)
        return batch

    def _take_own(self, batch: _Batch) -> None:
        limits, waiting, count, size = self._limits, self._waiting, batch.count, batch.size
        newest = self._oldest() + OUTCOMES_PER_CLIENT_MAX
        while waiting and count < limits.entry_transactions:
            proposal = waiting[0]
            length = len(proposal.data)
            if not proposal.future.done():
                grown = size + length + TRANSACTION_OVERHEAD_BYTES
                if (count and grown > limits.entry_bytes) or proposal.sequence >= newest:
                    break
                batch.own.append(proposal)
                size, count = grown, count + 1
            waiting.popleft()
            self._waiting_bytes -= length
        batch.size, batch.count = size, count

    def _oldest(self) -> int:
        """The oldest sequence number without an outcome. The store remembers only so many behind it: one that came
        first would make those before it look as if they were forgotten.
        """
        while self._open and self._open[0].future.done():
            self._open.popleft()
        return self._open[0].sequence if self._open else self._sequence

    def _give_back(self, batch: _Batch) -> None:
        self._guests.extendleft(reversed(batch.guests))
        self._guests_bytes += sum(guests.size for guests in batch.guests)
        self._wait_again(batch.own)

    def _wait_again(self, proposals: list[Proposal]) -> None:
        """Put proposals back, in the order of their sequence, so that the oldest never waits behind a newer one."""
        if not proposals:
            return
        self._waiting.extendleft(reversed(proposals))
        self._waiting_bytes += sum(len(proposal.data) for proposal in proposals)
        if len(self._waiting) > len(proposals) and proposals[-1].sequence > self._waiting[len(proposals)].sequence:
            self._waiting = deque(sorted(self._waiting, key=lambda proposal: proposal.sequence))

    # --- following ---

    def forward(self, leader: NodeId, send: Callable[[NodeId, Forward], bool], now_s: float) -> None:
        """Send what waits to the leader."""
        while self._waiting and len(self._forwards) < self._limits.forwards_under_way and now_s >= self._hold_until_s:
            batch = _Batch()
            self._take_own(batch)
            if not batch.count:
                return
            self._number += 1
            if not send(leader, Forward(self._number, batch.datas())):
                self._give_back(batch)
                self._hold_until_s = now_s + self._limits.sweep_s
                return
            for proposal in batch.own:
                proposal.sent += 1
            self._forwards[self._number] = (now_s + self._limits.forward_answer_s, batch.own)

    def on_placed(self, sender: NodeId, placed: Placed, applied: int) -> None:
        """The leader has put a forward into its log. It may be applied here already, or its place be taken over."""
        _, proposals = self._forwards.pop(placed.number, (0.0, []))
        if not proposals:
            return
        if (sender, placed.term) != self._leader or placed.index <= applied:
            self._wait_again(proposals)
            return
        self._places.setdefault(placed.index, []).append(Place(placed.term, placed.first, proposals))

    def on_not_taken(self, refused: NotTaken, now_s: float) -> None:
        """The asked member doesn't lead, or has too much to do: wait a moment."""
        _, proposals = self._forwards.pop(refused.number, (0.0, []))
        for proposal in proposals:
            proposal.sent -= 1
        self._wait_again(proposals)
        self._hold_until_s = now_s + self._limits.sweep_s

    # --- outcomes ---

    def resolve(self, index: int, term: int, outcomes: Sequence[Outcome]) -> None:
        """The entry at `index` has been applied; `outcomes` is empty if it held no transactions."""
        for place in self._places.pop(index, ()):
            if place.term != term or len(outcomes) < place.first + len(place.proposals):
                self._wait_again([proposal for proposal in place.proposals if not proposal.future.done()])
                continue
            for proposal, outcome in zip(place.proposals, outcomes[place.first :], strict=False):
                if not proposal.future.done():
                    proposal.future.set_result(outcome)

    def on_leader(self, leader: NodeId, term: int) -> None:
        """Another leads, or the same one anew: what the one before may have lost is proposed once more."""
        if not leader or (leader, term) == self._leader:
            return
        self._leader = (leader, term)
        self._hold_until_s = 0.0
        for guests in self._guests:
            self._send(guests.sender, NotTaken(guests.forward.number))
        self._guests.clear()
        self._guests_bytes = 0
        self.propose_again()

    def propose_again(self) -> None:
        """Propose everything once more that has no outcome yet."""
        self._places.clear()
        self._forwards.clear()
        self._waiting = deque(proposal for proposal in self._open if not proposal.future.done())
        self._waiting_bytes = sum(len(proposal.data) for proposal in self._waiting)

    def sweep(self, now_s: float, no_leader: Callable[[], SwarmctlError]) -> None:
        """End what has waited for too long, and repeat forwards that nobody answers."""
        for number, (due_s, proposals) in list(self._forwards.items()):
            if now_s >= due_s:
                del self._forwards[number]
                self._wait_again([proposal for proposal in proposals if not proposal.future.done()])
        while self._open and (self._open[0].future.done() or now_s >= self._open[0].due_s):
            proposal = self._open.popleft()
            if not proposal.future.done():
                why = "It was sent to the leader, and no outcome came in time."
                error = answers.outcome_unknown(why) if proposal.sent else no_leader()
                proposal.future.set_exception(error)

    def fail(self, error: Callable[[], SwarmctlError]) -> None:
        """End everything: this member takes part no more."""
        for proposal in self._open:
            if not proposal.future.done():
                why = "It was under way when this member stopped."
                proposal.future.set_exception(answers.outcome_unknown(why) if proposal.sent else error())
        for guests in self._guests:
            self._send(guests.sender, NotTaken(guests.forward.number))
        self._open.clear()
        self._waiting.clear()
        self._guests.clear()
        self._forwards.clear()
        self._places.clear()
