"""A leader's snapshot that can't be used: it is asked for ever more rarely, told once, and taken when it can be."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.adapters.raft.refused_snapshots import RefusedSnapshots
from reconciler.adapters.raft.settings import Limits
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.store.machine import State
from reconciler.store.snapshot import decode
from tests.contract.store_subject import SMALL, CoreGroup

TOO_NEW = SwarmctlError(ErrorCode.SNAPSHOT_TOO_NEW, "It is new.", why="A newer one wrote it.", hint="Use that.")
FULL = SwarmctlError(ErrorCode.RAFT_DISK_FULL, "It is full.", passing=True)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_each_refusal_waits_twice_as_long_up_to_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    refused = RefusedSnapshots(Limits(snapshot_again_s=10, snapshot_again_max_s=35))
    assert [refused.add(TOO_NEW, now_s) for now_s in (0.0, 100.0, 200.0, 300.0)] == [10, 20, 35, 35]
    assert told(caplog) == [
        "raft-snapshot-refused: This member can't use the snapshot that the leader sends, and falls behind. "
        "It is new. A newer one wrote it. (snapshot-too-new) Use that."
    ]
    refused.taken()
    assert refused.add(TOO_NEW, 400.0) == 10
    assert len(told(caplog)) == 2, "after one that was taken it is told anew"


def test_what_is_left_of_a_refused_one_is_no_refusal_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    refused = RefusedSnapshots(Limits(snapshot_again_s=10))
    assert refused.add(TOO_NEW, 0.0) == 10
    assert refused.add(SwarmctlError(ErrorCode.SNAPSHOT_CORRUPT, "The rest."), 4.0) == 6
    assert refused.add(TOO_NEW, 10.0) == 20
    assert len(told(caplog)) == 1


def test_a_full_disk_is_looked_at_again_as_often_as_before() -> None:
    refused = RefusedSnapshots(Limits(snapshot_retry_s=30))
    assert [refused.add(FULL, now_s) for now_s in (0.0, 100.0, 200.0, 300.0)] == [30] * 4


async def test_a_member_that_can_not_use_a_snapshot_says_so_once_and_takes_it_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = 0

    def too_new(chunks: object) -> State:
        nonlocal refusals
        refusals += 1
        raise TOO_NEW

    group = CoreGroup(tmp_path)
    group.limits = replace(SMALL, snapshot_again_s=0.05)
    try:
        await group.found()
        away = (await group.followers())[0]
        await group.stop(away)
        leader = await group.leader()
        last = group.stores[leader].tables.index
        number = 0
        while (group.first_index(leader) or 0) <= last + 1:
            number += 1
            await group.put(leader, f"k{number}", bytes(5_000))
        monkeypatch.setattr("reconciler.adapters.raft.snapshotting.decode", too_new)
        await group.start(away)
        await group.until("it has tried again", lambda: refusals >= 3)
        assert len([line for line in told(caplog) if line.startswith("raft-snapshot-refused")]) == 1
        assert group.value(away, f"k{number}") is None
        monkeypatch.setattr("reconciler.adapters.raft.snapshotting.decode", decode)
        await group.until("it has caught up", lambda: group.value(away, f"k{number}") == bytes(5_000))
    finally:
        await group.close()
