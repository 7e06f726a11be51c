"""The entries of the log on disk: segments that are only appended to.

An entry whose index is already in the log takes the place of that entry and of all behind it; nothing is overwritten.
So truncating is one write with what follows it, and a crash leaves either the old end or the new beginning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import msgspec

from reconciler.adapters.raft import refusals
from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.files import put_file, read_file, sync, sync_folder
from reconciler.adapters.raft.outline import Outline
from reconciler.adapters.raft.records import (
    END_BYTES,
    HEADER_BYTES,
    KIND_RESET,
    KIND_SEALED,
    RECORD_BYTES,
    Contents,
    Record,
    SegmentHeader,
    encode_end,
    encode_records,
    encode_reset,
    group_bytes,
    read_segment,
)
from reconciler.adapters.raft.sealing import place
from reconciler.consensus.values import Entry, EntryKind

SEGMENT_BYTES = 16 << 20
"""Allocated at once, and more for a single write that is larger: large enough that making one is rare, small enough
that compaction frees space soon."""
AHEAD_BYTES = 128 << 10
"""Zeros that a smaller write lays behind itself where there was none yet. A file system has to note the first write to
blocks that are only allocated, which costs that sync a second write (measured with ext4 and 18 KB: 330 us and 180 us).
"""
_NAME = re.compile(r"journal-(\d{20})")
_KINDS = {kind.value: kind for kind in EntryKind}


class Segment(msgspec.Struct):
    """One file. `top` is the greatest index in it that is in the log still."""

    header: SegmentHeader
    path: str
    top: int


class Journal:
    """The files `journal-SEQUENCE` of a folder. `load` or `create` comes first."""

    def __init__(self, disk: Disk, folder: str, owner: bytes, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._disk = disk
        self._folder = folder
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._segments: list[Segment] = []
        self._descriptor = -1
        self._offset = 0
        self._dirty = 0
        """Up to here a write that failed may have left something behind `_offset`."""
        self._laid = 0
        """Up to here there were writes, if only of zeros."""
        self.outline = Outline()
        self.notes: list[str] = []
        """What was repaired by `load`, in sentences."""

    @staticmethod
    def owns(name: str) -> bool:
        """Whether a file of this name is a segment."""
        return _NAME.fullmatch(name) is not None

    @property
    def sequence(self) -> int:
        """The number of the newest segment, counted from 1; 0 for none."""
        return self._segments[-1].header.sequence if self._segments else 0

    def load(self, names: list[str]) -> list[Entry]:
        """Read all segments among the folder's `names`; repair the end of the last. Returns the log's entries.

        Raises raft-log-corrupt, raft-log-foreign, OSError, DurabilityUnknown.
        """
        entries: list[Entry] = []
        files = sorted(name for name in names if self.owns(name))
        for number, name in enumerate(files):
            path = os.path.join(self._folder, name)
            content = read_file(self._disk, path)
            header = self._read_header(path, content)
            contents = read_segment(header, content)
            last = number == len(files) - 1
            if contents.damage or (contents.torn and not last):
                why = (
                    contents.damage
                    or f"What was written at byte {contents.group} is cut short, and a later segment follows."
                )
                raise refusals.corrupt(f"{path} is damaged.", why)
            self._segments.append(Segment(header, path, 0))
            self._replay(path, contents.records, entries)
            if last:
                self._take_over(path, contents)
        return entries

    def needs_segment(self, entries: Sequence[Entry]) -> bool:
        """Whether the newest segment has no room for a write of these."""
        return not self._segments or self._offset + self._group_bytes(entries) > self._segments[-1].header.size

    def add_segment(self, entries: Sequence[Entry] = ()) -> None:
        """Begin a new segment that has room for these. Raises OSError (nothing changed) or DurabilityUnknown."""
        self._clean()
        size = max(self._segment_bytes, HEADER_BYTES + self._group_bytes(entries))
        outline = self.outline
        header = SegmentHeader(
            self.sequence + 1, size, outline.last, max(outline.last_term, 0), os.urandom(8), self._owner
        )
        path = os.path.join(self._folder, f"journal-{header.sequence:020d}")
        put_file(self._disk, path, header.encode(), size)
        descriptor = self._disk.open(path)
        self.close()
        self._segments.append(Segment(header, path, 0))
        self._descriptor, self._offset, self._dirty, self._laid = descriptor, HEADER_BYTES, 0, 0

    def write(self, entries: Sequence[Entry]) -> None:
        """Make entries durable, in one write and one sync; the segment must have room.

        The caller has checked that they follow the log or take the place of its end. An OSError means that none is in
        the log, and it may be called again; DurabilityUnknown that some or all may be after a crash.
        """
        header = self._segments[-1].header
        self._write(encode_records(header, self._offset, [self._sealed(header, entry) for entry in entries]))
        first = entries[0].index
        for segment in self._segments:
            segment.top = min(segment.top, first - 1)
        problem = self.outline.add_all([(entry.index, entry.term) for entry in entries])
        assert not problem, problem
        self._segments[-1].top = self.outline.last

    def reset(self, index: int, term: int) -> None:
        """Let the log start anew behind an index: a snapshot holds what was up to it. Errors as in `write`."""
        if self._offset + RECORD_BYTES + END_BYTES > self._segments[-1].header.size:
            self.add_segment()
        self._write(encode_reset(self._segments[-1].header, self._offset, index, term))
        self._reset(index, term)

    def compact(self, index: int) -> int:
        """Remove the segments of which the log needs nothing behind `index`. Returns how many.

        The newest one stays. Each removal is durable before the next, so that what is left has no gap. Raises
        OSError, DurabilityUnknown; it may then be called again.
        """
        removed = 0
        while len(self._segments) > 1 and self._segments[0].top <= index:
            self._disk.unlink(self._segments[0].path)
            del self._segments[0]
            removed += 1
            sync_folder(self._disk, self._folder)
        self.outline.forget(min(index, self.outline.last))
        return removed

    def close(self) -> None:
        """Close the newest segment. Syncs nothing: whatever counts is synced."""
        if self._descriptor >= 0:
            self._disk.close(self._descriptor)
            self._descriptor = -1

    def _group_bytes(self, entries: Sequence[Entry]) -> int:
        return group_bytes(entries) + (self._disk.seal.overhead * len(entries) if self._disk.seal else 0)

    def _sealed(self, header: SegmentHeader, entry: Entry) -> Record:
        """Return an entry as it is written."""
        if self._disk.seal is None:
            return entry.index, entry.term, entry.kind, entry.data
        where = place(entry.index, entry.term, entry.kind)
        sealed = self._disk.seal.close(entry.data, header.salt, where)
        return entry.index, entry.term, entry.kind | KIND_SEALED, sealed

    def _opened(self, path: str, header: SegmentHeader, record: Record) -> Record:
        """Return a record as it was before it was sealed. Raises raft-log-foreign without the key."""
        index, term, kind, data = record
        if kind >= KIND_RESET or not kind & KIND_SEALED:
            return record
        kind &= ~KIND_SEALED
        seal = self._disk.seal
        opened = seal.open(data, header.salt, place(index, term, kind)) if seal else None
        if opened is None:
            raise refusals.foreign(self._folder, f"Entry {index} in {path} is sealed with a key that was not given.")
        return index, term, kind, opened

    def _read_header(self, path: str, content: bytes) -> SegmentHeader:
        header = SegmentHeader.decode(content)
        if header is None and SegmentHeader.is_of_another_format(content):
            raise refusals.too_new(path)
        if header is None:
            raise refusals.corrupt(f"{path} is damaged.", "Its head does not match its checksum.")
        if header.owner != self._owner:
            raise refusals.foreign(self._folder, f"{path} is of another node or cluster.")
        if header.size != len(content):
            raise refusals.corrupt(
                f"{path} is damaged.", f"It has {len(content)} bytes; {header.size} were allocated when it was made."
            )
        if os.path.basename(path) != f"journal-{header.sequence:020d}":
            raise refusals.corrupt(f"{path} is damaged.", f"Its head says that it is segment {header.sequence}.")
        if not self._segments:
            self.outline.reset(header.last_index, header.last_term)
        elif header.sequence != self.sequence + 1:
            raise refusals.corrupt(
                f"Segments of the journal in {self._folder} are missing.",
                f"Segment {header.sequence} follows segment {self.sequence}.",
            )
        elif (header.last_index, header.last_term) != (self.outline.last, max(self.outline.last_term, 0)):
            raise refusals.corrupt(
                f"{self._segments[-1].path} is damaged.",
                f"It ends with entry {self.outline.last}; the next segment was made behind entry {header.last_index}.",
            )
        return header

    def _replay(self, path: str, records: list[Record], entries: list[Entry]) -> None:
        """Carry out a segment's records on `entries`, which are those behind the outline's base."""
        outline, kinds, segment = self.outline, _KINDS, self._segments[-1]
        for record in records:
            index, term, kind, data = self._opened(path, segment.header, record)
            if kind == KIND_RESET:
                entries.clear()
                self._reset(index, term)
                continue
            if kind not in kinds:
                raise refusals.corrupt(f"{path} can't be read.", f"Entry {index} is of the unknown kind {kind}.")
            if index <= outline.last:
                del entries[max(index - outline.base - 1, 0) :]
                for earlier in self._segments:
                    earlier.top = min(earlier.top, index - 1)
            if problem := outline.add(index, term):
                raise refusals.corrupt(f"{path} is damaged.", f"In it {problem}.")
            entries.append(Entry(index, term, kinds[kind], data))
            segment.top = index

    def _reset(self, index: int, term: int) -> None:
        self.outline.reset(index, term)
        for segment in self._segments:
            segment.top = 0

    def _take_over(self, path: str, contents: Contents) -> None:
        """Open the last segment to go on behind its end; make a torn end whole, so that later writes can follow it."""
        self._descriptor = self._disk.open(path)
        self._offset = contents.end
        if not contents.torn:
            return
        self._dirty = contents.dirty
        self._clean()
        if contents.unended:
            kept = contents.records[-contents.unended :]
            self._write(encode_end(self._segments[-1].header, contents.group, kept))
        self.notes.append(
            f"{path}: a crash had cut the last write short; kept {contents.unended} of its entries, and dropped "
            f"{contents.dirty - contents.end} bytes at {contents.end}. None of it had been acknowledged."
        )

    def _write(self, content: bytes) -> None:
        """Put content behind the end, and sync it."""
        segment = self._segments[-1]
        self._clean()
        self._dirty = laid = self._offset + len(content)
        if laid > self._laid and len(content) < AHEAD_BYTES:
            laid = min(laid + AHEAD_BYTES, segment.header.size)
            content += bytes(laid - self._dirty)
        self._disk.write(self._descriptor, content, self._offset)
        sync(self._disk, self._descriptor, segment.path)
        self._offset, self._dirty, self._laid = self._dirty, 0, max(laid, self._laid)

    def _clean(self) -> None:
        """Make zeros of what a write that failed left behind the end: the next one has to find them."""
        if self._dirty > self._offset:
            self._disk.write(self._descriptor, bytes(self._dirty - self._offset), self._offset)
            sync(self._disk, self._descriptor, self._segments[-1].path)
        self._dirty = 0
