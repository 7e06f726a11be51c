"""The part of the replicated log that is in memory: everything behind the last compaction."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter

from reconciler.consensus.values import Entry, EntryKind, Membership, SnapshotMeta, membership_of
from reconciler.model.errors import ErrorCode, SwarmctlError

ENTRY_OVERHEAD_BYTES = 160
"""What an entry costs in memory beside its data (CPython 3.11, 64 bit: struct, integers, bytes header, list slot)."""

_term_of = attrgetter("term")


def size_of(entry: Entry) -> int:
    """Bytes that an entry takes in memory, nearly."""
    return len(entry.data) + ENTRY_OVERHEAD_BYTES


class Log:
    """Entries `base_index + 1` to `last_index`, and the memberships that they set.

    `base_index` and `base_term` are those of the last entry that was dropped, 0 when none was.
    """

    __slots__ = ("_entries", "_memberships", "base_index", "base_term", "bytes")

    def __init__(self, base: SnapshotMeta | None, entries: Iterable[Entry]) -> None:
        """Raises SwarmctlError (raft-inconsistent) when the entries don't connect to the snapshot or to each other."""
        self.base_index = base.index if base else 0
        self.base_term = base.term if base else 0
        self._entries: list[Entry] = []
        self._memberships: list[tuple[int, Membership]] = [(self.base_index, base.members if base else Membership())]
        self.bytes = 0
        for entry in entries:
            self._load(entry)

    def _load(self, entry: Entry) -> None:
        if entry.index <= self.base_index:
            if entry.index == self.base_index and entry.term != self.base_term:
                raise _damaged(f"Entry {entry.index} has term {entry.term}, the snapshot says {self.base_term}.")
            return
        if entry.index != self.last_index + 1 or entry.term < self.last_term:
            raise _damaged(
                f"After entry {self.last_index} of term {self.last_term} comes {entry.index} of term {entry.term}."
            )
        self.append(entry)

    @property
    def last_index(self) -> int:
        return self.base_index + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`; None when it was dropped or doesn't exist yet."""
        position = index - self.base_index
        if position > 0:
            return self._entries[position - 1].term if position <= len(self._entries) else None
        return self.base_term if position == 0 else None

    def entry(self, index: int) -> Entry:
        """The entry at `index`, which must be in memory."""
        return self._entries[index - self.base_index - 1]

    def slice(self, first: int, last: int, bytes_max: int) -> tuple[Entry, ...]:
        """Entries `first` to `last`, as many as fit into `bytes_max`, but at least one. All must be in memory."""
        start = first - self.base_index - 1
        entries = self._entries[start : last - self.base_index]
        total = 0
        for count, entry in enumerate(entries):
            total += len(entry.data) + ENTRY_OVERHEAD_BYTES
            if total > bytes_max and count:
                return tuple(entries[:count])
        return tuple(entries)

    def append(self, entry: Entry) -> None:
        """Add the next entry."""
        self._entries.append(entry)
        self.bytes += len(entry.data) + ENTRY_OVERHEAD_BYTES
        if entry.kind is EntryKind.MEMBERSHIP:
            self._memberships.append((entry.index, membership_of(entry)))

    def first_new(self, entries: Sequence[Entry]) -> int:
        """How many of `entries` are here already, with the same term; they follow each other from a known place.

        Matching entries are never dropped, also when fewer come than are here: the message may be old, and what
        follows may have been acknowledged already.
        """
        for position, entry in enumerate(entries):
            if entry.index > self.last_index or (
                entry.index > self.base_index and self.term_at(entry.index) != entry.term
            ):
                return position
        return len(entries)

    def truncate(self, last: int) -> None:
        """Drop all entries behind `last`."""
        keep = last - self.base_index
        self.bytes -= sum(map(size_of, self._entries[keep:]))
        del self._entries[keep:]
        while self._memberships[-1][0] > last:
            self._memberships.pop()

    def compact(self, index: int) -> None:
        """Forget the entries up to and with `index`; their last term and membership stay known."""
        drop = index - self.base_index
        if drop <= 0:
            return
        self.base_term = self._entries[drop - 1].term
        self.base_index = index
        self.bytes -= sum(map(size_of, self._entries[:drop]))
        del self._entries[:drop]
        older = bisect_right(self._memberships, index, key=lambda pair: pair[0])
        del self._memberships[: older - 1]

    def reset(self, meta: SnapshotMeta) -> None:
        """Replace everything by a snapshot."""
        self.base_index, self.base_term = meta.index, meta.term
        self._entries.clear()
        self._memberships = [(meta.index, meta.members)]
        self.bytes = 0

    @property
    def members(self) -> Membership:
        """The membership that counts: the newest in the log, committed or not (thesis 4.1)."""
        return self._memberships[-1][1]

    @property
    def members_before(self) -> Membership:
        """The membership before the newest, as far as it is still in the log. As only one change is made at a time it
        is committed, also when this node doesn't know yet.
        """
        return self._memberships[-2 if len(self._memberships) > 1 else -1][1]

    @property
    def members_index(self) -> int:
        """The entry that set `members`, or the base if that entry was dropped."""
        return self._memberships[-1][0]

    def members_at(self, index: int) -> Membership:
        """The membership as of `index`, which must not lie before the base."""
        place = bisect_right(self._memberships, index, key=lambda pair: pair[0])
        return self._memberships[place - 1][1]

    def last_not_above(self, index: int, term: int) -> int:
        """The last place at or before `index` whose term is at most `term`.

        Two logs are surely different between there and `index` if the other has `term` at `index`. Below the base
        nothing is known: a place before it is returned as it is, or is just the one before.
        """
        if index < self.base_index or self.base_term > term:
            return min(index, self.base_index - 1)
        end = min(index, self.last_index) - self.base_index
        return self.base_index + bisect_right(self._entries, term, hi=max(end, 0), key=_term_of)


def _damaged(why: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.RAFT_INCONSISTENT,
        "The replicated log on this manager's disk doesn't fit together.",
        why=why,
        hint="Keep a copy of the state directory, then replace this manager by an empty one under a new name.",
    )
