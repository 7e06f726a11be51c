"""Backups of a member that runs: whole and verified, or not there; nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.adapters.raft.backup import BackupFile
from reconciler.adapters.raft.node import RaftNode
from reconciler.adapters.raft.snapshot_file import verify
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.contract.store_subject import CoreGroup


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[CoreGroup]:
    made = CoreGroup(tmp_path)
    try:
        yield made
    finally:
        await made.close()


async def read(store: RaftNode) -> bytes:
    applied = store.tables.index
    async with store.backup() as offered:
        pieces = []
        while piece := await offered.read():
            pieces.append(piece)
        content = b"".join(pieces)
        assert len(content) == offered.size
        assert offered.index >= applied, "all that was applied here before"
    return content


def temporary(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.tmp")]


async def test_any_member_offers_all_that_it_has_while_the_group_goes_on(group: CoreGroup, tmp_path: Path) -> None:
    await group.found()
    await group.put("node-2", "x", bytes(700_000))
    await group.same_everywhere()
    for name, store in group.stores.items():
        assert isinstance(store, RaftNode)
        target = BackupFile(str(tmp_path / f"backup-{name}"))
        target.write(await read(store))
        await group.put("node-1", f"after-{name}")
        index = target.finish()
        assert verify(str(tmp_path / f"backup-{name}")).index == index
        assert (tmp_path / f"backup-{name}").stat().st_mode & 0o777 == 0o600
        target.abandon()
        assert (tmp_path / f"backup-{name}").exists(), "what is finished stays"
    assert temporary(tmp_path) == []


async def test_a_member_without_a_majority_can_still_be_backed_up(group: CoreGroup) -> None:
    await group.found()
    await group.put("node-1", "x")
    await group.same_everywhere()
    for name in ("node-2", "node-3"):
        await group.stop(name)
    store = group.stores["node-1"]
    assert isinstance(store, RaftNode)
    assert await read(store)


async def test_a_copy_that_nobody_reads_to_its_end_leaves_no_file_and_nothing_open(
    group: CoreGroup, tmp_path: Path
) -> None:
    await group.found(["node-1"])
    await group.put("node-1", "x", bytes(700_000))
    store = group.stores["node-1"]
    assert isinstance(store, RaftNode)
    before = len(os.listdir("/proc/self/fd"))

    async def half() -> None:
        async with store.backup() as offered:
            assert await offered.read()
            assert temporary(tmp_path) == []
            raise LookupError

    with pytest.raises(LookupError):
        await half()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("cut", [1, 40, 100_000])
async def test_what_came_without_its_end_takes_no_name(group: CoreGroup, tmp_path: Path, cut: int) -> None:
    await group.found(["node-1"])
    await group.put("node-1", "x", bytes(200_000))
    store = group.stores["node-1"]
    assert isinstance(store, RaftNode)
    path = tmp_path / "backup"
    path.write_bytes(b"the one before")
    target = BackupFile(str(path))
    target.write((await read(store))[:-cut])
    with pytest.raises(SwarmctlError) as caught:
        target.finish()
    assert caught.value.code is ErrorCode.RAFT_SNAPSHOT_CORRUPT
    assert str(path) in str(caught.value)
    target.abandon()
    assert path.read_bytes() == b"the one before"
    assert temporary(tmp_path) == []


def test_a_place_that_can_not_be_written_is_refused_before_anything_is_asked_for(tmp_path: Path) -> None:
    for path in (tmp_path / "no folder" / "backup", tmp_path):
        with pytest.raises(SwarmctlError) as caught:
            BackupFile(str(path))
        assert caught.value.code is ErrorCode.OUTPUT_FAILED
