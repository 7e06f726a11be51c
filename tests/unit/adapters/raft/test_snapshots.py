"""Snapshot files: streamed, whole or not there, verified, and never replaced by an older one."""

from __future__ import annotations

import random
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.snapshot_file import BLOCK_BYTES, SnapshotReader, backup, verify
from reconciler.adapters.raft.snapshotting import Incoming
from reconciler.consensus.outputs import SnapshotPiece
from reconciler.consensus.values import HardState, Membership, SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.store.machine import State, pass_over
from reconciler.store.snapshot import encode
from tests.fakes.crash_disk import CrashDisk
from tests.fakes.log_model import MEMBERS, OWNER, entry, open_log

META = SnapshotMeta(5, 1, MEMBERS)


@pytest.fixture
def log(tmp_path: Path):
    with DurableLog(str(tmp_path / "log"), OWNER, create=True, segment_bytes=1 << 16) as log:
        log.load()
        log.save_hard_state(HardState(1, ""))
        log.append([entry(index, 1) for index in range(1, 10)])
        log.sync()
        yield log


def content(log: DurableLog) -> bytes:
    reader = log.read_snapshot()
    assert reader is not None
    return b"".join(reader)


@pytest.mark.parametrize(
    "chunks",
    [[], [b""], [b"a"], [b"a", b"", b"bc"], [b"x" * (2 * BLOCK_BYTES + 7)], [bytes(100_000)] * 30],
    ids=["nothing", "empty", "one", "some", "large", "many"],
)
def test_a_snapshot_is_read_as_it_was_written(log, chunks):
    assert log.publish_snapshot(META, iter(chunks))
    reader = log.read_snapshot()
    assert (reader.meta, reader.cluster) == (META, "cluster-1")
    blocks = list(reader)
    assert b"".join(blocks) == b"".join(chunks)
    assert max(map(len, blocks), default=0) <= BLOCK_BYTES
    assert verify(log.snapshot_path) == META


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 900_001])
def test_any_place_of_a_snapshot_can_be_read(log, size):
    data = random.Random(size).randbytes(size)
    log.publish_snapshot(META, [data[:7], data[7:300_000], data[300_000:]])
    reader = log.read_snapshot()
    assert reader.data_bytes == size
    places = [(0, size + 1), (size, 10), (max(size - 3, 0), 10), (BLOCK_BYTES - 5, 11), (1, 2 * BLOCK_BYTES), (0, 0)]
    for offset, length in [*places, *((at, 65_536) for at in range(0, size, 65_536))]:
        assert reader.read_at(offset, length) == data[offset : offset + length]
    assert b"".join(reader) == data


def test_a_damaged_block_is_not_read_and_the_others_are(log):
    log.publish_snapshot(META, [bytes(BLOCK_BYTES), b"x" * BLOCK_BYTES, b"end"])
    path = Path(log.snapshot_path)
    content = bytearray(path.read_bytes())
    content[content.index(b"xxx") + 9] ^= 1
    path.write_bytes(content)
    reader = log.read_snapshot()
    assert reader.read_at(0, BLOCK_BYTES) == bytes(BLOCK_BYTES)
    assert reader.read_at(2 * BLOCK_BYTES, 9) == b"end"
    with pytest.raises(SwarmctlError, match="damaged"):
        reader.read_at(BLOCK_BYTES - 1, 2)
    with pytest.raises(SwarmctlError, match="damaged"):
        list(reader)


def test_a_backup_becomes_a_new_cluster_of_one(log, tmp_path):
    log.publish_snapshot(META, [b"state" * 1000] * 100)
    backup(log.snapshot_path, str(tmp_path / "backup"))
    saved = SnapshotReader(Disk(), str(tmp_path / "backup"))
    alone = SnapshotMeta(saved.meta.index, saved.meta.term, Membership(("node-7",)))
    owner = Owner("cluster-2", "node-7")
    with DurableLog(str(tmp_path / "new"), owner, create=True) as restored:
        restored.load()
        restored.save_hard_state(HardState(saved.meta.term))
        restored.publish_snapshot(alone, saved)
    with DurableLog(str(tmp_path / "new"), owner, create=False) as restored:
        assert restored.load() == (HardState(1), alone, [])
        assert content(restored) == b"state" * 100_000


