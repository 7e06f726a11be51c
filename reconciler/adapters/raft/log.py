"""One node's share of the replicated log: what it acknowledged is on its disk, whatever ends the process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from reconciler.adapters.raft import refusals
from reconciler.adapters.raft.disk import Disk, DurabilityUnknown
from reconciler.adapters.raft.files import TEMPORARY, sync_folder
from reconciler.adapters.raft.hard_state import FILE_NAME, HardStateFile, Owner
from reconciler.adapters.raft.journal import SEGMENT_BYTES, Journal
from reconciler.adapters.raft.outline import Outline
from reconciler.adapters.raft.snapshot_file import SnapshotReader, SnapshotWriter
from reconciler.adapters.raft.snapshots import Snapshots
from reconciler.consensus.values import Entry, HardState, SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError

_LOCK = "lock"
PENDING_BYTES_MAX = 256 << 20
"""What may wait for a `sync`, in bytes of data: more is refused, so that a full disk doesn't become full memory."""


class DurableLog:
    """The folder of one node: journal, hard state and snapshots, under an exclusive lock.

    `load` comes first, once. All methods block and belong to one thread at a time; only what `begin_snapshot` and
    `read_snapshot` return may be used in another thread meanwhile.

    Raises SwarmctlError: raft-log-locked, -foreign, -missing and -corrupt at the start; raft-disk-full from any method
    that writes, which may be called again and then goes on; raft-disk-failed, after which only a new process helps.
    A ValueError is a bug of the caller's, and changed nothing.
    """

    def __init__(
        self, folder: str, owner: Owner, *, create: bool, disk: Disk | None = None, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Take the folder. `create`: this node is new, and an empty or missing folder is as it should be."""
        self.folder = os.path.abspath(folder)
        self._disk = disk or Disk()
        self._create = create
        self._hard = HardStateFile(self._disk, self.folder, owner)
        self._journal = Journal(self._disk, self.folder, owner.digest, segment_bytes)
        self._snapshots = Snapshots(self._disk, self.folder, owner.cluster)
        self._outline = Outline()
        self._entries: list[Entry] = []
        self._entries_bytes = 0
        self._state: HardState | None = None
        self._failed: SwarmctlError | None = None
        self._unsettled: SnapshotMeta | None = None
        self._settled: SnapshotMeta | None = None
        self._loaded = False
        self.notes: tuple[str, ...] = ()
        """What `load` repaired, in sentences for the log file."""
        with self._told():
            self._lock = self._take_lock()

    def load(self) -> tuple[HardState, SnapshotMeta | None, list[Entry]]:
        """What is on disk: hard state, newest snapshot or None, and the entries behind it.

        A write that a crash cut short is dropped, with a sentence in `notes`. A log that a newer snapshot replaced is
        dropped too. Both are durable when this returns.
        """
        if self._loaded:
            raise ValueError("load was called before")
        with self._told():
            names = self._disk.names(self.folder)
            if FILE_NAME not in names:
                self._found(names)
            self._hard.load()
            names = self._without_leftovers(self._disk.names(self.folder))
            self._snapshots.load(names)
            entries = self._journal.load(names)
            self._check_sequence()
            entries = self._behind_snapshot(entries)
            self._snapshots.remove_superseded()
        self._outline = self._journal.outline.copy()
        self.notes = tuple(self._journal.notes)
        self._loaded = True
        return self._hard.state, self._snapshots.newest, entries

    def append(self, entries: Sequence[Entry]) -> None:
        """Put entries behind the log, or in the place of its entries from the first one's index on.

        Durable after `sync`. Raises ValueError unless indexes ascend by one and terms don't fall, also from the entry
        before, and none is in the snapshot.
        """
        self._check_usable()
        if not entries:
            return
        self._check(entries)
        size = sum([len(entry.data) for entry in entries])
        if self._entries_bytes + size > PENDING_BYTES_MAX:
            raise ValueError(f"more than {PENDING_BYTES_MAX} bytes would wait for a sync")
        self._outline.add_all([(entry.index, entry.term) for entry in entries])
        first = entries[0].index
        if self._entries and first <= self._entries[-1].index:
            keep = max(first - self._entries[0].index, 0)
            self._entries_bytes -= sum([len(entry.data) for entry in self._entries[keep:]])
            del self._entries[keep:]
        self._entries += entries
        self._entries_bytes += size

    def save_hard_state(self, state: HardState) -> None:
        """Store term and vote, durable after `sync`. Raises ValueError for a term that falls, or a changed vote."""
        self._check_usable()
        before = self._state or self._hard.state
        if state.term < before.term or (state.term == before.term and before.voted_for not in ("", state.voted_for)):
            raise ValueError(f"{state} can't follow {before}")
        self._state = state

    def sync(self) -> None:
        """Make all that was appended and saved durable: hard state, then the entries in one write and one fdatasync.

        After raft-disk-full all of it is kept for the next call: nothing counts until a call returned.
        """
        self._check_usable()
        if self._state is None and not self._entries:
            return
        state = self._state or self._hard.state
        if self._outline.last_term > state.term:
            raise ValueError(f"entries of term {self._outline.last_term} without a hard state of that term")
        with self._told():
            if self._entries and self._journal.needs_segment(self._entries):
                self._journal.add_segment(self._entries)
            if state != self._hard.state or self._journal.sequence != self._hard.segments:
                self._hard.save(state, self._journal.sequence)
            self._state = None
            if self._entries:
                self._journal.write(self._entries)
                self._entries, self._entries_bytes = [], 0

    def begin_snapshot(self, meta: SnapshotMeta) -> SnapshotWriter:
        """Start to write a snapshot in a file of its own, in any thread; it counts with `publish`. Else `abandon` it.

        The writer's methods raise OSError, not SwarmctlError; `told` turns one into the other.
        """
        self._check_usable()
        with self._told():
            return self._snapshots.begin(meta)

    def publish(self, writer: SnapshotWriter) -> bool:
        """Make a finished snapshot the newest, for good, and remove older ones.

        An older one than there is, or one of the same index, is dropped: False. If the log does not have the
        snapshot's last entry, it is dropped as a whole, durably, and goes on behind the snapshot. What waited for a
        sync is synced first. After raft-disk-full, call it again or `abandon` the writer.
        """
        meta = writer.meta
        self.sync()
        if self._settled is meta:
            return True
        if not self._snapshots.is_newer(meta):
            writer.abandon()
            return False
        if meta.term > self._hard.state.term:
            raise ValueError(f"a snapshot of term {meta.term} without a hard state of that term")
        with self._told():
            self._snapshots.put_in_place(writer)
            self._unsettled = meta
        self._settle()
        return True

    def publish_snapshot(self, meta: SnapshotMeta, chunks: Iterable[bytes]) -> bool:
        """Write a snapshot and publish it, in one call. False, and `chunks` left alone, if it is not newer."""
        self._check_usable()
        if not self._snapshots.is_newer(meta):
            return False
        writer = self.begin_snapshot(meta)
        try:
            with self._told():
                for chunk in chunks:
                    writer.write(chunk)
                writer.finish()
        except BaseException:
            writer.abandon()
            raise
        try:
            return self.publish(writer)
        except (SwarmctlError, ValueError):
            if self._snapshots.newest is not meta:
                writer.abandon()
            raise

    def read_snapshot(self) -> SnapshotReader | None:
        """The newest snapshot, to iterate over once, in any thread; None if there is none."""
        with self._told():
            return self._snapshots.read()

    @property
    def snapshot_path(self) -> str | None:
        """The file of the newest snapshot, for `snapshot_file.backup`; None if there is none."""
        return self._snapshots.newest_path if self._snapshots.newest else None

    def compact(self, up_to_index: int) -> int:
        """Remove segments that hold only entries up to an index, which the snapshot must cover. Returns how many."""
        newest = self._snapshots.newest
        if newest is None or up_to_index > newest.index:
            raise ValueError(f"entries up to {up_to_index} are in no snapshot")
        self.sync()
        with self._told():
            removed = self._journal.compact(up_to_index)
        self._outline.forget(min(up_to_index, self._outline.last))
        return removed

    def close(self) -> None:
        """Give the folder free. What was not synced is forgotten."""
        self._journal.close()
        if self._lock >= 0:
            self._disk.close(self._lock)
            self._lock = -1

    def told(self, error: OSError) -> SwarmctlError:
        """An OSError of a SnapshotWriter, as an operator reads it."""
        return refusals.of_disk(self.folder, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_lock(self) -> int:
        self._disk.make_folder(self.folder)
        try:
            return self._disk.lock(os.path.join(self.folder, _LOCK))
        except BlockingIOError as error:
            raise refusals.locked(self.folder) from error

    def _found(self, names: list[str]) -> None:
        """Make the hard state of a new node. Raises raft-log-missing, or raft-log-corrupt where it got lost."""
        left = [name for name in names if Journal.owns(name) or Snapshots.owns(name)]
        if left:
            raise refusals.corrupt(
                f"{os.path.join(self.folder, FILE_NAME)} is missing.",
                f"{left[0]} is there, so this node has perhaps voted, and would vote again.",
            )
        if not self._create:
            raise refusals.missing(self.folder)
        sync_folder(self._disk, os.path.dirname(self.folder))
        self._hard.save(HardState(), 0)

    def _without_leftovers(self, names: list[str]) -> list[str]:
        """The names of files that count; the others are removed."""
        for name in names:
            if name.endswith(TEMPORARY):
                self._disk.unlink(os.path.join(self.folder, name))
        return [name for name in names if not name.endswith(TEMPORARY)]

    def _check_sequence(self) -> None:
        """Refuse a journal whose end is missing; make the first segment of a new one."""
        if self._journal.sequence < self._hard.segments:
            raise refusals.corrupt(
                f"Segments of the journal in {self.folder} are missing.",
                f"{self._hard.segments} were made; the newest that is there is {self._journal.sequence}.",
            )
        if self._journal.sequence == 0:
            if self._hard.state != HardState() or self._snapshots.newest is not None:
                raise refusals.corrupt(
                    f"{self.folder} has no journal.", "There is a hard state or a snapshot, so it was there."
                )
            self._journal.add_segment()
        if self._journal.sequence != self._hard.segments:
            self._hard.save(self._hard.state, self._journal.sequence)

    def _behind_snapshot(self, entries: list[Entry]) -> list[Entry]:
        """The entries behind the newest snapshot; does what a crash may have left undone between it and the journal."""
        newest, outline = self._snapshots.newest, self._journal.outline
        index, term = (newest.index, newest.term) if newest else (0, 0)
        if max(outline.last_term, term) > self._hard.state.term:
            raise refusals.corrupt(
                f"The hard state in {self.folder} is older than the log.",
                f"It is of term {self._hard.state.term}, and the log has term {max(outline.last_term, term)}.",
            )
        if outline.base > index:
            raise refusals.corrupt(
                f"Entries of the log in {self.folder} are missing.",
                f"The snapshot ends with entry {index}, and the journal begins behind entry {outline.base}.",
            )
        if newest is not None and self._replace_log(newest):
            return []
        return entries[index - outline.base :]

    def _settle(self) -> None:
        """Finish what a published snapshot asks of the journal, also after a disk that was full in between."""
        if self._unsettled is None:
            return
        with self._told():
            self._replace_log(self._unsettled)
            self._outline = self._journal.outline.copy()
            self._snapshots.remove_superseded()
        self._settled, self._unsettled = self._unsettled, None

    def _replace_log(self, meta: SnapshotMeta) -> bool:
        """Drop the log, for good, if it does not have the last entry of the newest snapshot. Returns whether."""
        outline = self._journal.outline
        if outline.term_at(meta.index) == meta.term or (outline.base == meta.index and outline.base_term < 0):
            return False
        self._journal.reset(meta.index, meta.term)
        if self._journal.sequence != self._hard.segments:
            self._hard.save(self._hard.state, self._journal.sequence)
        return True

    def _check(self, entries: Sequence[Entry]) -> None:
        """Raise ValueError unless the entries can follow the log."""
        first, outline = entries[0].index, self._outline
        newest = self._snapshots.newest
        if not (newest.index if newest else 0) < first <= outline.last + 1:
            raise ValueError(f"entry {first} can't follow entry {outline.last}, or is in the snapshot")
        index, term = first - 1, outline.term_at(first - 1) or 0
        for entry in entries:
            if entry.index != index + 1 or entry.term < term:
                raise ValueError(f"entry {entry.index} of term {entry.term} can't follow {index} of term {term}")
            index, term = entry.index, entry.term

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise self._failed
        if not self._loaded:
            raise ValueError("load comes first")
        self._settle()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the disk raises into what an operator reads; after a failure of unknown extent, refuse all else."""
        if self._failed is not None:
            raise self._failed
        try:
            yield
        except (OSError, DurabilityUnknown) as error:
            told = refusals.of_disk(self.folder, error)
            if told.code is ErrorCode.RAFT_DISK_FAILED:
                self._failed = told
            raise told from error
