"""What is sealed can't be read, moved or changed; the log keeps its promises with a seal."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.sealing import Seal, place
from reconciler.adapters.raft.snapshot_file import BLOCK_BYTES, SnapshotReader, copy
from reconciler.adapters.sealing import DataSeal, new_key, new_unlock_key, opened, unlock_key_of
from reconciler.consensus.values import Entry, EntryKind, HardState, Membership, SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError

OWNER = Owner("group", "a")
SECRET = b"the swarm's root key"
KEY = new_key()


def sealed_disk(key: bytes = KEY) -> Disk:
    disk = Disk()
    disk.seal = DataSeal([key])
    return disk


def a_log(folder: Path, disk: Disk | None, *, create: bool = False) -> DurableLog:
    return DurableLog(str(folder), OWNER, create=create, disk=disk, segment_bytes=1 << 16)


def entry(index: int, data: bytes = SECRET) -> Entry:
    return Entry(index, 1, EntryKind.NORMAL, data)


def write(folder: Path, disk: Disk | None, *entries: Entry, create: bool = False) -> None:
    with a_log(folder, disk, create=create) as log:
        log.load()
        log.save_hard_state(HardState(1, ""))
        log.append(entries)
        log.sync()


def read(folder: Path, disk: Disk | None) -> list[Entry]:
    with a_log(folder, disk) as log:
        return log.load()[2]


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_a_sealed_journal_is_read_with_its_key_alone(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    write(folder, sealed_disk(), entry(1), entry(2), create=True)
    assert SECRET not in on_disk(folder)
    assert read(folder, sealed_disk()) == [entry(1), entry(2)]
    for other in (sealed_disk(new_key()), None):
        with pytest.raises(SwarmctlError) as refused:
            read(folder, other)
        assert refused.value.code is ErrorCode.RAFT_LOG_FOREIGN
    assert read(folder, sealed_disk()) == [entry(1), entry(2)]


def test_a_journal_that_was_not_sealed_goes_on_sealed(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    write(folder, None, entry(1, b"plain"), create=True)
    write(folder, sealed_disk(), entry(2))
    assert read(folder, sealed_disk()) == [entry(1, b"plain"), entry(2)]
    assert SECRET not in on_disk(folder)


def test_entries_of_all_sizes_fit_into_sealed_segments(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    written = [entry(number, bytes(size)) for number, size in enumerate((0, 1, 65_300, 65_400, 200_000, 3), start=1)]
    write(folder, sealed_disk(), written[0], create=True)
    for one in written[1:]:
        write(folder, sealed_disk(), one)
    assert read(folder, sealed_disk()) == written


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES - 1])
def test_a_sealed_snapshot_is_read_whole_and_at_any_place(tmp_path: Path, size: int) -> None:
    data = (SECRET * (size // len(SECRET) + 1))[:size]
    meta = SnapshotMeta(5, 1, Membership(("a",), ()))
    folder = tmp_path / "log"
    with a_log(folder, sealed_disk(), create=True) as log:
        log.load()
        log.save_hard_state(HardState(1, ""))
        log.sync()
        log.publish_snapshot(meta, [data])
        path = str(log.snapshot_path)
        reader = SnapshotReader(sealed_disk(), path)
        assert (reader.data_bytes, b"".join(SnapshotReader(sealed_disk(), path))) == (size, data)
        for start in (0, size // 2, max(size - 5, 0)):
            assert reader.read_at(start, 300_000) == data[start : start + 300_000]
        reader.close()
        copy(SnapshotReader(sealed_disk(), path), str(tmp_path / "backup"))
    assert SECRET not in on_disk(folder)
    assert b"".join(SnapshotReader(Disk(), str(tmp_path / "backup"))) == data
    for other in (Disk(), sealed_disk(new_key()))[: 2 if size else 1]:
        with pytest.raises(SwarmctlError) as refused:
            b"".join(SnapshotReader(other, path))
        assert refused.value.code is ErrorCode.RAFT_LOG_FOREIGN


def test_what_is_sealed_for_one_place_is_nothing_in_another() -> None:
    seal: Seal = DataSeal([KEY])
    sealed = seal.close(SECRET, b"salt", place(1, 1, 0))
    assert len(sealed) == len(SECRET) + seal.overhead
    assert seal.open(sealed, b"salt", place(1, 1, 0)) == SECRET
    assert seal.open(sealed, b"salt", place(2, 1, 0)) is None
    assert seal.open(sealed, b"tlas", place(1, 1, 0)) is None
    assert seal.open(sealed[:-1], b"salt", place(1, 1, 0)) is None
    assert seal.open(b"", b"salt", place(1, 1, 0)) is None


def test_a_newer_key_seals_and_the_older_still_opens() -> None:
    newer = new_key()
    seal = DataSeal([KEY])
    before = seal.close(SECRET, b"salt", place(1, 1, 0))
    seal.add(newer)
    after = seal.close(SECRET, b"salt", place(1, 1, 0))
    both, old, new = DataSeal([KEY, newer]), DataSeal([KEY]), DataSeal([newer])
    where = (b"salt", place(1, 1, 0))
    assert [one.open(before, *where) for one in (seal, both, old, new)] == [SECRET, SECRET, SECRET, None]
    assert [one.open(after, *where) for one in (seal, both, old, new)] == [SECRET, SECRET, None, SECRET]


def test_an_unlock_key_has_swarms_form() -> None:
    key = new_unlock_key()
    assert len(unlock_key_of(key) or b"") == 32
    assert unlock_key_of("SWMKEY-1-AAAA") == b"\0\0\0"  # an engine decodes it, and only then finds that it is wrong
    assert opened(b"\0\0\0", bytes(40), b"") is None
    for wrong in ("", "nonsense", "SWMKEY-1-*", "SWMKEY-1-A", key + "=", key.removeprefix("SWMKEY-1-")):
        assert unlock_key_of(wrong) is None
