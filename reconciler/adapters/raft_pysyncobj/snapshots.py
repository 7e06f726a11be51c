"""Snapshots: made in a thread, sent to members that are too far behind, and installed whole or not at all.

Upstream forks, pickles, and takes any complete snapshot for newer than its log. Here one is a `store.snapshot`,
written, synced and named by DurableLog.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.adapters.raft.boot import check_index
from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.snapshot_file import SnapshotReader, SnapshotWriter
from reconciler.adapters.raft.snapshotting import Growth
from reconciler.adapters.raft_pysyncobj.core import Core
from reconciler.adapters.raft_pysyncobj.journal import Journal
from reconciler.adapters.raft_pysyncobj.messages import encode
from reconciler.adapters.raft_pysyncobj.upstream import Fields
from reconciler.consensus.values import NodeId, SnapshotMeta
from reconciler.store import snapshot
from reconciler.store.machine import State

_SILENT_S = 1.0
"""Seconds without an answer after which a piece is sent again."""


def _write(writer: SnapshotWriter, frozen: snapshot.Frozen) -> int:
    """Write all of it; return its bytes. In a thread."""
    size = 0
    for chunk in snapshot.encode(frozen):
        writer.write(chunk)
        size += len(chunk)
    writer.finish()
    return size


@dataclass(slots=True)
class _Outgoing:
    reader: SnapshotReader
    offset: int = 0
    sent_s: float = 0.0


@dataclass(slots=True)
class _Incoming:
    meta: SnapshotMeta
    total: int
    data: bytearray = field(default_factory=bytearray)


class Snapshots:
    """Of one member. All of it belongs to the event loop; `make` and `install` use a thread for what takes long."""

    def __init__(self, durable: DurableLog, journal: Journal, piece_bytes: int, send: Callable[[NodeId, bytes], bool]):
        self._durable, self._journal, self._piece_bytes, self._send = durable, journal, piece_bytes, send
        self._outgoing: dict[NodeId, _Outgoing] = {}
        self._incoming: _Incoming | None = None
        self._is_installing = False

    async def make(self, state: State, growth: Growth) -> None:
        """Write the state as it is now, and drop the log up to there. Raises SwarmctlError (raft-disk-full, ...)."""
        durable, journal, index = self._durable, self._journal, state.index
        growth.taken()
        frozen = snapshot.freeze(state)
        writer = durable.begin_snapshot(SnapshotMeta(index, journal.term_at(index), journal.group_at(index)))
        try:
            size = await asyncio.to_thread(_write, writer, frozen)
            journal.sync()
            is_newest = durable.publish(writer)
        except OSError as error:
            growth.finished(None)
            raise durable.told(error) from error
        except BaseException:
            growth.finished(None)
            writer.abandon()
            raise
        growth.finished(size)
        if is_newest:
            journal.forget(growth.keep_from(index))
            durable.compact(index)

    # --- sending

    def want(self, core: Core, node: NodeId) -> None:
        """A peer needs the newest snapshot: begin, or repeat the piece that was not answered."""
        outgoing = self._outgoing.get(node)
        if outgoing is None:
            reader = self._durable.read_snapshot()
            if reader is None:
                return
            outgoing = self._outgoing[node] = _Outgoing(reader)
        if time.monotonic() - outgoing.sent_s > _SILENT_S:
            self._send_piece(core, node, outgoing)

    def on_reply(self, core: Core, node: NodeId, message: Fields) -> None:
        """Send the next piece. After the last, the peer answers as it does to entries."""
        outgoing = self._outgoing.get(node)
        if not core.note_answer(node, message) or outgoing is None or message["index"] != outgoing.reader.meta.index:
            return
        outgoing.offset = min(message["offset"], outgoing.reader.data_bytes)
        if outgoing.offset < outgoing.reader.data_bytes:
            self._send_piece(core, node, outgoing)

    def forget(self, keep: Callable[[NodeId], bool]) -> None:
        """Close what is not being sent any more."""
        for node in [node for node in self._outgoing if not keep(node)]:
            self._outgoing.pop(node).reader.close()

    def _send_piece(self, core: Core, node: NodeId, outgoing: _Outgoing) -> None:
        reader = outgoing.reader
        outgoing.sent_s = time.monotonic()
        piece = {
            "type": "piece",
            "term": core.term,
            "meta": reader.meta,
            "total": reader.data_bytes,
            "offset": outgoing.offset,
            "data": reader.read_at(outgoing.offset, self._piece_bytes),
            "sent": boot_clock(),
        }
        self._send(node, encode(piece))

    # --- receiving

    def on_piece(self, core: Core, leader: NodeId, message: Fields) -> tuple[SnapshotMeta, bytes] | None:
        """Take a piece; the whole when it was the last one, to be handed to `install`."""
        if not core.hear(leader, message):
            return None
        meta: SnapshotMeta = message["meta"]
        index = meta.index
        if index <= core.applied:  # what is applied here is committed, and so equal to the leader's
            core.answer(leader, index + 1, reset=False, matches=True)
            return None
        if self._is_installing:
            return None
        incoming = self._incoming
        if incoming is None or (incoming.meta, incoming.total) != (meta, message["total"]):
            incoming = self._incoming = _Incoming(meta, message["total"])
        if message["offset"] == len(incoming.data):
            incoming.data += message["data"]
        reply = {
            "type": "piece_reply",
            "term": core.term,
            "index": index,
            "offset": len(incoming.data),
            "sent": message["sent"],
        }
        self._send(leader, encode(reply))
        if len(incoming.data) < incoming.total:
            return None
        self._incoming, self._is_installing = None, True
        return incoming.meta, bytes(incoming.data)

    async def install(self, core: Core, meta: SnapshotMeta, data: bytes) -> State | None:
        """Put a received snapshot in the place of the state and of the log; None if it came too late.

        Nothing of it counts before all of it was decoded and is on the disk.
        """
        try:
            state = await asyncio.to_thread(snapshot.decode, (data,))
            check_index(state, meta)
            if meta.index <= core.applied:
                return None
            self._journal.sync()
            if self._durable.publish_snapshot(meta, (data,)):
                self._journal.replace(meta)
            core.start_behind(meta.index)
            core.follow_group()
            return state
        finally:
            self._is_installing = False
