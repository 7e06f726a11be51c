"""Files that were cut or flipped: the log is the same, or refused with what to do; never another one in silence."""

from __future__ import annotations

import os
import random

import pytest

from reconciler.adapters.raft.hard_state import FILE_NAME
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.records import HEADER_BYTES
from reconciler.consensus.values import Entry, EntryKind, HardState, SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.crash_disk import CrashDisk
from tests.fakes.log_model import FOLDER, MEMBERS, OWNER, Loaded, entry, open_log, snapshot_data

EVERY = int(os.environ.get("EVERY", "3"))
"""Each how-many-th bit is flipped; 1 for all of them. Odd, so that all bits of a byte have their turn."""
REFUSALS = {ErrorCode.RAFT_LOG_CORRUPT, ErrorCode.RAFT_LOG_FOREIGN, ErrorCode.RAFT_SNAPSHOT_CORRUPT}


def written() -> tuple[CrashDisk, Loaded]:
    """Two segments and a snapshot; a conflict that was replaced; the last write holds three entries."""
    disk = CrashDisk()
    log, _ = open_log(disk)
    log.save_hard_state(HardState(1, "node-1"))
    log.append([entry(index, 1, 101) for index in range(1, 9)])
    log.sync()
    log.save_hard_state(HardState(2, "node-3"))
    log.append([entry(7, 2, 30), entry(8, 2, 200)])
    log.sync()
    meta = SnapshotMeta(3, 1, MEMBERS)
    log.publish_snapshot(meta, snapshot_data(meta))
    log.append([entry(9, 2, 290), entry(10, 2, 50)])
    log.sync()
    log.append([entry(11, 2, 260), entry(12, 2, 250), entry(13, 2, 40)])
    log.sync()
    log.close()
    return disk, open_log(disk.kill())[1]


DISK, WHOLE = written()
FILES = sorted(DISK.folder)
LAST_SEGMENT = max(name for name in FILES if name.startswith("journal-"))


def read(disk: CrashDisk) -> Loaded:
    """What a start finds, snapshot included. Raises SwarmctlError."""
    log, loaded = open_log(disk)
    reader = log.read_snapshot()
    if reader is not None:
        assert b"".join(reader) == b"".join(snapshot_data(reader.meta))
    return loaded


def changed(name: str, content: bytes) -> str:
    """What a start makes of a folder in which one file has another content: "same" or "refused"."""
    return changed_in(DISK, name, content)


def changed_in(before: CrashDisk, name: str, content: bytes) -> str:
    """As `changed`, of another folder."""
    disk = before.kill()
    disk.put(name, content)
    found = found_in(disk)
    assert found in (WHOLE, None)
    return "same" if found else "refused"


def found_in(disk: CrashDisk) -> Loaded | None:
    """What a start finds, snapshot included; None if it refuses, for the right reasons and in the right words."""
    try:
        return read(disk)
    except SwarmctlError as error:
        [problem] = error.problems
    assert problem.code in REFUSALS
    assert problem.why
    assert "new id" in problem.hint or "folder" in problem.hint
    return None


def test_there_are_two_segments_a_snapshot_and_a_hard_state():
    assert [name.split("-0")[0] for name in FILES] == [FILE_NAME, "journal", "journal", "snapshot"]
    assert [found.index for found in WHOLE[2]] == list(range(4, 14))


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused_or_changes_nothing(name):
    content = DISK.content(name)
    used = len(content.rstrip(b"\0"))
    outcomes = {"same": 0, "refused": 0}
    bits = [*range(0, used * 8, EVERY), *range(used * 8, len(content) * 8, EVERY * 41)]
    for bit in bits:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        outcome = changed(name, bytes(flipped))
        outcomes[outcome] += 1
        if name.startswith("journal") and bit < (used - 42) * 8:
            assert outcome == "refused", f"bit {bit % 8} of byte {bit // 8} of {name} is flipped, and nobody says so"
    assert outcomes["refused"] >= used * 8 // EVERY * 0.9


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_is_refused_at_any_length(name):
    content = DISK.content(name)
    for length in range(0, len(content), 1 if EVERY == 1 else 3):
        assert changed(name, content[:length]) == "refused", f"{name} was cut to {length} bytes"


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_refused(name):
    disk = DISK.kill()
    del disk.folder[name]
    if name.startswith("snapshot-"):
        # The journal was not compacted: it still has everything that the snapshot had.
        assert [found.index for found in read(disk)[2]] == list(range(1, 14))
        return
    with pytest.raises(SwarmctlError) as refused:
        read(disk)
    assert refused.value.code == ErrorCode.RAFT_LOG_CORRUPT


