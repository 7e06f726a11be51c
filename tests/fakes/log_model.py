"""What a durable log must hold, beside what it may hold after a crash; and random work that both carry out."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.log import DurableLog
from reconciler.consensus.values import Entry, EntryKind, HardState, Membership, SnapshotMeta

OWNER = Owner("cluster-1", "node-1")
FOLDER = "/raft"
SEGMENT_BYTES = 2048
MEMBERS = Membership(("node-1", "node-2", "node-3"), ("node-4",))
Step = tuple[str, int, int]
"""A verb and two numbers, of which the model makes something that the log allows."""
VERBS = ("append", "append", "append", "truncate", "vote", "sync", "sync", "snapshot", "install", "compact", "reopen")
Loaded = tuple[HardState, SnapshotMeta | None, list[Entry]]


def random_steps(seed: int, count: int, *, reopen: bool = False) -> list[Step]:
    chance = random.Random(seed)
    verbs = VERBS if reopen else VERBS[:-1]
    return [(chance.choice(verbs), chance.randrange(1 << 16), chance.randrange(1 << 16)) for _ in range(count)]


def open_log(disk: Disk, *, create: bool = True) -> tuple[DurableLog, Loaded]:
    log = DurableLog(FOLDER, OWNER, create=create, disk=disk, segment_bytes=SEGMENT_BYTES)
    return log, log.load()


def entry(index: int, term: int, size: int = 20, salt: int = 0) -> Entry:
    """An entry whose data says what it is; now and then with whole sectors of zeros in it."""
    text = f"{index}/{term}/{salt}/".encode()
    data = text + (bytes(1500) if size % 17 == 0 else random.Random(index * 1000 + term).randbytes(size % 300))
    kinds = (EntryKind.NORMAL, EntryKind.NOOP, EntryKind.MEMBERSHIP)
    return Entry(index, term, kinds[size % 3], data)


def snapshot_data(meta: SnapshotMeta) -> list[bytes]:
    return [f"{meta.index}/{meta.term}/{number};".encode() * 40 for number in range(meta.index % 4)]


@dataclass
class Contents:
    """Entries behind a base."""

    base: int = 0
    base_term: int = 0
    entries: list[Entry] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.base + len(self.entries)

    def term_at(self, index: int) -> int | None:
        if index == self.base:
            return self.base_term
        return self.entries[index - self.base - 1].term if self.base < index <= self.last else None

    def with_entries(self, entries: list[Entry]) -> Contents:
        if not entries:
            return self
        assert self.base < entries[0].index <= self.last + 1
        return Contents(self.base, self.base_term, self.entries[: entries[0].index - self.base - 1] + entries)

    def behind(self, snapshot: SnapshotMeta | None) -> Contents:
        if snapshot is None:
            return self
        if self.term_at(snapshot.index) != snapshot.term:
            return Contents(snapshot.index, snapshot.term)
        return Contents(snapshot.index, snapshot.term, self.entries[snapshot.index - self.base :])


class Model:
    """What was acknowledged, and what is under way."""

    def __init__(self) -> None:
        self.state = self.next_state = HardState()
        self.log = Contents()
        self.pending: list[Entry] = []
        self.snapshot: SnapshotMeta | None = None
        self.publishing: SnapshotMeta | None = None

    @property
    def ahead(self) -> Contents:
        """The log with what waits for a sync."""
        return self.log.with_entries(self.pending)

    def append(self, entries: list[Entry]) -> None:
        if self.pending and entries[0].index > self.pending[0].index:
            self.pending = self.pending[: entries[0].index - self.pending[0].index] + entries
        else:
            self.pending = list(entries)

    def synced(self) -> None:
        self.log, self.pending, self.state = self.ahead, [], self.next_state

    def published(self) -> None:
        self.synced()
        self.snapshot, self.publishing = self.publishing, None
        self.log = self.log.behind(self.snapshot)

    def why_not(self, loaded: Loaded) -> str:
        """Why this can't be what a crash left; "" if it can."""
        state, snapshot, entries = loaded
        if state not in (self.state, self.next_state):
            return f"{state} is neither {self.state} nor {self.next_state}"
        if snapshot not in (self.snapshot, self.publishing):
            return f"{snapshot} is neither {self.snapshot} nor {self.publishing}"
        if entries == self.log.behind(snapshot).entries:
            return ""
        for count in range(1, len(self.pending) + 1):
            if entries == self.log.with_entries(self.pending[:count]).behind(snapshot).entries:
                return "" if state == self.next_state else "entries are ahead of the hard state"
        return f"log {_brief(entries)} is neither {_brief(self.log.entries)} nor with some of {_brief(self.pending)}"

    def adopt(self, loaded: Loaded) -> None:
        """Go on from what was found."""
        self.state, self.snapshot, entries = loaded
        self.next_state, self.pending, self.publishing = self.state, [], None
        base = self.snapshot or SnapshotMeta(0, 0, MEMBERS)
        self.log = Contents(base.index, base.term, entries)


def _brief(entries: list[Entry]) -> str:
    return " ".join(f"{entry.index}/{entry.term}" for entry in entries) or "(empty)"


def carry_out(log: DurableLog, model: Model, step: Step) -> None:
    """Do one step on both. The model knows of it before and after, so that it is right whenever the process ends."""
    verb, a, b = step
    if verb in ("append", "truncate"):
        _append(log, model, a, b, truncate=verb == "truncate")
    elif verb == "vote":
        model.next_state = HardState(model.next_state.term + 1, f"node-{a % 3}" if a % 4 else "")
        log.save_hard_state(model.next_state)
    elif verb == "sync":
        log.sync()
        model.synced()
    elif verb == "snapshot":
        last = model.ahead.last
        index = last - a % 5 if b % 3 else last
        term = model.ahead.term_at(index)
        if index > (model.snapshot.index if model.snapshot else 0) and term is not None:
            _publish(log, model, SnapshotMeta(index, term, MEMBERS))
    elif verb == "install":
        index = max(model.ahead.last - a % 3, (model.snapshot.index if model.snapshot else 0) + 1) + b % 7
        model.next_state = HardState(model.next_state.term + 1, "")
        log.save_hard_state(model.next_state)
        _publish(log, model, SnapshotMeta(index, model.next_state.term, MEMBERS))
    elif verb == "compact" and model.snapshot is not None:
        log.compact(max(model.snapshot.index - (a % 4 if b % 4 == 0 else 0), 0))
        model.synced()


def _append(log: DurableLog, model: Model, a: int, b: int, *, truncate: bool) -> None:
    last = model.ahead.last
    first = last + 1
    if truncate and last > model.log.behind(model.snapshot).base:
        first = max(last - a % 6, (model.snapshot.index if model.snapshot else 0) + 1)
    if truncate or model.next_state.term == 0:
        model.next_state = HardState(model.next_state.term + 1, "node-2")
        log.save_hard_state(model.next_state)
    term = max(model.ahead.term_at(first - 1) or 0, model.next_state.term - b % 4)
    entries = [entry(first + number, term, b + number, a) for number in range(1 + a % 4)]
    model.append(entries)
    log.append(entries)


def _publish(log: DurableLog, model: Model, meta: SnapshotMeta) -> None:
    model.publishing = meta
    assert log.publish_snapshot(meta, snapshot_data(meta))
    model.published()
