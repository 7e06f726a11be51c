"""The door of the durable log: what it keeps, what it refuses, and in which words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.journal import AHEAD_BYTES
from reconciler.adapters.raft.log import PENDING_BYTES_MAX, DurableLog
from reconciler.adapters.raft.records import HEADER_BYTES
from reconciler.consensus.values import Entry, EntryKind, HardState, Membership, SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.crash_disk import CrashDisk
from tests.fakes.log_model import MEMBERS, OWNER, entry, open_log

ROOT = Path(__file__).resolve().parents[4]


def opened(folder: Path, owner: Owner = OWNER, *, create: bool = False) -> DurableLog:
    return DurableLog(str(folder), owner, create=create, segment_bytes=1 << 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of term 3 with five entries, the last two of which took the place of others."""
    with opened(tmp_path / "a" / "log", create=True) as log:
        assert log.load() == (HardState(), None, [])
        log.save_hard_state(HardState(2, "node-2"))
        log.append([entry(1, 1), entry(2, 1), entry(3, 2), entry(4, 2), entry(5, 2), entry(6, 2)])
        log.sync()
        log.save_hard_state(HardState(3, ""))
        log.append([entry(4, 3), entry(5, 3)])
        log.sync()
    return tmp_path / "a" / "log"


def refusal(folder: Path, owner: Owner = OWNER) -> SwarmctlError:
    with pytest.raises(SwarmctlError) as refused, opened(folder, owner) as log:
        log.load()
    return refused.value


def test_a_start_finds_hard_state_and_log_as_they_were_synced(folder):
    with opened(folder) as log:
        state, snapshot, entries = log.load()
    assert (state, snapshot) == (HardState(3, ""), None)
    assert entries == [entry(1, 1), entry(2, 1), entry(3, 2), entry(4, 3), entry(5, 3)]
    assert all(type(found.kind) is EntryKind for found in entries)


def test_what_was_not_synced_is_not_there(folder):
    with opened(folder) as log:
        log.load()
        log.append([entry(6, 3)])
        log.save_hard_state(HardState(9, "node-1"))
    with opened(folder) as log:
        state, _, entries = log.load()
        assert (state.term, len(entries)) == (3, 5)


def test_one_sync_of_many_appends_is_one_write_and_one_fdatasync():
    disk = CrashDisk()
    log, _ = open_log(disk)
    log.save_hard_state(HardState(1, ""))
    log.sync()
    before = len(disk.calls)
    for index in range(1, 20):
        log.append([entry(index, 1, 20)])
    log.append([entry(15, 1, 30)])
    log.sync()
    log.sync()
    assert disk.calls[before:] == ["write", "sync"]


def test_a_small_write_lays_zeros_ahead_of_itself_once_and_within_its_segment(tmp_path):
    sizes: list[int] = []

    class Measuring(Disk):
        def write(self, descriptor: int, content: bytes | bytearray, offset: int) -> None:
            sizes.append(len(content))
            super().write(descriptor, content, offset)

    with DurableLog(str(tmp_path / "log"), OWNER, create=True, disk=Measuring(), segment_bytes=2 * AHEAD_BYTES) as log:
        log.load()
        log.save_hard_state(HardState(1, ""))
        log.sync()
        sizes.clear()
        for index in range(1, 7):
            log.append([Entry(index, 1, EntryKind.NORMAL, bytes(40_000))])
            log.sync()
    small = sizes[1]
    assert 40_000 < small < 41_000
    assert sizes == [small + AHEAD_BYTES, small, small, small, 2 * AHEAD_BYTES - HEADER_BYTES - 4 * small, small]
    with DurableLog(str(tmp_path / "log"), OWNER, create=False) as log:
        assert len(log.load()[2]) == 6


def test_the_hard_state_is_under_its_name_before_entries_of_its_term_are_written():
    disk = CrashDisk()
    log, _ = open_log(disk)
    before = len(disk.calls)
    log.append([entry(1, 1, 20)])
    log.save_hard_state(HardState(1, ""))
    log.sync()
    save = ["create hard-state.tmp", "write", "sync", "rename hard-state", "sync folder"]
    assert disk.calls[before:] == [*save, "write", "sync"]


