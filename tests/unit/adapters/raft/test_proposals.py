"""Proposals between their callers and the log: what is repeated, in which order, and what callers are told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from reconciler.adapters.raft import answers
from reconciler.adapters.raft.frames import Forward, NotTaken, Placed
from reconciler.adapters.raft.proposals import Proposals
from reconciler.adapters.raft.settings import Limits
from reconciler.consensus.outputs import Proposed, Reason, Refused
from reconciler.model.commands import Applied, Outcome
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.store.codec import decode_entry, decode_transaction
from reconciler.store.sessions import OUTCOMES_PER_CLIENT_MAX
from tests.contract.store_subject import put


class Log:
    """A leader's core, as far as proposals know it."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.refuses = False

    def propose(self, datas: Sequence[bytes], now_s: float) -> Proposed | Refused:
        if self.refuses:
            return Refused(Reason.OVERLOADED)
        self.entries += datas
        return Proposed(len(self.entries), len(self.entries), 1)


class Bench:
    """Proposals of a member, and what it sent."""

    def __init__(self, **limits: Any) -> None:
        self.answers: list[tuple[str, Placed | NotTaken]] = []
        self.forwards: list[Forward] = []
        self.log = Log()
        self.proposals = Proposals("client", Limits(**limits), 4 << 20, self._answer)
        self.proposals.on_leader("leader", 1)

    def _answer(self, to: str, frame: Placed | NotTaken) -> bool:
        self.answers.append((to, frame))
        return True

    def _forward(self, to: str, forward: Forward) -> bool:
        self.forwards.append(forward)
        return True

    def add(self, number: int = 1, due_s: float = 10.0) -> list[asyncio.Future[Outcome]]:
        return [self.proposals.add([put("x")], None, (), due_s) for _ in range(number)]

    def propose(self) -> None:
        self.proposals.propose(self.log, 0.0)

    def forward(self, now_s: float = 0.0) -> None:
        self.proposals.forward("leader", self._forward, now_s)

    def sweep(self, now_s: float) -> None:
        self.proposals.sweep(now_s, lambda: answers.no_leader("node", 1))


def sequences(datas: Sequence[bytes]) -> list[int]:
    return [decode_transaction(data).sequence for data in datas]


def code_of(future: asyncio.Future[Outcome]) -> ErrorCode:
    error = future.exception()
    assert isinstance(error, SwarmctlError)
    return error.code


async def test_what_waits_shares_entries_up_to_their_limits() -> None:
    bench = Bench(entry_transactions=4, entries_under_way=2)
    futures = bench.add(11)
    bench.propose()
    assert [sequences(decode_entry(entry)) for entry in bench.log.entries] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    bench.proposals.resolve(1, 1, [Applied(1, str(position)) for position in range(4)])
    bench.propose()
    assert sequences(decode_entry(bench.log.entries[2])) == [9, 10, 11]
    assert [future.result().id for future in futures[:4]] == ["0", "1", "2", "3"]


async def test_what_the_log_refuses_waits_in_its_order() -> None:
    bench = Bench()
    bench.log.refuses = True
    bench.add(3)
    bench.propose()
    bench.add(2)
    bench.log.refuses = False
    bench.propose()
    assert sequences(decode_entry(bench.log.entries[0])) == [1, 2, 3, 4, 5]


async def test_guests_are_told_where_they_are() -> None:
    bench = Bench()
    (future,) = bench.add()
    assert bench.proposals.take_guests("b", Forward(7, [b"1", b"2"]))
    assert bench.proposals.take_guests("c", Forward(9, [b"3"]))
    bench.propose()
    datas = decode_entry(bench.log.entries[0])
    placed = {frame.number: (to, frame.first) for to, frame in bench.answers if isinstance(frame, Placed)}
    assert set(placed) == {7, 9}
    assert datas[placed[7][1] : placed[7][1] + 2] == [b"1", b"2"]
    assert datas[placed[9][1]] == b"3"
    bench.proposals.resolve(1, 1, [Applied(1, str(position)) for position in range(4)])
    outcome = future.result()
    assert isinstance(outcome, Applied)
    assert sequences([datas[int(outcome.id)]]) == [1]


