"""Snapshots: taken when the log has grown, sent to members that are too far behind, and taken over from a leader."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from reconciler.adapters.raft import snapshot_file
from reconciler.adapters.raft.boot import check_index
from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.disk_worker import DiskWorker
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.refused_snapshots import RefusedSnapshots
from reconciler.adapters.raft.settings import Limits
from reconciler.adapters.raft.snapshot_file import SnapshotReader, SnapshotWriter
from reconciler.consensus.core import Core
from reconciler.consensus.outputs import SnapshotPiece, SnapshotRead
from reconciler.consensus.values import SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.store.machine import State
from reconciler.store.snapshot import Frozen, decode, encode, freeze

log = logging.getLogger(__name__)

MARK_BYTES = 1024 * 1024
"""How exactly it is known how many bytes of the log lie behind an index."""

GROWTH = 2
"""A snapshot is due when the log has grown to this many times the last one: so what is written for snapshots is at most
half of what is written for entries."""


class Growth:
    """How much log there is behind the last snapshot, and from where on it is to be kept in memory."""

    def __init__(self, limits: Limits, log_bytes_max: int, snapshot_bytes: int) -> None:
        self._limits = limits
        # Before the log in memory is full, with room for what comes while the snapshot is written.
        self._most = log_bytes_max // 2
        self._marks: deque[tuple[int, int]] = deque()
        self._since_mark = 0
        self._bytes = self._before = 0
        self.snapshot_bytes = snapshot_bytes

    def add(self, index: int, size: int) -> None:
        """An entry was applied."""
        self._since_mark += size
        self._bytes += size
        if self._since_mark >= min(MARK_BYTES, self._limits.kept_bytes):
            self._marks.append((index, self._since_mark))
            self._since_mark = 0

    @property
    def is_due(self) -> bool:
        return self._bytes >= min(max(self._limits.snapshot_bytes, GROWTH * self.snapshot_bytes), self._most)

    def taken(self) -> None:
        """A snapshot of what is applied now is begun."""
        self._before, self._bytes = self._before + self._bytes, 0

    def finished(self, size: int | None) -> None:
        """It is published, with its bytes; or None when it failed and is still due."""
        if size is None:
            self._bytes += self._before
        else:
            self.snapshot_bytes = size
        self._before = 0

    def keep_from(self, index: int) -> int:
        """Up to where the log may be forgotten behind a snapshot at `index`."""
        kept = 0
        for marked, size in reversed(self._marks):
            kept += size
            if kept > self._limits.kept_bytes and marked <= index:
                while self._marks and self._marks[0][0] < marked:
                    self._marks.popleft()
                return marked
        return 0

    def restart(self, snapshot_bytes: int) -> None:
        """A snapshot has taken the place of the whole log."""
        self._marks.clear()
        self._since_mark = self._bytes = self._before = 0
        self.snapshot_bytes = snapshot_bytes


async def write(worker: DiskWorker, meta: SnapshotMeta, frozen: Frozen) -> tuple[bool, int]:
    """Write a snapshot of our own and publish it; whether it is the newest, and its bytes.

    Only its beginning and its end take turns with the log's own writes. Raises SwarmctlError: raft-disk-full, after
    which nothing is left of it, raft-disk-failed.
    """
    writer = await worker.run(lambda durable: durable.begin_snapshot(meta))
    try:
        size = await asyncio.to_thread(_write_all, writer, frozen)
        return await worker.run(lambda durable: durable.publish(writer)), size
    except OSError as error:
        failure = error  # the lambda outlives the name of an except clause
        raise await worker.run(lambda durable: durable.told(failure)) from error
    except SwarmctlError as error:
        if error.code is ErrorCode.RAFT_DISK_FULL:
            await worker.run(lambda _: writer.abandon())
        raise


def _write_all(writer: SnapshotWriter, frozen: Frozen) -> int:
    size = 0
    try:
        for chunk in encode(frozen):
            writer.write(chunk)
            size += len(chunk)
        writer.finish()
    except BaseException:
        writer.abandon()
        raise
    return size


class Incoming:
    """A snapshot that a leader sends, piece by piece. Its methods run in the thread of the log."""

    def __init__(self) -> None:
        self._writer: SnapshotWriter | None = None
        self._bytes = 0

    def take(self, durable: DurableLog, piece: SnapshotPiece) -> State | None:
        """Store a piece; after the last, publish the whole and return its state.

        Raises SwarmctlError, and nothing of it counts: snapshot-corrupt and -too-new, raft-snapshot-corrupt,
        raft-disk-full; raft-disk-failed.
        """
        try:
            return self._take(durable, piece)
        except OSError as error:
            self.abandon()
            raise durable.told(error) from error
        except BaseException:
            self.abandon()
            raise

    def _take(self, durable: DurableLog, piece: SnapshotPiece) -> State | None:
        if piece.offset == 0:
            self.abandon()
            self._writer, self._bytes = durable.begin_snapshot(piece.meta), 0
        writer = self._writer
        if writer is None or (writer.meta, self._bytes) != (piece.meta, piece.offset):
            raise SwarmctlError(ErrorCode.SNAPSHOT_CORRUPT, "A part of a snapshot came without the parts before it.")
        writer.write(piece.data)
        self._bytes += len(piece.data)
        if not piece.last:
            return None
        writer.finish()
        state = decode(writer.read_back())
        check_index(state, piece.meta)
        durable.publish(writer)
        self._writer = None
        return state

    def abandon(self) -> None:
        """Forget what was stored."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None


