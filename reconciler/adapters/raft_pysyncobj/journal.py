"""The log as upstream wants it, kept by our DurableLog: entries in memory, and on disk before anything is promised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft_pysyncobj.upstream import LogEntry
from reconciler.consensus.values import (
    Entry,
    EntryKind,
    HardState,
    Membership,
    NodeId,
    SnapshotMeta,
    membership_of,
)

KINDS = {bytes([kind]): kind for kind in EntryKind}
NORMAL, NOOP, MEMBERSHIP = (bytes([kind]) for kind in (EntryKind.NORMAL, EntryKind.NOOP, EntryKind.MEMBERSHIP))


class Journal:
    """Upstream's list of entries: at position 0 is the last one that was dropped, or index 0, to compare with.

    What is added counts with `sync`. Nothing is removed on disk when upstream removes the end: what it puts there next
    takes its place, and until then it is as if the message that did it were still on its way.
    """

    def __init__(self, durable: DurableLog, loaded: tuple[HardState, SnapshotMeta | None, list[Entry]]) -> None:
        """`loaded` is what `durable.load()` returned."""
        self.durable = durable
        self.hard, snapshot, entries = loaded
        meta = snapshot or SnapshotMeta(0, 0, Membership())
        self._entries: list[LogEntry] = [(NOOP, meta.index, meta.term)]
        self._groups: list[tuple[int, Membership]] = [(meta.index, meta.members)]
        self._unsynced: list[Entry] = []
        self.is_dirty = False
        """Whether something waits for a sync."""
        for entry in entries:
            self._put((bytes([entry.kind]) + entry.data, entry.index, entry.term))

    # --- what upstream calls

    def add(self, command: bytes, index: int, term: int) -> None:
        """Put an entry behind the last."""
        assert index == self.last[1] + 1, f"entry {index} behind {self.last[1]}"
        self._put((command, index, term))
        self._unsynced.append(Entry(index, term, KINDS[command[:1]], command[1:]))
        self.is_dirty = True

    def deleteEntriesFrom(self, position: int) -> None:
        """Drop the entries from a position on."""
        assert position > 0
        first = self._entries[0][1] + position
        del self._entries[position:]
        while self._groups[-1][0] >= first:
            self._groups.pop()
        while self._unsynced and self._unsynced[-1].index >= first:
            self._unsynced.pop()

    def setCurrentTerm(self, term: int, voted_for: NodeId | None) -> None:
        """Keep term and vote, from the next sync on."""
        self.hard = HardState(term, voted_for or "")
        self.durable.save_hard_state(self.hard)
        self.is_dirty = True

    def getCurrentTerm(self) -> int:
        return self.hard.term

    def getVotedForNodeId(self) -> NodeId | None:
        return self.hard.voted_for or None

    def setRaftCommitIndex(self, index: int) -> None:
        """Not kept: the leader of the next life tells it."""

    def onOneSecondTimer(self) -> None:
        """Nothing is put off to a timer."""

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, position: int) -> LogEntry: ...
    @overload
    def __getitem__(self, position: slice) -> list[LogEntry]: ...
    def __getitem__(self, position: int | slice) -> LogEntry | list[LogEntry]:
        return self._entries[position]

    # --- what ours calls

    @property
    def base(self) -> int:
        """The index behind which entries are kept."""
        return self._entries[0][1]

    @property
    def last(self) -> LogEntry:
        return self._entries[-1]

    @property
    def group(self) -> Membership:
        """Who takes part as of the newest entry: a change counts from when it is in the log."""
        return self._groups[-1][1]

    @property
    def group_index(self) -> int:
        """The entry that says so."""
        return self._groups[-1][0]

    def group_at(self, index: int) -> Membership:
        """Who took part as of an entry."""
        return next(group for at, group in reversed(self._groups) if at <= index)

    def term_at(self, index: int) -> int:
        """The term of an entry from the base to the last."""
        return self._entries[index - self.base][2]

    def between(self, first: int, bytes_max: int) -> list[LogEntry]:
        """Entries from an index on that have so many bytes together; at least one, if there is one."""
        chosen: list[LogEntry] = []
        size = 0
        for position in range(first - self.base, len(self._entries)):
            entry = self._entries[position]
            size += len(entry[0])
            if chosen and size > bytes_max:
                break
            chosen.append(entry)
        return chosen

    def first_of_term(self, index: int, above: int) -> int:
        """The first entry of the same term as that at `index`, of those above another index."""
        term = self.term_at(index)
        while index - 1 > above and self.term_at(index - 1) == term:
            index -= 1
        return index

    def sync(self) -> None:
        """Make all that was added or kept durable. Raises SwarmctlError (raft-disk-full, raft-disk-failed)."""
        if not self.is_dirty:
            return
        self.durable.append(self._unsynced)
        self._unsynced = []
        self.durable.sync()
        self.is_dirty = False

    def forget(self, index: int) -> None:
        """Drop the entries up to an index, which a snapshot has."""
        if index <= self.base:
            return
        position = index - self.base
        self._entries = self._entries[position:]
        group = self.group_at(index)
        self._groups = [(index, group), *[known for known in self._groups if known[0] > index]]

    def replace(self, meta: SnapshotMeta) -> None:
        """Go on behind a snapshot that was published; entries behind it stay if the one at its end is the same."""
        rest: Sequence[LogEntry] = ()
        if self.base <= meta.index <= self.last[1] and self.term_at(meta.index) == meta.term:
            rest = self._entries[meta.index - self.base + 1 :]
        self._entries = [(NOOP, meta.index, meta.term)]
        self._groups = [(meta.index, meta.members)]
        self._unsynced = [entry for entry in self._unsynced if rest and entry.index > meta.index]
        for entry in rest:
            self._put(entry)

    def _put(self, entry: LogEntry) -> None:
        self._entries.append(entry)
        if entry[0][:1] == MEMBERSHIP:
            self._groups.append(
                (entry[1], membership_of(Entry(entry[1], entry[2], EntryKind.MEMBERSHIP, entry[0][1:])))
            )
