"""One manager of the simulation: a core, its fake disk, and a state machine of registers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from reconciler.consensus.core import Core
from reconciler.consensus.outputs import Envelope, Ready, Role, SnapshotPiece, SnapshotRead
from reconciler.consensus.values import Entry, EntryKind
from tests.simulation_raft.disk import FakeDisk
from tests.simulation_raft.doors import Door
from tests.simulation_raft.forwarding import Desk, is_forwarded

if TYPE_CHECKING:
    from tests.simulation_raft.clients import Call
    from tests.simulation_raft.world import World


class SimulatedNode:
    """Runs, is paused (its inputs wait, its clock goes on), or is down (its inputs are lost)."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.disk = FakeDisk()
        self.up = False
        self.paused = False
        self.life = 0
        self.backlog: list[Callable[[], None]] = []
        self.core: Core

    @property
    def is_running(self) -> bool:
        return self.up and not self.paused

    def start(self) -> None:
        world = self.world
        self.life += 1
        self.up, self.paused = True, False
        self.backlog = []
        disk = self.disk.load()
        self.core = Core(self.name, world.settings, disk, now_s=world.now, jitter_seed=world.dice.getrandbits(60))
        self.commit_seen = self.term_seen = 0
        self.applied = 0
        self.registers: dict[str, str] = {}
        self.desk = Desk(self) if world.forwarding else None
        self.door = Door(self)
        if self.disk.snapshot is not None:
            self.applied = self.disk.snapshot[0].index
            self._load(self.disk.snapshot[1])
        self.unsynced: deque[tuple[int, tuple[Envelope, ...], bool]] = deque()
        self.syncing = 0
        self.staged = bytearray()
        self.waiting: dict[int, tuple[int, Call]] = {}
        self.reading: dict[int, Call] = {}
        self.timer_at = float("inf")
        self.pump()

    def crash(self) -> None:
        self.up = self.paused = False
        self.disk.crash(self.world.dice)
        self.backlog = []

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Go on: what came meanwhile is still in the sockets; the clock may be looked at before or after them."""
        self.paused = False
        backlog, self.backlog = self.backlog, []
        if self.world.dice.random() < 0.5:
            self.on_timer(self.life)
        for run in backlog:
            run()
        self.on_timer(self.life)

    def deliver(self, sender: str, message: object) -> None:
        if self.paused:
            self.backlog.append(lambda: self.deliver(sender, message))
        elif self.up:
            if self.desk is None or not self.desk.receive(sender, message):
                self.core.receive(sender, message, self.world.now)  # type: ignore[arg-type]
            self.pump()

    def on_timer(self, life: int) -> None:
        if not self.is_running or life != self.life:
            return
        self.timer_at = float("inf")
        if self.core.next_due_s <= self.world.now:
            self.core.tick(self.world.now)
        self.pump()

    def on_synced(self, life: int, number: int) -> None:
        if life != self.life or not self.up:
            return
        if self.paused:
            self.backlog.append(lambda: self.on_synced(life, number))
            return
        self.disk.end_sync()
        self.syncing = 0
        self.core.persisted(number, self.world.now)
        while self.unsynced and self.unsynced[0][0] <= number:
            self.world.network.send(self, self.unsynced.popleft()[1])
        self.pump()

    def pump(self) -> None:
        """Do what the core says until it says nothing, then see to the disk and the timer."""
        world = self.world
        while (ready := self._next()) is not None:
            self._do(ready)
        if self.desk is not None:
            self.desk.settle()
        world.invariants.stepped(self, world.nodes)
        self._sync()
        due = self.core.next_due_s
        if due < self.timer_at:
            self.timer_at = due
            world.at(max(due, world.now), self.on_timer, self.life)

    def _next(self) -> Ready | None:
        if self.desk is not None:
            self.desk.feed()
        return self.core.ready()

    def value_of(self, key: str) -> object:
        """What a register holds here."""
        return self.registers.get(key) if self.desk is None else self.desk.value_of(key) or self.registers.get(key)

    def all_values(self) -> object:
        """All registers, to compare."""
        return self.registers, self.desk.all_values() if self.desk is not None else ()

    def _dump(self) -> bytes:
        return msgspec.msgpack.encode((self.registers, self.desk.dump() if self.desk is not None else b""))

    def _load(self, data: bytes) -> None:
        self.registers, store = msgspec.msgpack.decode(data)
        if self.desk is not None:
            self.desk.load(store)

    def _do(self, ready: Ready) -> None:
        world = self.world
        if ready.role is not None and self.desk is not None:
            self.desk.role_changed(ready.role)
        if ready.role is not None and ready.role.role is Role.LEADER:
            world.invariants.leader(self, world.all_nodes)
            world.elections += 1
            world.faults.elected(self)
        world.network.send(self, ready.messages)
        if ready.entries:
            world.invariants.appended(self, ready.entries)
        if ready.must_sync:
            self.disk.write(ready.entries, ready.hard_state)
            world.faults.crash_point(self, hard=ready.hard_state is not None)
        if ready.must_sync or ready.messages_after:
            self.unsynced.append((ready.number, ready.messages_after, ready.must_sync))
        for entry in ready.committed:
            self._apply(entry)
        for piece in ready.pieces:
            self._take(piece)
        for wanted in ready.chunks_wanted:
            self._read(wanted)
        for done in ready.reads:
            call = self.reading.pop(done.token)
            call.owner.read_done(self, call, done.index)

    def _read(self, wanted: SnapshotRead) -> None:
        if self.disk.snapshot is None or self.disk.snapshot[0] != wanted.meta:
            self.core.snapshot_gone(wanted.peer)
            return
        data = self.disk.snapshot[1]
        part = data[wanted.offset : wanted.offset + wanted.bytes_max]
        self.core.send_chunk(wanted, part, len(data), self.world.now)

    def _sync(self) -> None:
        while self.unsynced and not self.syncing and not self.unsynced[0][2]:
            self.world.network.send(self, self.unsynced.popleft()[1])  # nothing to write, nothing before it
        if self.unsynced and not self.syncing:
            self.syncing = self.unsynced[-1][0]
            self.disk.begin_sync()
            self.world.at(self.world.now + self.world.sync_s(self), self.on_synced, self.life, self.syncing)

    def _apply(self, entry: Entry) -> None:
        world = self.world
        assert entry.index == self.applied + 1, "applied in order"
        world.invariants.applied(self, entry)
        self.applied = entry.index
        if entry.kind is EntryKind.NORMAL and not is_forwarded(entry):
            key, value = msgspec.msgpack.decode(entry.data)
            self.registers[key] = value
        if self.desk is not None:
            self.desk.apply(entry)
        waiting = self.waiting.pop(entry.index, None)
        if waiting is not None:
            world.clients.write_done(waiting[1], entry.index, same=waiting[0] == entry.term)
        if entry.index % world.compact_entries == 0:
            meta = self.core.snapshot_meta(entry.index)
            self.disk.publish(meta, self._dump())
            self.disk.compact(entry.index - world.keep_entries)
            self.core.compact(meta, entry.index - world.keep_entries)

    def _take(self, piece: SnapshotPiece) -> None:
        if piece.offset == 0:
            self.staged.clear()
        assert len(self.staged) == piece.offset, "pieces in order"
        self.staged += piece.data
        if not piece.last:
            return
        # Publishing waits for the syncs before it.
        self.world.at(self.world.now + self.world.sync_s(self), self._install, self.life, piece, bytes(self.staged))

    def _install(self, life: int, piece: SnapshotPiece, data: bytes) -> None:
        if life != self.life or not self.up:
            return
        if self.paused:
            self.backlog.append(lambda: self._install(life, piece, data))
            return
        if self.unsynced:
            self.world.at(self.world.now + 0.001, self._install, self.life, piece, data)
            return
        world = self.world
        if world.faults.active and world.chance.random() < world.refuse_share:
            world.refused += 1
            self.core.snapshot_refused(world.now, world.chance.choice((0.02, 0.2, 1.0)))
            self.pump()
            return
        world.installs += 1
        world.invariants.installed(piece.meta.index, piece.meta.term)
        self.disk.publish(piece.meta, data)
        if world.crashes_allowed and world.dice.random() < 0.1:
            world.faults.crash(self)  # between the snapshot and the journal
            return
        self.disk.reconcile()
        self._load(data)
        self.applied = piece.meta.index
        self.core.snapshot_installed(piece.meta, world.now)
        if self.desk is not None:
            self.desk.installed()
        self.pump()