def test_a_damaged_backup_does_not_become_a_cluster(log, tmp_path):
    log.publish_snapshot(META, [b"state" * 1000] * 100)
    damaged = bytearray(Path(log.snapshot_path).read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "backup").write_bytes(damaged)
    with DurableLog(str(tmp_path / "new"), OWNER, create=True) as restored:
        restored.load()
        restored.save_hard_state(HardState(1))
        with pytest.raises(SwarmctlError, match="damaged"):
            restored.publish_snapshot(META, SnapshotReader(Disk(), str(tmp_path / "backup")))
        assert restored.read_snapshot() is None


def test_there_is_none_at_first(log):
    assert log.read_snapshot() is None
    assert log.snapshot_path is None


def test_an_older_or_equal_one_never_replaces_a_newer(log):
    log.publish_snapshot(META, [b"new"])
    late = log.begin_snapshot(SnapshotMeta(5, 1, Membership(("node-9",))))
    late.write(b"late")
    late.finish()
    for index in (5, 4):
        assert not log.publish_snapshot(SnapshotMeta(index, 1, MEMBERS), [b"old"])
    assert not log.publish(late)
    assert content(log) == b"new"
    assert len(list(Path(log.folder).glob("snapshot-*"))) == 1


def test_a_newer_one_replaces_it_while_it_is_being_read(log):
    log.publish_snapshot(META, [b"1" * 10] * 3)
    reader = log.read_snapshot()
    blocks = iter(reader)
    first = next(blocks)
    log.publish_snapshot(SnapshotMeta(7, 1, MEMBERS), [b"2"])
    assert b"".join([first, *blocks]) == b"1" * 30
    assert content(log) == b"2"
    assert len(list(Path(log.folder).glob("snapshot-*"))) == 1


def test_the_log_goes_on_while_one_is_written_and_an_abandoned_one_leaves_nothing(log):
    writer = log.begin_snapshot(META)
    writer.write(b"half")
    log.append([entry(10, 1)])
    log.sync()
    writer.abandon()
    writer.abandon()
    assert log.read_snapshot() is None
    assert not list(Path(log.folder).glob("snapshot-*"))


def test_a_source_of_chunks_that_fails_leaves_nothing(log):
    def chunks():
        yield b"some"
        raise RuntimeError("the state can't be encoded")

    with pytest.raises(RuntimeError):
        log.publish_snapshot(META, chunks())
    assert not list(Path(log.folder).glob("snapshot-*"))
    assert log.publish_snapshot(META, [b"whole"])


def test_nothing_of_the_journal_goes_before_the_snapshot_is_durable():
    disk = CrashDisk()
    log, _ = open_log(disk)
    log.save_hard_state(HardState(1, ""))
    for index in range(1, 30):
        log.append([entry(index, 1, 290)])
        log.sync()
    before = len(disk.calls)
    log.publish_snapshot(SnapshotMeta(29, 1, MEMBERS), [b"state"])
    log.compact(29)
    calls = disk.calls[before:]
    placed = calls.index("rename snapshot-00000000000000000029-00000000000000000001")
    first_gone = next(number for number, call in enumerate(calls) if call.startswith("unlink journal"))
    assert calls[placed - 1 : placed + 2] == ["sync", calls[placed], "sync folder"]
    assert placed + 1 < first_gone
    assert all(calls[number + 1] == "sync folder" for number, call in enumerate(calls) if call.startswith("unlink j"))


def test_a_term_that_nobody_stored_is_refused_before_anything_is_placed(log):
    with pytest.raises(ValueError, match="without a hard state"):
        log.publish_snapshot(SnapshotMeta(20, 2, MEMBERS), [b"x"])
    assert log.read_snapshot() is None
    assert not list(Path(log.folder).glob("snapshot-*"))


