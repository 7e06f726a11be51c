"""The disk in memory does what the real one does, call by call: what holds on it holds."""

from __future__ import annotations

import errno
import os

import pytest

from reconciler.adapters.raft.disk import Disk
from tests.fakes.crash_disk import CrashDisk
from tests.fakes.log_model import OWNER, SEGMENT_BYTES, DurableLog, Model, carry_out, random_steps


@pytest.fixture(params=["real", "memory"])
def disk(request, tmp_path):
    return Disk() if request.param == "real" else CrashDisk()


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def test_a_new_file_is_zeros_and_takes_writes_anywhere(disk, folder):
    path = os.path.join(folder, "file")
    opened = disk.create(path, 100)
    disk.write(opened, b"abc", 50)
    disk.write(opened, bytearray(b"end"), 99)
    disk.sync(opened)
    assert disk.size(opened) == 102
    assert disk.read(opened, 1000, 0) == bytes(50) + b"abc" + bytes(46) + b"end"
    assert disk.read(opened, 2, 51) == b"bc"
    assert disk.read(opened, 2, 102) == b""
    disk.close(opened)
    with pytest.raises(FileExistsError):
        disk.create(path, 0)


def test_names_follow_their_files(disk, folder):
    one, two, three = (os.path.join(folder, name) for name in ("one", "two", "three"))
    for path, content in ((one, b"1"), (two, b"2")):
        opened = disk.create(path, 0)
        disk.write(opened, content, 0)
        disk.close(opened)
    reader = disk.open_to_read(two)
    disk.rename(one, two)
    disk.sync_folder(folder)
    assert disk.names(folder) == ["two"]
    assert disk.read(reader, 9, 0) == b"2", "an open file stays what it was"
    disk.close(reader)
    opened = disk.open(two)
    assert disk.read(opened, 9, 0) == b"1"
    disk.close(opened)
    disk.unlink(two)
    assert disk.names(folder) == []
    for call in (disk.unlink, disk.open, disk.open_to_read, lambda path: disk.rename(path, three)):
        with pytest.raises(FileNotFoundError):
            call(two)


def test_a_lock_is_for_one(disk, folder):
    path = os.path.join(folder, "lock")
    held = disk.lock(path)
    with pytest.raises(BlockingIOError) as refused:
        disk.lock(path)
    assert refused.value.errno == errno.EWOULDBLOCK
    disk.close(held)
    disk.close(disk.lock(path))


@pytest.mark.parametrize("seed", range(2))
def test_the_same_work_gives_the_same_log_on_both(tmp_path, seed):
    found = []
    for disk in (Disk(), CrashDisk()):
        log = DurableLog(str(tmp_path / "log"), OWNER, create=True, disk=disk, segment_bytes=SEGMENT_BYTES)
        model = Model()
        model.adopt(log.load())
        for step in random_steps(seed, 40):
            carry_out(log, model, step)
        log.sync()
        names = [name for name in disk.names(log.folder) if name != "lock"]
        log.close()
        with DurableLog(str(tmp_path / "log"), OWNER, create=False, disk=disk, segment_bytes=SEGMENT_BYTES) as log:
            found.append((log.load(), names))
    assert found[0] == found[1]