class Outgoing:
    """Our newest snapshot, for members that need pieces of it. Its methods run in the thread of the log."""

    def __init__(self) -> None:
        self._reader: SnapshotReader | None = None

    def read(self, durable: DurableLog, wanted: SnapshotRead) -> tuple[bytes, int] | None:
        """The wanted piece, and the bytes of all; None if that snapshot is gone."""
        if self._reader is None or self._reader.meta != wanted.meta:
            self.close()
            self._reader = durable.read_snapshot()
        if self._reader is None or self._reader.meta != wanted.meta:
            self.close()
            return None
        return self._reader.read_at(wanted.offset, wanted.bytes_max), self._reader.data_bytes

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class Host(Protocol):
    """What a member does for its snapshots."""

    @property
    def core(self) -> Core: ...

    @property
    def state(self) -> State:
        """What is applied."""
        ...

    def now_s(self) -> float: ...

    def install(self, state: State, meta: SnapshotMeta) -> None:
        """Put the state of a received snapshot, which is published, in the place of what is applied."""
        ...

    def wake(self) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None: ...


class Snapshotter:
    """All that a member does about snapshots, beside its log. Its methods belong to the event loop."""

    def __init__(
        self, host: Host, worker: DiskWorker, growth: Growth, newest: SnapshotMeta | None, limits: Limits
    ) -> None:
        self._host, self._worker, self.growth = host, worker, growth
        self._incoming, self._outgoing = Incoming(), Outgoing()
        self._lock = asyncio.Lock()
        self._refused = RefusedSnapshots(limits)
        self._retry_s = limits.snapshot_retry_s
        self._after_s = 0.0
        self._index = newest.index if newest else 0

    @property
    def refuses(self) -> str:
        """Why the leader's snapshot, which this member needs, can't be used here; "" where all is well."""
        return self._refused.why(self._host.state.index)

    def begin_if_due(self) -> None:
        """Begin a snapshot of our own when the log has grown enough."""
        if self.growth.is_due and not self._lock.locked() and self._host.now_s() >= self._after_s:
            self.growth.taken()  # at once: the next turn must not begin another
            self._host.spawn(self._take_due())

    async def take(self) -> None:
        """Write what is applied here as a snapshot, unless there is one, and let the log go that it covers.

        Raises SwarmctlError: raft-disk-full, raft-disk-failed.
        """
        async with self._lock:
            state = self._host.state
            if state.index <= self._index or self._host.core.is_installing:
                self.growth.finished(None)
                return
            meta = self._host.core.snapshot_meta(state.index)
            frozen = freeze(state)
            self.growth.taken()
            try:
                published, size = await write(self._worker, meta, frozen)
            except BaseException:
                self.growth.finished(None)
                raise
            self.growth.finished(size)
            if not published:
                return
            self._index = meta.index
            up_to = self.growth.keep_from(meta.index)
            await self._worker.run(lambda durable: durable.compact(up_to))
            self._host.core.compact(meta, up_to)

    async def _take_due(self) -> None:
        try:
            await self.take()
        except SwarmctlError as error:
            if error.code is not ErrorCode.RAFT_DISK_FULL:
                raise
            log.error("There is no space for a snapshot; it is tried again in %g s.", self._retry_s)
            self._after_s = self._host.now_s() + self._retry_s

    async def back_up(self, target: str, disk: Disk | None = None) -> SnapshotMeta:
        """Copy a snapshot of what is applied here to a file, verified and synced. Errors as `take`; OSError.

        In a thread of its own: the log goes on meanwhile, however slow the target is. The copy is sealed if `disk` has
        a seal.
        """
        await self.take()
        reader = await self._worker.run(lambda durable: durable.read_snapshot())
        if reader is None:
            raise SwarmctlError(ErrorCode.RAFT_NO_LEADER, "There is nothing to back up: nothing was ever written.")
        return await asyncio.to_thread(snapshot_file.copy, reader, target, disk)

    async def store(self, piece: SnapshotPiece) -> None:
        """Take a piece of a leader's snapshot; the last one makes it ours."""
        try:
            state = await self._worker.run(lambda durable: self._incoming.take(durable, piece))
        except SwarmctlError as error:
            if error.code is ErrorCode.RAFT_DISK_FAILED:
                raise
            now_s = self._host.now_s()
            wait_s = self._refused.add(error, now_s, self._host.state.index)
            self._host.core.snapshot_refused(now_s, wait_s, self.refuses)
            self._host.wake()
            return
        if state is not None:
            self._refused.taken()
            self._index = piece.meta.index
            self.growth.restart(piece.offset + len(piece.data))
            self._host.install(state, piece.meta)
        self._host.wake()

    async def send(self, wanted: SnapshotRead) -> None:
        """Read a piece of ours for another member."""
        part = await self._worker.run(lambda durable: self._outgoing.read(durable, wanted))
        if part is None:
            self._host.core.snapshot_gone(wanted.peer)
        else:
            self._host.core.send_chunk(wanted, part[0], part[1], self._host.now_s())
        self._host.wake()

    def close(self) -> None:
        """Close files; the thread of the log has ended."""
        self._outgoing.close()
        self._incoming.abandon()
