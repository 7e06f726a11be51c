"""A leader's snapshot that can't be used: it is asked for ever more rarely, told once, and taken when it can be."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.adapters.raft.refused_snapshots import RefusedSnapshots
from reconciler.adapters.raft.settings import Limits
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.store.machine import State
from reconciler.store.snapshot import decode
from tests.contract.pysyncobj_subject import PySyncObjGroup
from tests.contract.store_subject import SMALL, CoreGroup, StoreGroup

TOO_NEW = SwarmctlError(ErrorCode.SNAPSHOT_TOO_NEW, "It is new.", why="A newer one wrote it.", hint="Use that.")
FULL = SwarmctlError(ErrorCode.RAFT_DISK_FULL, "It is full.", passing=True)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_each_refusal_waits_twice_as_long_up_to_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    refused = RefusedSnapshots(Limits(snapshot_again_s=10, snapshot_again_max_s=35))
    assert [refused.add(TOO_NEW, now_s, 7) for now_s in (0.0, 100.0, 200.0, 300.0)] == [10, 20, 35, 35]
    assert told(caplog) == [
        "raft-snapshot-refused: This member can't use the snapshot that the leader sends, and falls behind. "
        "It is new. A newer one wrote it. (snapshot-too-new) Use that."
    ]
    refused.taken()
    assert refused.add(TOO_NEW, 400.0, 7) == 10
    assert len(told(caplog)) == 2, "after one that was taken it is told anew"


def test_what_is_left_of_a_refused_one_is_no_refusal_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    refused = RefusedSnapshots(Limits(snapshot_again_s=10))
    assert refused.add(TOO_NEW, 0.0, 7) == 10
    assert refused.add(SwarmctlError(ErrorCode.SNAPSHOT_CORRUPT, "The rest."), 4.0, 7) == 6
    assert refused.add(TOO_NEW, 10.0, 7) == 20
    assert len(told(caplog)) == 1


def test_a_full_disk_is_looked_at_again_as_often_as_before() -> None:
    refused = RefusedSnapshots(Limits(snapshot_retry_s=30))
    assert [refused.add(FULL, now_s, 7) for now_s in (0.0, 100.0, 200.0, 300.0)] == [30] * 4


def test_why_is_known_until_one_is_taken_or_the_log_goes_on() -> None:
    refused = RefusedSnapshots(Limits())
    assert refused.why(7) == ""
    refused.add(TOO_NEW, 0.0, 7)
    assert refused.why(7) == "It is new. A newer one wrote it. (snapshot-too-new)"
    assert refused.why(8) == "", "somebody has the entries that are missing here"
    refused.add(SwarmctlError(ErrorCode.SNAPSHOT_CORRUPT, "The rest."), 1.0, 7)
    assert refused.why(7).startswith("It is new."), "not what is left of the same one"
    refused.taken()
    assert refused.why(7) == ""


def refusals(group: StoreGroup, asked: str = "") -> dict[str, str]:
    """What a member, or whoever leads now, says of the snapshots that members refuse: {name: why}."""
    for name, store in group.stores.items():
        if name == asked or (not asked and store.standing.epoch):
            return {one.id: one.refuses for one in store.members() if one.refuses}
    return {"nobody": "leads"}


async def with_one_left_behind(group: CoreGroup) -> tuple[str, str, int]:
    """Stop a follower until it needs a snapshot; return the leader, who is away, and how many were put: k1, k2 …"""
    away = (await group.followers())[0]
    await group.stop(away)
    leader = await group.leader()
    last, number = group.stores[leader].tables.index, 0
    while (group.first_index(leader) or 0) <= last + 1:
        number += 1
        await group.put(leader, f"k{number}", bytes(5_000))
    return leader, away, number


@pytest.mark.parametrize("kind", [CoreGroup, PySyncObjGroup])
async def test_a_member_that_can_not_use_a_snapshot_says_so_and_takes_it_when_it_can(
    kind: type[CoreGroup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    def too_new(chunks: object) -> State:
        nonlocal tries
        tries += 1
        raise TOO_NEW

    def decode_with(function: object) -> None:
        monkeypatch.setattr("reconciler.adapters.raft.snapshotting.decode", function)
        monkeypatch.setattr("reconciler.store.snapshot.decode", function)

    group = kind(tmp_path)
    group.limits = replace(SMALL, snapshot_again_s=0.05)
    try:
        await group.found()
        leader, away, number = await with_one_left_behind(group)
        decode_with(too_new)
        await group.start(away)
        await group.until("it has tried again", lambda: tries >= 2)
        assert len([line for line in told(caplog) if line.startswith("raft-snapshot-refused")]) == 1
        assert group.value(away, f"k{number}") is None
        why = {away: "It is new. A newer one wrote it. (snapshot-too-new)"}
        await group.until("the leader knows why", lambda: refusals(group) == why)
        assert refusals(group, away) == why, "and itself"
        decode_with(decode)
        await group.until("it has caught up", lambda: group.value(away, f"k{number}") == bytes(5_000))
        await group.put(leader, "after", b"x")
        await group.until("nothing is refused", lambda: not refusals(group) and not refusals(group, away))
    finally:
        await group.close()


async def test_a_snapshot_of_another_index_than_it_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = CoreGroup(tmp_path)
    group.limits = replace(SMALL, snapshot_again_s=0.05)
    try:
        await group.found()
        _, away, _ = await with_one_left_behind(group)
        monkeypatch.setattr("reconciler.adapters.raft.snapshotting.decode", lambda chunks: State())
        await group.start(away)
        await group.until("the leader knows", lambda: "snapshot-corrupt" in refusals(group).get(away, ""))
        assert "holds the state of 0" in refusals(group)[away]
    finally:
        await group.close()
