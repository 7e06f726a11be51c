"""Snapshots on their way to a member that is too far behind, and into one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.settings import Limits, MemberSettings
from reconciler.adapters.raft.snapshotting import Growth
from reconciler.adapters.raft_pysyncobj.journal import NORMAL
from reconciler.adapters.raft_pysyncobj.messages import decode
from reconciler.adapters.raft_pysyncobj.snapshots import Snapshots
from reconciler.consensus.values import SnapshotMeta
from reconciler.store.machine import State, pass_over
from reconciler.store.snapshot import encode
from tests.unit.adapters.raft_pysyncobj.bench import MEMBERS, SETTINGS, Bench


class Around:
    """What a member would do."""

    def __init__(self, bench: Bench, again_s: float = 0.0) -> None:
        limits = Limits(snapshot_again_s=again_s)
        settings = MemberSettings(str(bench.folder), Owner("group", "a"), consensus=SETTINGS, limits=limits)
        growth = Growth(settings.limits, SETTINGS.log_bytes_max, 0)
        self.jobs: list[Coroutine[Any, Any, None]] = []
        self.states: list[State] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.snapshots = Snapshots(self, bench.core, growth, settings, self.send)
        self.bench = bench

    def spawn(self, job: Coroutine[Any, Any, None]) -> None:
        self.jobs.append(job)

    def installed(self, state: State, leader: str) -> None:
        self.states.append(state)

    def send(self, node: str, frame: bytes) -> bool:
        message = decode(frame)
        assert isinstance(message, dict)
        self.sent.append((node, message))
        return True

    def piece(self, index: int, term: int, data: bytes) -> dict[str, Any]:
        meta = SnapshotMeta(index, 2, MEMBERS)
        return {
            "type": "piece",
            "term": term,
            "meta": meta,
            "total": len(data),
            "offset": 0,
            "data": data,
            "sent": 1.0,
        }


def state_at(index: int) -> State:
    state = State()
    pass_over(state, index)
    return state


def content(index: int) -> bytes:
    return b"".join(encode(state_at(index)))


def publish(bench: Bench, index: int) -> None:
    meta = SnapshotMeta(index, bench.journal.term_at(index), MEMBERS)
    bench.journal.sync()
    assert bench.durable.publish_snapshot(meta, encode(state_at(index)))
    bench.journal.forget(index)


def test_a_peer_that_has_one_gets_the_next_when_the_log_has_moved_on(bench: Bench):
    """Without it the same snapshot was offered for ever."""
    bench.lead()
    for _ in range(5):
        bench.core.append(NORMAL)
    bench.answer("c", 8)
    bench.core.pass_time()
    around = Around(bench)
    publish(bench, 3)
    bench.answer("b", 1, success=False, reset=True)
    around.snapshots.want("b")
    assert [message["meta"].index for _, message in around.sent] == [3]
    bench.answer("b", 4)
    publish(bench, 5)
    around.snapshots.want("b")
    assert [message["meta"].index for _, message in around.sent] == [3, 5]
    around.snapshots.close()


async def test_a_snapshot_takes_the_place_of_a_log_that_differs(bench: Bench):
    bench.append("b", 2, (1, 1), 2, 2)
    around = Around(bench)
    around.snapshots.on_piece("b", around.piece(9, 3, content(9)))
    await asyncio.gather(*around.jobs)
    assert [state.index for state in around.states] == [9]
    assert (bench.journal.base, bench.journal.last[1], bench.core.applied) == (9, 9, 9)
    assert bench.append("b", 3, (9, 2), 3)["next_node_idx"] == 11
    again = bench.again()
    assert (again.journal.base, again.journal.last[1:]) == (9, (10, 3))
    again.durable.close()


async def test_one_that_could_not_be_used_is_not_tried_again_at_once(bench: Bench, caplog: pytest.LogCaptureFixture):
    bench.append("b", 2, (1, 1), 2, 2)
    around = Around(bench, again_s=3600.0)
    around.snapshots.on_piece("b", around.piece(9, 2, content(9)[:-1]))
    await asyncio.gather(*around.jobs)
    assert len(around.sent) == 1
    for _ in range(3):
        around.snapshots.on_piece("b", around.piece(9, 2, content(9)))
    assert len(around.jobs) == 1
    for _, answer in around.sent[1:]:
        assert answer["offset"] == len(content(9)), "nor is more of it asked for"
        assert "snapshot-corrupt" in answer["why"]
    told = [record.getMessage() for record in caplog.records]
    assert sum("raft-snapshot-refused" in line for line in told) == 1


async def test_one_that_is_not_newer_or_not_whole_changes_nothing(bench: Bench):
    bench.append("b", 2, (1, 1), 2, 2, commit_index=3)
    bench.core.pass_time()
    around = Around(bench)
    around.snapshots.on_piece("b", around.piece(2, 2, content(2)))
    around.snapshots.on_piece("b", around.piece(9, 2, content(8)))
    await asyncio.gather(*around.jobs)
    around.snapshots.on_piece("b", around.piece(9, 2, content(9)[:-1]))
    await asyncio.gather(*around.jobs[1:])
    assert len(around.jobs) == 2, "they were tried, and refused"
    assert not around.states
    assert bench.terms() == [1, 2, 2]
    assert bench.durable.read_snapshot() is None


def test_pieces_count_as_hearing_the_leader_and_are_answered(bench: Bench):
    around = Around(bench)
    before = boot_clock()
    whole = content(9)
    around.snapshots.on_piece("b", {**around.piece(9, 2, whole), "data": whole[:10]})
    assert bench.core.heard_s >= before
    assert [(message["type"], message["offset"]) for _, message in around.sent] == [("piece_reply", 10)]
    assert not around.jobs
