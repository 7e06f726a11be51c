"""The durable log in the place of the simulation's disk: crashes inside its writes, and power cuts, under the core."""

from __future__ import annotations

import random

from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.log import DurableLog
from reconciler.consensus.values import Entry, HardState, SnapshotMeta
from tests.fakes.crash_disk import CrashDisk, Died

OWNER = Owner("cluster-1", "simulated")
interrupted: list[str] = []
"""The calls to a disk at which a sync ended, and what later starts repaired."""


class LogDisk:
    """What `tests.simulation_raft.disk.FakeDisk` does, on real segments, hard states and snapshot files in memory."""

    def __init__(self) -> None:
        self._disk = CrashDisk()
        self._log: DurableLog | None = None
        self._waiting: list[tuple[tuple[Entry, ...], HardState | None]] = []
        self._syncing = 0
        self._first = HardState()
        self._found: dict[int, int] = {}
        self.snapshot: tuple[SnapshotMeta, bytes] | None = None
        self.slow = False

    @property
    def hard_state(self) -> HardState:
        return self.log.load()[0]

    @hard_state.setter
    def hard_state(self, state: HardState) -> None:
        self._first = state

    @property
    def entries(self) -> list[Entry]:
        raise NotImplementedError

    @entries.setter
    def entries(self, entries: list[Entry]) -> None:
        self.load()
        self._write((tuple(entries), self._first))
        self.log.sync()
        self._close()

    @property
    def log(self) -> DurableLog:
        assert self._log is not None
        return self._log

    def load(self) -> tuple[HardState, SnapshotMeta | None, list[Entry]]:
        self._log = DurableLog("/raft", OWNER, create=True, disk=self._disk, segment_bytes=2048)
        loaded = self._log.load()
        interrupted.extend(self._log.notes)
        reader = self._log.read_snapshot()
        self.snapshot = (reader.meta, b"".join(reader)) if reader else None
        return loaded

    def write(self, entries: tuple[Entry, ...], hard_state: HardState | None) -> None:
        self._waiting.append((entries, hard_state))

    def begin_sync(self) -> None:
        self._syncing = len(self._waiting)

    def end_sync(self) -> None:
        for batch in self._waiting[: self._syncing]:
            self._write(batch)
        self.log.sync()
        del self._waiting[: self._syncing]
        self._syncing = 0

    def crash(self, dice: random.Random) -> None:
        """In the middle of a sync perhaps, and perhaps with the power."""
        if self._log is not None and dice.random() < 0.7:
            for batch in self._waiting[: dice.randint(0, len(self._waiting))]:
                self._write(batch)
            self._disk.dies_at = len(self._disk.calls) + dice.choice((1, 2, 2, 2, 3, 4, 5, 6, 7, 7, 7, 8))
            try:
                self.log.sync()
            except Died as died:
                interrupted.append(str(died))
        self._disk = self._disk.cut_power(dice) if dice.random() < 0.7 else self._disk.kill()
        self._log = None
        self._waiting, self._syncing = [], 0
        self._look()

    def _look(self) -> None:
        """What the next start will find, for whoever asks what is durable while this node is down."""
        log = DurableLog("/raft", OWNER, create=True, disk=self._disk.kill(), segment_bytes=2048)
        _, snapshot, entries = log.load()
        self._found = {entry.index: entry.term for entry in entries}
        reader = log.read_snapshot()
        self.snapshot = (snapshot, b"".join(reader)) if snapshot and reader else None

    def publish(self, meta: SnapshotMeta, data: bytes) -> None:
        assert self.log.publish_snapshot(meta, [data])
        reader = self.log.read_snapshot()
        assert reader is not None
        self.snapshot = (reader.meta, reader.read_at(0, reader.data_bytes))
        reader.close()

    def reconcile(self) -> None:
        pass

    def compact(self, index: int) -> None:
        if index > 0:
            self.log.compact(index)

    def has(self, index: int, term: int) -> bool:
        """Whether an entry is durable: no append of the log under test waits for a sync outside `end_sync`."""
        if self.snapshot is not None and self.snapshot[0].index >= index:
            return True
        if self._log is None:
            return self._found.get(index) == term
        return self.log._journal.outline.term_at(index) == term

    def _write(self, batch: tuple[tuple[Entry, ...], HardState | None]) -> None:
        entries, hard_state = batch
        if hard_state is not None:
            self.log.save_hard_state(hard_state)
        self.log.append(entries)

    def _close(self) -> None:
        self.log.close()
        self._log = None