async def test_guests_are_no_more_than_can_be_applied_in_a_moment_however_small() -> None:
    bench = Bench(guests_count=4)
    assert bench.proposals.take_guests("b", Forward(1, [b""] * 3))
    assert not bench.proposals.take_guests("b", Forward(2, [b""] * 2))
    assert bench.proposals.take_guests("c", Forward(1, [b""]))
    bench.propose()
    assert bench.proposals.take_guests("b", Forward(2, [b""] * 2))


async def test_an_entry_of_another_term_in_its_place_means_again() -> None:
    bench = Bench()
    (future,) = bench.add()
    bench.propose()
    bench.proposals.resolve(1, 2, [Applied(1, "")])
    assert not future.done()
    bench.propose()
    assert sequences(decode_entry(bench.log.entries[1])) == [1]


async def test_an_answer_that_comes_after_the_entry_was_applied_means_again() -> None:
    bench = Bench()
    (future,) = bench.add()
    bench.forward()
    bench.proposals.on_placed("leader", Placed(bench.forwards[0].number, 1, 5, 0), applied=5)
    bench.forward()
    assert [sequences(forward.transactions) for forward in bench.forwards] == [[1], [1]]
    assert not future.done()


async def test_an_unanswered_forward_is_repeated_before_newer_ones() -> None:
    bench = Bench(forward_answer_s=1.0)
    bench.add(2)
    bench.forward()
    bench.add(1)
    bench.sweep(1.0)
    bench.forward(1.0)
    assert sequences(bench.forwards[1].transactions) == [1, 2, 3]


async def test_a_new_leader_gets_everything_that_has_no_outcome() -> None:
    bench = Bench()
    futures = bench.add(3)
    bench.forward()
    bench.proposals.on_placed("leader", Placed(bench.forwards[0].number, 1, 5, 0), applied=4)
    futures[1].cancel()
    bench.proposals.on_leader("other", 2)
    bench.forward()
    assert sequences(bench.forwards[1].transactions) == [1, 3]


async def test_nothing_runs_so_far_ahead_that_the_store_forgets_the_oldest() -> None:
    bench = Bench(entries_under_way=100)
    futures = bench.add(OUTCOMES_PER_CLIENT_MAX + 10)
    bench.propose()
    newest = max(sequences([data for entry in bench.log.entries for data in decode_entry(entry)]))
    assert newest == OUTCOMES_PER_CLIENT_MAX
    futures[0].set_result(Applied(1, ""))
    bench.propose()
    assert sequences(decode_entry(bench.log.entries[-1])) == [OUTCOMES_PER_CLIENT_MAX + 1]


@pytest.mark.parametrize(
    ("story", "code"),
    [
        ("waits", ErrorCode.RAFT_NO_LEADER),
        ("refused", ErrorCode.RAFT_NO_LEADER),
        ("sent", ErrorCode.RAFT_OUTCOME_UNKNOWN),
        ("placed", ErrorCode.RAFT_OUTCOME_UNKNOWN),
    ],
)
async def test_callers_are_told_no_more_than_is_known(story: str, code: ErrorCode) -> None:
    bench = Bench(forward_answer_s=100.0)
    (future,) = bench.add(due_s=5.0)
    if story != "waits":
        bench.forward()
    if story == "refused":
        bench.proposals.on_not_taken(NotTaken(bench.forwards[0].number), 0.0)
    if story == "placed":
        bench.proposals.on_placed("leader", Placed(bench.forwards[0].number, 1, 5, 0), applied=4)
    bench.sweep(4.9)
    assert not future.done()
    bench.sweep(5.0)
    assert code_of(future) is code


async def test_an_answer_to_a_forward_of_an_earlier_life_is_no_answer() -> None:
    before, now = Bench(), Bench()
    before.add()
    before.forward()
    [future] = now.add()
    now.forward()
    [late] = before.forwards
    now.proposals.on_placed("leader", Placed(late.number, 1, 7, 0), 6)
    now.proposals.resolve(7, 1, [Applied(7, "of the earlier life")])
    assert not future.done()
    now.proposals.on_not_taken(NotTaken(late.number), 0.0)
    now.sweep(10.0)
    assert code_of(future) is ErrorCode.RAFT_OUTCOME_UNKNOWN