def test_the_last_write_cut_short_at_any_byte_leaves_a_beginning_of_it():
    """The space behind is zeros, as after a crash. What was acknowledged before it is there."""
    content = DISK.content(LAST_SEGMENT)
    used = len(content.rstrip(b"\0"))
    lasts = []
    for end in range(used - 500, used):
        disk = DISK.kill()
        disk.put(LAST_SEGMENT, content[:end] + bytes(len(content) - end))
        log, found = open_log(disk)
        assert found[2] == WHOLE[2][: len(found[2])]
        assert bool(log.notes) == (content[:end].rstrip(b"\0") != content[:used])
        lasts.append(found[2][-1].index)
        assert open_log(disk.kill())[1] == found
    assert lasts == sorted(lasts)
    assert set(lasts) >= {11, 12, 13}


def test_a_write_that_nobody_acknowledged_does_not_come_back_behind_later_ones():
    content = DISK.content(LAST_SEGMENT)
    used = len(content.rstrip(b"\0"))
    disk = DISK.kill()
    disk.put(LAST_SEGMENT, content[: used - 200] + bytes(len(content) - used + 200))
    log, (_, _, entries) = open_log(disk)
    last = entries[-1].index
    assert last < 13
    log.append([entry(last + 1, 2, 9, salt=1)])
    log.sync()
    assert open_log(disk.kill())[1][2] == [*entries, entry(last + 1, 2, 9, salt=1)]


def test_more_than_one_bit_and_whole_sectors_are_never_taken_for_another_log():
    """Damage of any size. A damaged end may look like a write cut short; then a beginning of the log is left."""
    chance = random.Random(5)
    refused = 0
    for _ in range(1500):
        name = chance.choice(FILES)
        content = bytearray(DISK.content(name))
        start = chance.randrange(len(content))
        length = chance.choice([1, 2, 4, 16, 100, 512, 4096])
        content[start : start + length] = chance.choice([bytes(length), chance.randbytes(length)])[
            : len(content) - start
        ]
        disk = DISK.kill()
        disk.put(name, bytes(content))
        found = found_in(disk)
        if found is None:
            refused += 1
            continue
        assert found[:2] == WHOLE[:2]
        assert found[2] == WHOLE[2][: len(found[2])]
        assert len(found[2]) >= 7, "more than the last write is gone"
    assert refused > 500


def in_one_segment(groups: list[list[Entry]]) -> tuple[CrashDisk, str]:
    """A log of these writes, and the name of its only segment."""
    disk = CrashDisk()
    log = DurableLog(FOLDER, OWNER, create=True, disk=disk, segment_bytes=16 << 10)
    log.load()
    log.save_hard_state(HardState(1, ""))
    for group in groups:
        log.append(group)
        log.sync()
    log.close()
    [name] = [name for name in disk.folder if name.startswith("journal-")]
    return disk, name


def test_a_lost_sector_of_an_acknowledged_write_with_another_behind_it_is_refused():
    """Alone it could be a write cut short; a later one proves that it had been synced."""
    groups = [[entry(index, 1, 290), entry(index + 1, 1, 295), entry(index + 2, 1, 281)] for index in range(1, 20, 3)]
    disk, name = in_one_segment([*groups, [entry(22, 1)]])
    content = disk.content(name)
    starts = range(0, len(content.rstrip(b"\0")) - 1024, 512)
    assert len(starts) > 8
    for start in starts:
        assert changed_in(disk, name, content[:start] + bytes(512) + content[start + 512 :]) == "refused"


def test_zeros_in_the_data_of_the_last_write_do_not_hide_a_flipped_bit():
    zeros = Entry(2, 1, EntryKind.NORMAL, bytes(3000))
    disk, name = in_one_segment([[entry(1, 1, 30), zeros, entry(3, 1, 30)]])
    content = disk.content(name)
    for bit in range(HEADER_BYTES * 8, (len(content.rstrip(b"\0")) - 42) * 8, 13):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        assert changed_in(disk, name, bytes(flipped)) == "refused"
    cut_short = content[:1024] + bytes(512) + content[1536:]
    assert cut_short == content, "there are sectors of zeros"


def test_a_journal_inside_the_data_of_an_entry_is_data():
    """Whoever writes entries can't make the end of a journal look damaged, or like more entries."""
    disk = DISK.kill()
    log, (_, _, entries) = open_log(disk)
    journal = DISK.content(LAST_SEGMENT).rstrip(b"\0")
    log.append([Entry(14, 2, EntryKind.NORMAL, journal), entry(15, 2)])
    log.sync()
    log.close()
    name = max(name for name in disk.folder if name.startswith("journal-"))
    content = disk.content(name)
    at = content.rindex(journal) + HEADER_BYTES
    disk.put(name, content[:at] + b"\0" + content[at + 1 :])
    with pytest.raises(SwarmctlError):
        open_log(disk.kill())
    for start in range(-(-at // 512) * 512, len(content.rstrip(b"\0")) - 512, 512):
        disk.put(name, content[:start] + bytes(512) + content[start + 512 :])
        assert open_log(disk.kill())[1][2] == entries
    disk.put(name, content[: at + 400] + bytes(len(content) - at - 400))
    assert open_log(disk.kill())[1][2] == entries
