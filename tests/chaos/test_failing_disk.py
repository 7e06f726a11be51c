"""A disk that is full for a while, and one that fails, at each call: nothing is acknowledged that isn't there."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from pathlib import Path

import pytest

from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.snapshot_file import SnapshotReader
from reconciler.consensus.values import HardState, SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.crash_disk import CrashDisk
from tests.fakes.log_model import (
    MEMBERS,
    Model,
    Step,
    carry_out,
    entry,
    open_log,
    random_steps,
    snapshot_data,
)

SEEDS = int(os.environ.get("WORKLOADS", "2"))


class FullDisk(CrashDisk):
    """No space for call `full_at` and the next `lasts` that would need some. Syncs of what is allocated work."""

    def __init__(self, full_at: int, lasts: int) -> None:
        super().__init__()
        self.full_at, self.lasts = full_at, lasts

    def _count(self, call: str) -> None:
        if self.lasts and len(self.calls) + 1 >= self.full_at and not call.startswith(("sync", "unlink", "rename")):
            self.lasts -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        super()._count(call)


def work_on(disk: FullDisk, model: Model, steps: list[Step]) -> int:
    """Do the steps; where the disk is full, look what a crash would leave now, and go on. Returns how often."""
    full = 0
    log, _ = open_log(disk)
    for step in steps:
        try:
            carry_out(log, model, step)
            continue
        except SwarmctlError as error:
            code, passing = error.code, error.passing
        assert (code, passing) == (ErrorCode.RAFT_DISK_FULL, True)
        full += 1
        assert not [name for name in disk.folder if name.endswith(".tmp")]
        assert not model.why_not(open_log(disk.kill())[1])
        disk.lasts = 0
        finish(log, model, model.publishing)
    return full


def carry_out_all(log: DurableLog, model: Model, steps: list[Step]) -> None:
    for step in steps:
        carry_out(log, model, step)


def finish(log: DurableLog, model: Model, publishing: SnapshotMeta | None) -> None:
    """There is space again: the same calls succeed."""
    log.sync()
    model.synced()
    if publishing is not None:
        log.publish_snapshot(publishing, snapshot_data(publishing))
        model.published()


@pytest.mark.parametrize("lasts", [1, 3])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_disk_that_is_full_for_a_while_loses_nothing_and_goes_on(seed, lasts):
    steps, refused = random_steps(seed, 35), 0
    disk = CrashDisk()
    log, _ = open_log(disk)
    start, model = len(disk.calls), Model()
    carry_out_all(log, model, steps)
    for call in range(start + 1, len(disk.calls)):
        full, model = FullDisk(call, lasts), Model()
        refused += work_on(full, model, steps)
        model.pending, model.next_state = [], model.state
        why = model.why_not(open_log(full.kill())[1])
        assert not why, f"seed {seed}, full at call {call} for {lasts}: {why}"
        cut = full.cut_power(random.Random(call))
        assert not model.why_not(open_log(cut)[1])
    assert refused > 50


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_disk_that_fails_ends_the_work_and_nothing_acknowledged_is_lost(seed):
    steps = random_steps(seed, 35)
    probe = CrashDisk()
    log, _ = open_log(probe)
    start, model = len(probe.calls), Model()
    carry_out_all(log, model, steps)
    for call in range(start + 1, len(probe.calls)):
        disk, model = CrashDisk(), Model()
        log, _ = open_log(disk)
        disk.refuses[call] = errno.EIO
        with pytest.raises(SwarmctlError) as refused:
            carry_out_all(log, model, steps)
        assert refused.value.code == ErrorCode.RAFT_DISK_FAILED, f"call {call}"
        before = len(disk.calls)
        with pytest.raises(SwarmctlError) as again:
            log.sync()
        assert again.value.code == ErrorCode.RAFT_DISK_FAILED
        assert len(disk.calls) == before, "a sync that failed is not tried again"
        for after in (disk.kill(), disk.cut_power(random.Random(call))):
            why = model.why_not(open_log(after)[1])
            assert not why, f"seed {seed}, failed at call {call}: {why}"


def test_a_write_that_was_half_done_on_a_full_disk_does_not_show():
    """Part of the refused write is in the file; a shorter one takes its place later."""
    disk = CrashDisk()
    log, _ = open_log(disk)
    log.save_hard_state(HardState(2, ""))
    log.append([entry(1, 1), entry(2, 1), entry(3, 1)])
    log.sync()
    whole_write = disk.write

    def half(descriptor, content, offset):
        whole_write(descriptor, content[: len(content) // 2], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    log.append([entry(4, 1, 200), entry(5, 1, 250)])
    disk.write = half  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(SwarmctlError):
            log.sync()
    disk.write = whole_write  # type: ignore[method-assign]
    assert [found.index for found in open_log(disk.kill())[1][2]] in ([1, 2, 3], [1, 2, 3, 4])
    log.append([entry(3, 2, 7)])
    log.sync()
    log, (_, _, entries) = open_log(disk.kill())
    assert entries == [entry(1, 1), entry(2, 1), entry(3, 2, 7)]
    assert log.notes == ()


def test_a_write_that_was_half_done_is_cleaned_away_before_a_new_segment_is_made():
    disk = CrashDisk()
    log, _ = open_log(disk)
    log.save_hard_state(HardState(1, ""))
    log.append([entry(1, 1)])
    log.sync()
    whole_write = disk.write

    def half(descriptor, content, offset):
        whole_write(descriptor, content[: len(content) // 2], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    log.append([entry(2, 1, 290)])
    disk.write = half  # type: ignore[method-assign]
    with pytest.raises(SwarmctlError):
        log.sync()
    disk.write = whole_write  # type: ignore[method-assign]
    log.append([entry(number, 1, 299) for number in range(3, 12)])
    log.sync()
    assert sum(name.startswith("journal-") for name in disk.folder) == 2
    assert [found.index for found in open_log(disk.kill())[1][2]] == list(range(1, 12))


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(log: DurableLog) -> int:
    """Write groups of 50 until the disk is full. Returns how many entries were acknowledged."""
    for acknowledged in range(0, 100_000, 50):
        log.append([entry(acknowledged + 1 + number, 1, 290) for number in range(50)])
        try:
            log.sync()
        except SwarmctlError as error:
            code = error.code
            break
    assert code == ErrorCode.RAFT_DISK_FULL
    return acknowledged


def test_a_real_disk_that_is_full_refuses_and_goes_on_when_there_is_space(small_disk):
    owner = Owner("cluster-1", "node-1")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    log = DurableLog(str(small_disk / "raft"), owner, create=True, segment_bytes=128 << 10)
    log.load()
    log.save_hard_state(HardState(1, "node-1"))
    acknowledged = fill(log)
    assert acknowledged > 1000
    meta = SnapshotMeta(acknowledged, 1, MEMBERS)
    with pytest.raises(SwarmctlError) as refused:
        log.publish_snapshot(meta, [bytes(1 << 20)] * 2)
    assert refused.value.code == ErrorCode.RAFT_DISK_FULL
    ballast.unlink()
    log.sync()  # what was refused waits still
    assert log.publish_snapshot(meta, [b"x" * 1000])
    assert log.compact(acknowledged) > 1
    log.close()
    with DurableLog(str(small_disk / "raft"), owner, create=False) as log:
        assert log.load() == (HardState(1, "node-1"), meta, [entry(acknowledged + 1 + n, 1, 290) for n in range(50)])
        reader = log.read_snapshot()
        assert isinstance(reader, SnapshotReader)
        assert b"".join(reader) == b"x" * 1000
