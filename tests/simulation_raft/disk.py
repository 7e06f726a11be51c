"""A disk that forgets: what was written and not synced is lost in part at a crash, each file for itself."""

from __future__ import annotations

import random
from collections.abc import Iterable

from reconciler.consensus.values import Entry, HardState, SnapshotMeta


class FakeDisk:
    """What a durable log keeps. `entries` and `hard_state` are on disk for sure; the rest may be."""

    def __init__(self) -> None:
        self.hard_state = HardState()
        self.snapshot: tuple[SnapshotMeta, bytes] | None = None
        self.entries: list[Entry] = []
        self._unsynced_entries: list[tuple[Entry, ...]] = []
        self._unsynced_hard: list[HardState] = []
        self._syncing = (0, 0)
        self.slow = False

    def write(self, entries: tuple[Entry, ...], hard_state: HardState | None) -> None:
        if entries:
            self._unsynced_entries.append(entries)
        if hard_state is not None:
            self._unsynced_hard.append(hard_state)

    def begin_sync(self) -> None:
        self._syncing = (len(self._unsynced_entries), len(self._unsynced_hard))

    def end_sync(self) -> None:
        """All that was written before `begin_sync` is safe now."""
        entries, hards = self._syncing
        for batch in self._unsynced_entries[:entries]:
            self._put(batch)
        if hards:
            self.hard_state = self._unsynced_hard[hards - 1]
        del self._unsynced_entries[:entries], self._unsynced_hard[:hards]
        self._syncing = (0, 0)

    def _put(self, batch: Iterable[Entry]) -> None:
        for position, entry in enumerate(batch):
            if position == 0:
                while self.entries and self.entries[-1].index >= entry.index:
                    self.entries.pop()
            assert not self.entries or self.entries[-1].index + 1 == entry.index, "a gap in the journal"
            self.entries.append(entry)

    def crash(self, dice: random.Random) -> None:
        """Of what is unsynced only a random beginning survives, its last write perhaps cut short."""
        if dice.random() < 0.5:
            self._unsynced_entries.clear()
            self._unsynced_hard.clear()
        for batch in self._unsynced_entries[: dice.randint(0, len(self._unsynced_entries))]:
            if dice.random() < 0.3:
                self._put(batch[: dice.randrange(len(batch) + 1)])
                break
            self._put(batch)
        survivors = self._unsynced_hard[: dice.randint(0, len(self._unsynced_hard))]
        if survivors:
            self.hard_state = survivors[-1]
        self._unsynced_entries.clear()
        self._unsynced_hard.clear()
        self._syncing = (0, 0)

    def publish(self, meta: SnapshotMeta, data: bytes) -> None:
        """Our own snapshot, or a leader's: atomic. `reconcile` puts the journal right, at once or at the next start."""
        self.snapshot = (meta, data)

    def reconcile(self) -> None:
        """Drop the whole journal unless it connects to the snapshot."""
        if self.snapshot is None or not self.entries:
            return
        meta = self.snapshot[0]
        if self.entries[0].index == meta.index + 1:
            return
        at = next((entry for entry in self.entries if entry.index == meta.index), None)
        if at is None or at.term != meta.term:
            self.entries.clear()
            self._unsynced_entries.clear()
            self._syncing = (0, self._syncing[1])

    def compact(self, index: int) -> None:
        self.entries = [entry for entry in self.entries if entry.index > index]

    def has(self, index: int, term: int) -> bool:
        """Whether an entry is here for sure."""
        if self.snapshot is not None and self.snapshot[0].index >= index:
            return True
        if not self.entries:
            return False
        position = index - self.entries[0].index
        return 0 <= position < len(self.entries) and self.entries[position].term == term

    def load(self) -> tuple[HardState, SnapshotMeta | None, list[Entry]]:
        self.reconcile()
        return self.hard_state, self.snapshot[0] if self.snapshot else None, list(self.entries)
