"""How members begin, go on alone, and come out of a backup."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.adapters.raft import boot
from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.hard_state import FILE_NAME as HARD_STATE_NAME
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.adapters.raft.snapshot_file import SnapshotWriter, verify
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address
from tests.contract.store_subject import CoreGroup, put, refusing


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[CoreGroup]:
    made = CoreGroup(tmp_path)
    try:
        yield made
    finally:
        await made.close()


def core_store(group: CoreGroup, name: str) -> RaftNode:
    store = group.stores[name]
    assert isinstance(store, RaftNode)
    return store


async def test_those_that_begin_with_other_members_or_addresses_can_be_told_apart(group: CoreGroup):
    """By the numbers of their entries they can't."""
    here, there = Address("here", 1), Address("there", 1)
    begun = {"node-1": (here, "node-2"), "node-2": (here, "node-2"), "node-3": (there, "node-2"), "node-4": (here, "x")}
    for name, (address, other) in begun.items():
        boot.found(group.settings(name), {"node-1": address, other: here})
    boot.join(group.settings("node-5"), {})
    found = []
    for name in (*begun, "node-5"):
        opened = boot.open_member(group.settings(name))
        found.append(opened.founding)
        opened.durable.close()
    assert found[0] == found[1] != ""
    assert len(set(found)) == 4
    assert found[4] == ""


async def test_who_joins_learns_which_group_it_is_and_keeps_it(group: CoreGroup):
    await group.found()
    new = await group.join("node-4")
    await new.read_barrier()
    first = core_store(group, "node-1").founding()
    assert core_store(group, "node-4").founding() == first != ""
    await group.stop("node-4")
    opened = boot.open_member(group.settings("node-4"))
    opened.durable.close()
    assert opened.founding == first


async def test_a_group_of_one_grows_to_three(group: CoreGroup):
    await group.found(["node-1"])
    await group.put("node-1", "x", b"1")
    for name in ("node-2", "node-3"):
        store = await group.join(name)
        await store.read_barrier()
        assert group.value(name, "x") == b"1"
    await group.until("all vote", lambda: [one.voter for one in group.stores["node-1"].members()] == [True] * 3)
    await group.kill("node-1")
    await group.put("node-2", "x", b"2")


async def test_a_member_is_made_only_in_an_empty_folder_and_started_only_from_its_own(group: CoreGroup):
    settings = group.settings("node-1")
    async with refusing(ErrorCode.RAFT_LOG_MISSING):
        boot.open_member(settings)
    boot.found(settings, {"node-1": Address("node-1", 1)})
    for begin in (boot.found, boot.join):
        async with refusing(ErrorCode.RAFT_FOLDER_USED):
            begin(settings, {"node-1": Address("node-1", 1)})
    async with refusing(ErrorCode.RAFT_LOG_FOREIGN):
        boot.open_member(replace(settings, owner=Owner("group-2", "node-1")))
    opened = boot.open_member(settings)
    async with refusing(ErrorCode.RAFT_LOG_LOCKED):
        boot.open_member(settings)
    opened.durable.close()


