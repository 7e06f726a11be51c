"""One member when things go wrong: its disk, its clock, its callers, and what others send."""

from __future__ import annotations

import asyncio
import errno
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.frames import Forward, encode_frame
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.model.commands import Applied
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.contract.store_subject import SMALL, WAIT_S, CoreGroup, put, refusing


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[CoreGroup]:
    made = CoreGroup(tmp_path)
    try:
        yield made
    finally:
        await made.close()


class BadDisk(Disk):
    """A disk whose writes fail while `error` is set."""

    def __init__(self) -> None:
        self.error = 0

    def write(self, descriptor: int, content: bytes | bytearray, offset: int) -> None:
        if self.error:
            raise OSError(self.error, "it does not work")
        super().write(descriptor, content, offset)


class TestClock:
    """The machine's clock, and what a test adds to it."""

    __test__ = False

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return boot_clock() + self.ahead_s


async def lead_on(group: CoreGroup, disk: Disk | None = None, clock: TestClock | None = None) -> RaftNode:
    """Start three members; the first, with this disk and clock, leads."""
    names = ("node-1", "node-2", "node-3")
    for name in names:
        await group.prepare(name, first=names)
    store = await open_node(
        group.settings("node-1"), group.network.end("node-1"), disk=disk, clock=clock or TestClock()
    )
    group.stores["node-1"], group.runs["node-1"] = store, group.begin(store)
    for name in names[1:]:
        await group.start(name)
    if (leader := await group.leader()) != "node-1":
        await group.stores[leader].hand_over("node-1")
        await group.until("node-1 leads", lambda: store.standing.epoch)
    return store


async def test_a_leader_with_a_full_disk_gives_way_and_goes_on_when_there_is_space(group: CoreGroup):
    disk = BadDisk()
    group.consensus = msgspec.structs.replace(group.consensus, disk_stall_s=0.3)
    store = await lead_on(group, disk)
    await group.put("node-1", "x", b"1")
    disk.error = errno.ENOSPC
    waiting = asyncio.create_task(store.propose([put("y", b"2")]))
    await group.leader(but="node-1")
    await group.put("node-2", "z", b"3")
    assert not store.may_write(store.tables.leadership.epoch)
    disk.error = 0
    assert isinstance(await waiting, Applied)
    await group.until("it has caught up", lambda: group.value("node-1", "z") == b"3")
    assert not group.runs["node-1"].done()


async def test_a_member_with_a_failing_disk_stops_and_the_others_go_on(group: CoreGroup):
    disk = BadDisk()
    store = await lead_on(group, disk)
    disk.error = errno.EIO
    waiting = asyncio.create_task(store.propose([put("y", b"2")]))
    async with refusing(ErrorCode.RAFT_DISK_FAILED):
        await group.runs["node-1"]
    async with refusing(ErrorCode.RAFT_OUTCOME_UNKNOWN):
        await waiting
    assert not store.may_write(store.tables.leadership.epoch)
    del group.stores["node-1"], group.runs["node-1"]
    await group.put("node-2", "z", b"3")


async def test_a_leader_that_was_paused_knows_it_before_it_does_anything(group: CoreGroup):
    clock = TestClock()
    store = await lead_on(group, clock=clock)
    await group.until("it may write", lambda: store.may_write(store.standing.epoch))
    epoch = store.standing.epoch
    clock.ahead_s = 0.6  # longer than the fallback; nothing has run in between
    assert not store.may_write(epoch)
    assert store.standing.epoch == epoch, "no tick has noticed it yet"


async def test_a_work_that_does_not_end_stops_its_member(group: CoreGroup):
    store = await lead_on(group)
    released = asyncio.Event()

    async def stubborn(epoch: int) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    leading = asyncio.create_task(store.lead(stubborn))
    await asyncio.sleep(0)
    group.part("node-1")
    async with refusing(ErrorCode.RAFT_WORK_STUCK):
        await group.runs["node-1"]
    released.set()
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)


async def test_what_a_work_raises_reaches_whoever_asked_for_it(group: CoreGroup):
    store = await lead_on(group)

    async def broken(epoch: int) -> None:
        raise LookupError(epoch)

    with pytest.raises(LookupError):
        await store.lead(broken)


async def test_lost_frames_lose_no_proposal_and_double_none(group: CoreGroup):
    group.patience_s = WAIT_S  # a forward whose frame or answer is lost, one in five, is repeated after a second
    await group.found()
    chance, deliver = random.Random(5), {}
    for name, end in group.network.ends.items():
        deliver[name] = end.deliver

        def lossy(sender: str, frame: bytes, name: str = name) -> None:
            if chance.random() > 0.1:
                deliver[name](sender, frame)
            if chance.random() < 0.05:
                deliver[name](sender, frame)

        end.deliver = lossy  # type: ignore[method-assign]
    names = list(group.stores)
    indexes: dict[str, int] = {}

    async def write(number: int) -> None:
        outcome = await group.stores[names[number % 3]].propose([put(f"k{number}", b"", version=0)])
        assert isinstance(outcome, Applied), "a second time would be refused: it is there already"
        indexes[f"test/k{number}"] = outcome.index

    for start in range(0, 150, 30):
        await asyncio.gather(*(write(number) for number in range(start, start + 30)))
    for store in group.stores.values():
        await store.read_barrier()
        assert {key: store.tables.records[key].version for key in indexes} == indexes


async def test_garbage_is_ignored(group: CoreGroup, caplog: pytest.LogCaptureFixture):
    await group.found()
    leader = await group.leader()
    end = group.network.ends[leader]
    epoch = group.stores[leader].standing.epoch
    rubbish = [b"", b"\xc1", random.Random(1).randbytes(1000), encode_frame(Forward(1, []))]
    for frame in rubbish * 3:
        end.deliver("node-2" if leader != "node-2" else "node-3", frame)
    await group.put(leader, "x", b"1")
    assert group.stores[leader].standing.epoch == epoch
    assert sum("no frame" in record.message for record in caplog.records) == 1


async def test_more_than_a_member_keeps_is_refused_at_once(group: CoreGroup):
    group.limits = replace(SMALL, waiting_count=10)
    await group.found()
    await group.leader()
    store = group.stores["node-1"]
    tasks = [asyncio.create_task(store.propose([put(f"k{number}")])) for number in range(100)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, SwarmctlError)]
    assert {one.code for one in refused} == {ErrorCode.RAFT_OVERLOADED}
    assert len(outcomes) - len(refused) == 10


async def test_a_transaction_too_large_for_an_entry_is_refused(group: CoreGroup):
    await group.found(["node-1"])
    store = group.stores["node-1"]
    many = [put(f"k{number}", bytes(1_000_000)) for number in range(5)]
    async with refusing(ErrorCode.REQUEST_REFUSED):
        await store.propose(many)
    assert isinstance(await store.propose(many[:3]), Applied)


async def test_a_caller_that_gives_up_disturbs_nobody(group: CoreGroup):
    await group.found()
    await group.leader()
    store = group.stores["node-1"]
    tasks = [asyncio.create_task(store.propose([put(f"k{number}")])) for number in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, Applied) for one in outcomes[1::2])
    assert isinstance(await store.propose([put("after")]), Applied)


async def test_a_member_leaves_no_thread_and_no_lock_behind(group: CoreGroup):
    await group.found(["node-1"])
    await group.put("node-1", "x")
    await group.stop("node-1")
    assert "raft-disk" not in [thread.name for thread in threading.enumerate()]
    await group.start("node-1")