def test_a_backup_is_the_same_file_and_verified(log, tmp_path):
    log.publish_snapshot(META, [b"state" * 1000] * 50)
    target = tmp_path / "backup"
    assert backup(log.snapshot_path, str(target)) == META
    assert target.read_bytes() == Path(log.snapshot_path).read_bytes()
    assert verify(str(target)) == META


def test_a_damaged_snapshot_is_not_backed_up_and_the_older_backup_stays(log, tmp_path):
    log.publish_snapshot(META, [b"state" * 1000] * 50)
    target = tmp_path / "backup"
    backup(log.snapshot_path, str(target))
    kept = target.read_bytes()
    damaged = bytearray(kept)
    damaged[len(damaged) // 2] ^= 1
    Path(log.snapshot_path).write_bytes(bytes(damaged))
    with pytest.raises(SwarmctlError) as refused:
        backup(log.snapshot_path, str(target))
    assert refused.value.code == ErrorCode.RAFT_SNAPSHOT_CORRUPT
    assert target.read_bytes() == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "log"]


def test_any_change_of_a_snapshot_file_is_found(log):
    log.publish_snapshot(META, [b"state", b"", bytes(700), b"end"])
    whole = Path(log.snapshot_path).read_bytes()
    chance = random.Random(3)
    changes = [whole[:length] for length in range(len(whole))]
    changes += [whole + b"\0", whole + whole, b"", whole[::-1]]
    for bit in range(0, len(whole) * 8, 3):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        changes.append(bytes(flipped))
    changes += [whole[: (cut := chance.randrange(len(whole)))] + chance.randbytes(len(whole) - cut) for _ in range(200)]
    disk = CrashDisk()
    disk.put("whole", whole)
    assert verify("whole", disk) == META
    for change in changes:
        disk.put("changed", change)
        with pytest.raises(SwarmctlError) as refused:
            verify("changed", disk)
        assert refused.value.code == ErrorCode.RAFT_SNAPSHOT_CORRUPT


def test_blocks_that_changed_places_are_found(log, tmp_path):
    log.publish_snapshot(META, [b"a" * BLOCK_BYTES, b"b" * BLOCK_BYTES])
    whole = Path(log.snapshot_path).read_bytes()
    one = whole.index(b"aaaa") - 8
    two, end = one + BLOCK_BYTES + 8, one + 2 * BLOCK_BYTES + 16
    target = tmp_path / "changed"
    target.write_bytes(whole[:one] + whole[two:end] + whole[one:two] + whole[end:])
    with pytest.raises(SwarmctlError):
        verify(str(target))


def test_a_snapshot_under_another_name_or_of_another_cluster_is_refused(log, tmp_path):
    log.publish_snapshot(META, [b"state"])
    path = Path(log.snapshot_path)
    log.close()
    path.rename(path.with_name(path.name.replace("005-", "006-")))
    with DurableLog(log.folder, OWNER, create=False) as again, pytest.raises(SwarmctlError) as refused:
        again.load()
    assert refused.value.code == ErrorCode.RAFT_SNAPSHOT_CORRUPT


def test_pieces_that_are_missing_doubled_swapped_or_of_another_never_make_a_snapshot(log):
    state = State()
    pass_over(state, 20)
    data = b"".join(encode(state))
    cuts = [0, 1, len(data) // 2, len(data) - 1, len(data)]
    metas = SnapshotMeta(20, 1, MEMBERS), SnapshotMeta(21, 1, MEMBERS)
    pieces = [
        SnapshotPiece(meta, start, data[start:end], end == len(data)) for meta in metas for start, end in pairwise(cuts)
    ]
    chance, incoming = random.Random(3), Incoming()
    for _ in range(300):
        chosen = chance.choices(pieces, k=5)
        if chosen[1:] == pieces[:4] or chosen[:4] == pieces[:4]:
            continue  # as it ought to be
        for piece in chosen:
            with suppress(SwarmctlError):
                assert incoming.take(log, piece) is None
        incoming.abandon()
    assert log.read_snapshot() is None
    taken = [incoming.take(log, piece) for piece in pieces[:4]]
    assert [one and one.index for one in taken] == [None, None, None, 20]
    assert content(log) == data