class DiskThatFills(Disk):
    """A disk on which there is no space from its n-th write on."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def write(self, descriptor: int, content: bytes | bytearray, offset: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, "full")
        super().write(descriptor, content, offset)


@pytest.mark.parametrize("writes", range(6))
async def test_what_was_interrupted_while_it_was_made_can_be_made_again(
    group: CoreGroup, monkeypatch: pytest.MonkeyPatch, writes: int
):
    group.folder.mkdir(exist_ok=True)
    settings, members = group.settings("node-1"), {"node-1": Address("node-1", 1)}
    disk = DiskThatFills(writes)
    with monkeypatch.context() as patched, suppress(SwarmctlError):
        patched.setattr("reconciler.adapters.raft.boot.DurableLog", partial(DurableLog, disk=disk))
        boot.found(settings, members)
    if disk.left < 0:
        assert boot.is_half_made(settings.folder) is (Path(settings.folder) / HARD_STATE_NAME).exists()
        boot.found(settings, members)
    assert not boot.is_half_made(settings.folder)
    await group.start("node-1")
    await group.put("node-1", "x", b"1")


async def test_who_was_removed_can_not_go_on_alone(group: CoreGroup):
    await group.found()
    gone = (await group.followers())[0]
    run = group.runs[gone]
    await group.at_leader(lambda store: store.remove_member(gone))
    await run
    del group.stores[gone], group.runs[gone]
    async with refusing(ErrorCode.RAFT_REMOVED):
        boot.force_new_group(group.settings(gone))


async def test_a_damaged_log_is_refused_at_the_start(group: CoreGroup):
    await group.found(["node-1"])
    for number in range(5):
        await group.put("node-1", f"k{number}")
    await group.stop("node-1")
    (segment,) = (group.folder / "node-1").glob("journal-*")
    content = bytearray(segment.read_bytes())
    content[300] ^= 1
    segment.write_bytes(content)
    async with refusing(ErrorCode.RAFT_LOG_CORRUPT):
        await group.start("node-1")


async def test_one_survivor_goes_on_alone_with_all_that_it_had(group: CoreGroup):
    await group.found()
    for number in range(20):
        await group.put("node-2", f"k{number}", b"kept")
    for name in ("node-1", "node-3", "node-2"):
        await group.kill(name)
    boot.force_new_group(group.settings("node-2"))
    store = await group.start("node-2")
    await store.read_barrier()
    assert len(store.tables.records_under("test")) == 20
    assert [one.id for one in store.members()] == ["node-2"]
    async with refusing(ErrorCode.RAFT_CHANGE_REFUSED):
        await group.at_leader(lambda leader: leader.add_member("node-1", group.address("node-1")))
    await group.join("node-4")
    await group.put("node-4", "x", b"1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_what_root_has_made_belongs_to_who_runs_the_member(group: CoreGroup, tmp_path: Path):
    await group.found(["node-1"])
    await group.put("node-1", "x")
    await core_store(group, "node-1").back_up(str(tmp_path / "backup"))
    await group.stop("node-1")
    os.chown(group.folder, 12345, 12346)
    boot.force_new_group(group.settings("node-1"))
    boot.restore(group.settings("node-2"), str(tmp_path / "backup"))
    for name in ("node-1", "node-2"):
        made = [group.folder / name, *(group.folder / name).iterdir()]
        assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(12345, 12346)}


def test_what_another_user_has_left_is_told_apart_from_a_broken_disk(group: CoreGroup):
    class Foreign(Disk):
        def open_to_read(self, path: str) -> int:
            raise PermissionError(errno.EACCES, "Permission denied", path)

    boot.found(group.settings("node-1"), {"node-1": Address("node-1", 1)})
    with pytest.raises(SwarmctlError) as raised:
        boot.open_member(group.settings("node-1"), Foreign())
    (problem,) = raised.value.problems
    assert problem.code is ErrorCode.RAFT_DISK_FAILED
    assert problem.what.endswith(f"{HARD_STATE_NAME} can't be used.")
    assert "chown" in problem.hint


async def test_a_member_that_was_never_in_a_group_can_not_go_on_alone(group: CoreGroup):
    boot.join(group.settings("node-9"), {})
    async with refusing(ErrorCode.RAFT_CHANGE_REFUSED):
        boot.force_new_group(group.settings("node-9"))


async def test_a_backup_restores_everything_into_a_new_group(group: CoreGroup, tmp_path: Path):
    await group.found(["node-1"])
    for number in range(20):
        await group.put("node-1", f"k{number}", bytes(3000))
    backup = tmp_path / "backup"
    meta = await core_store(group, "node-1").back_up(str(backup))
    assert verify(str(backup)) == meta
    records = dict(group.stores["node-1"].tables.records)

    settings = replace(group.settings("node-5"), owner=Owner("group-2", "node-5"))
    assert boot.restore(settings, str(backup)) == meta
    restored = await open_node(settings, group.network.end("node-5"))
    assert restored.tables.records == records
    assert restored.tables.index == meta.index
    group.stores["node-5"] = restored
    group.runs["node-5"] = group.begin(restored)
    await restored.read_barrier()
    assert [one.id for one in restored.members()] == ["node-5"]
    await restored.propose([put("after")])


async def test_a_backup_to_a_slow_target_holds_up_nobody(
    group: CoreGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await group.found(["node-1"])
    await group.put("node-1", "x", b"1")
    let_go, write, held = threading.Event(), SnapshotWriter.write, set[int]()

    def slow(writer: SnapshotWriter, chunk: bytes) -> None:
        if writer.path.startswith(str(tmp_path / "copy")):
            held.add(id(writer))
            assert let_go.wait(30)
        write(writer, chunk)

    monkeypatch.setattr(SnapshotWriter, "write", slow)
    store = core_store(group, "node-1")
    copying = [asyncio.create_task(store.back_up(str(tmp_path / "copy"))) for _ in range(2)]
    await group.until("both are held up", lambda: len(held) == 2)
    await group.put("node-1", "x", b"2")
    assert not any(one.done() for one in copying)
    let_go.set()
    await asyncio.gather(*copying)
    assert verify(str(tmp_path / "copy")) == copying[0].result()
    assert [name for name in os.listdir(tmp_path) if name.startswith("copy")] == ["copy"]


async def test_a_backup_replaces_nothing_but_a_file(group: CoreGroup, tmp_path: Path):
    await group.found(["node-1"])
    await group.put("node-1", "x", b"1")
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", tmp_path / "node-1"):
        with pytest.raises(FileExistsError):
            await core_store(group, "node-1").back_up(str(target))
    assert (tmp_path / "pipe").is_fifo()


async def test_a_damaged_backup_is_refused_and_leaves_no_member(group: CoreGroup, tmp_path: Path):
    await group.found(["node-1"])
    await group.put("node-1", "x", bytes(3000))
    backup = tmp_path / "backup"
    await core_store(group, "node-1").back_up(str(backup))
    content = bytearray(backup.read_bytes())
    content[len(content) // 2] ^= 1
    backup.write_bytes(content)
    async with refusing(ErrorCode.RAFT_SNAPSHOT_CORRUPT):
        boot.restore(group.settings("node-5"), str(backup))
    boot.found(group.settings("node-5"), {"node-5": Address("node-5", 1)})


async def test_a_restart_after_snapshots_keeps_everything_and_a_short_log(group: CoreGroup):
    await group.found(["node-1"])
    for number in range(100):
        await group.put("node-1", f"k{number}", bytes(3000))
    await group.until("the log was cut", lambda: (group.first_index("node-1") or 0) > 5)
    await group.stop("node-1")
    store = await group.start("node-1")
    await store.read_barrier()
    assert len(store.tables.records_under("test")) == 100


async def test_a_member_that_moved_tells_its_new_address(group: CoreGroup):
    await group.found()
    await group.stop("node-2")
    moved = Address("elsewhere", 7)
    store = await open_node(replace(group.settings("node-2"), address=moved), group.network.end("node-2"))
    group.stores["node-2"], group.runs["node-2"] = store, group.begin(store)

    def is_known() -> bool:
        return all(
            one.address == moved for name in group.stores for one in group.stores[name].members() if one.id == "node-2"
        )

    await group.until("all know it", is_known)


async def test_a_removed_member_does_not_start_again(group: CoreGroup):
    await group.found()
    run = group.runs["node-2"]
    await group.at_leader(lambda leader: leader.remove_member("node-2"))
    await run
    async with refusing(ErrorCode.RAFT_REMOVED):
        await group.start("node-2")