def test_another_process_is_told_that_the_folder_is_in_use(folder):
    program = (
        "import sys; from reconciler.adapters.raft.log import DurableLog; from tests.fakes.log_model import OWNER\n"
        "try: DurableLog(sys.argv[1], OWNER, create=True)\n"
        "except Exception as error: print(error.code, error)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    with opened(folder) as log:
        log.load()
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert told.stdout == f"raft-log-locked {folder} is in use.\n"
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout == b""


def test_in_one_process_too_a_folder_has_one_log(folder):
    with opened(folder):
        assert refusal(folder).code == ErrorCode.RAFT_LOG_LOCKED
    with opened(folder) as log:
        assert len(log.load()[2]) == 5


@pytest.mark.parametrize("owner", [Owner("cluster-1", "node-2"), Owner("cluster-2", "node-1")])
def test_a_folder_of_another_node_or_cluster_is_refused(folder, owner):
    error = refusal(folder, owner)
    assert error.code == ErrorCode.RAFT_LOG_FOREIGN
    assert "node-1 in cluster cluster-1" in error.problems[0].why


def test_a_segment_of_another_node_is_refused(folder, tmp_path):
    with opened(tmp_path / "other", Owner("cluster-1", "node-2"), create=True) as log:
        log.load()
    name = next(folder.glob("journal-*")).name
    (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    assert refusal(folder).code == ErrorCode.RAFT_LOG_FOREIGN


def test_an_empty_folder_is_refused_unless_the_node_is_new(tmp_path):
    assert refusal(tmp_path / "empty").code == ErrorCode.RAFT_LOG_MISSING
    with opened(tmp_path / "empty", create=True) as log:
        log.load()
    with opened(tmp_path / "empty") as log:
        assert log.load() == (HardState(), None, [])


@pytest.mark.parametrize("create", [True, False])
def test_a_journal_without_hard_state_is_refused_even_for_a_new_node(folder, create):
    (folder / "hard-state").unlink()
    with pytest.raises(SwarmctlError, match="is missing") as refused, opened(folder, create=create) as log:
        log.load()
    assert refused.value.code == ErrorCode.RAFT_LOG_CORRUPT


def test_a_hard_state_without_journal_is_refused(folder):
    next(folder.glob("journal-*")).unlink()
    assert refusal(folder).code == ErrorCode.RAFT_LOG_CORRUPT


def test_a_hard_state_that_is_older_than_the_log_is_refused(folder, tmp_path):
    with opened(tmp_path / "young", create=True) as log:
        log.load()
    (folder / "hard-state").write_bytes((tmp_path / "young" / "hard-state").read_bytes())
    error = refusal(folder)
    assert error.code == ErrorCode.RAFT_LOG_CORRUPT
    assert "term 0" in error.problems[0].why


def test_a_copy_of_an_older_journal_beside_a_newer_hard_state_is_refused(folder):
    older = next(folder.glob("journal-*")).read_bytes()
    with opened(folder) as log:
        log.load()
        log.append([Entry(6, 3, EntryKind.NORMAL, bytes(1 << 17))])
        log.sync()
    segments = sorted(folder.glob("journal-*"))
    assert len(segments) == 2
    segments[1].unlink()
    segments[0].write_bytes(older)
    assert refusal(folder).code == ErrorCode.RAFT_LOG_CORRUPT


@pytest.mark.parametrize(
    "entries",
    [
        [entry(7, 3)],
        [entry(0, 3)],
        [entry(6, 2)],
        [entry(6, 3), entry(8, 3)],
        [entry(6, 4), entry(7, 3)],
        [entry(4, 1)],
    ],
    ids=["gap", "index 0", "term falls", "gap inside", "term falls inside", "term falls at a conflict"],
)
def test_entries_that_can_not_follow_are_a_bug_of_the_caller(folder, entries):
    with opened(folder) as log:
        before = log.load()
        with pytest.raises(ValueError, match="can't follow"):
            log.append(entries)
        log.sync()
    with opened(folder) as log:
        assert log.load() == before


def test_entries_of_a_term_that_nobody_stored_are_not_synced(folder):
    with opened(folder) as log:
        log.load()
        log.append([entry(6, 4)])
        with pytest.raises(ValueError, match="without a hard state"):
            log.sync()
        log.save_hard_state(HardState(4, ""))
        log.sync()


@pytest.mark.parametrize("state", [HardState(2, ""), HardState(3, "node-3")])
def test_a_term_does_not_fall_and_a_vote_does_not_change(folder, state):
    with opened(folder) as log:
        log.load()
        log.save_hard_state(HardState(3, "node-2"))
        with pytest.raises(ValueError, match="can't follow"):
            log.save_hard_state(state)


def test_nothing_works_before_load_and_load_works_once(folder):
    with opened(folder) as log:
        for call in (log.sync, lambda: log.append([entry(6, 3)]), lambda: log.save_hard_state(HardState(9))):
            with pytest.raises(ValueError, match="load comes first"):
                call()
        log.load()
        with pytest.raises(ValueError, match="before"):
            log.load()


def test_what_waits_for_a_sync_has_a_limit(folder):
    with opened(folder) as log:
        log.load()
        with pytest.raises(ValueError, match="would wait"):
            log.append([Entry(6, 3, EntryKind.NORMAL, bytes(PENDING_BYTES_MAX + 1))])


def test_compaction_asks_for_a_snapshot_and_leaves_the_log_behind_it(folder):
    with opened(folder) as log:
        log.load()
        with pytest.raises(ValueError, match="in no snapshot"):
            log.compact(3)
        big = [Entry(6 + number, 3, EntryKind.NORMAL, os.urandom(40_000)) for number in range(6)]
        for one in big:
            log.append([one])
            log.sync()
        log.publish_snapshot(SnapshotMeta(8, 3, MEMBERS), [b"state"])
        with pytest.raises(ValueError, match="in no snapshot"):
            log.compact(9)
        assert log.compact(8) == 3
        assert log.compact(8) == 0
        with pytest.raises(ValueError, match="in the snapshot"):
            log.append([entry(8, 3)])
    with opened(folder) as log:
        state, snapshot, entries = log.load()
        assert (state, snapshot) == (HardState(3, ""), SnapshotMeta(8, 3, MEMBERS))
        assert entries == big[3:]


def test_a_snapshot_from_the_leader_replaces_a_log_that_does_not_have_its_last_entry(folder):
    with opened(folder) as log:
        log.load()
        log.save_hard_state(HardState(5, ""))
        log.sync()
        assert log.publish_snapshot(SnapshotMeta(4, 4, MEMBERS), [b"state"])
        log.append([entry(5, 5, 77)])
        log.sync()
    with opened(folder) as log:
        assert log.load()[2] == [entry(5, 5, 77)]


def test_a_snapshot_ahead_of_the_log_is_where_the_log_goes_on(folder):
    with opened(folder) as log:
        log.load()
        assert log.publish_snapshot(SnapshotMeta(100, 3, MEMBERS), [b"state"])
        with pytest.raises(ValueError, match="can't follow"):
            log.append([entry(102, 3)])
        log.append([entry(101, 3)])
        log.sync()
    with opened(folder) as log:
        assert log.load() == (HardState(3, ""), SnapshotMeta(100, 3, MEMBERS), [entry(101, 3)])


def test_a_log_without_the_entries_between_snapshot_and_journal_is_refused(folder):
    with opened(folder) as log:
        log.load()
        for index in range(6, 9):
            log.append([Entry(index, 3, EntryKind.NORMAL, os.urandom(60_000))])
            log.sync()
        log.publish_snapshot(SnapshotMeta(7, 3, Membership(("node-1",))), [])
        assert log.compact(7) == 2
    next(folder.glob("snapshot-*")).unlink()
    error = refusal(folder)
    assert error.code == ErrorCode.RAFT_LOG_CORRUPT
    assert "begins behind entry 7" in error.problems[0].why


def test_what_a_crash_left_half_made_is_removed(folder):
    for name in ("journal-00000000000000000002.tmp", "hard-state.tmp", "snapshot-1.tmp"):
        (folder / name).write_bytes(b"half")
    with opened(folder) as log:
        assert len(log.load()[2]) == 5
    assert not list(folder.glob("*.tmp"))


def test_files_are_for_their_owner_alone(folder):
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_nothing_is_left_open(folder):
    before = len(os.listdir("/proc/self/fd"))
    with opened(folder) as log:
        log.load()
        log.append([Entry(6, 3, EntryKind.NORMAL, bytes(1 << 17))])
        log.publish_snapshot(SnapshotMeta(5, 3, MEMBERS), [b"state"])
        reader = log.read_snapshot()
        assert reader is not None
        reader.close()
    refusal(folder, Owner("cluster-1", "node-2"))
    assert len(os.listdir("/proc/self/fd")) == before
