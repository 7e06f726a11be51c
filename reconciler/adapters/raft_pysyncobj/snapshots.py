"""Snapshots: made in a thread, sent to members that are too far behind, and installed whole or not at all.

Upstream forks, pickles, and takes any complete snapshot for newer than its log. Here one is a `store.snapshot`,
written, synced and named by DurableLog.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from reconciler.adapters.raft.boot import check_index
from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.refused_snapshots import RefusedSnapshots
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.raft.snapshot_file import SnapshotReader, SnapshotWriter
from reconciler.adapters.raft.snapshotting import Growth
from reconciler.adapters.raft_pysyncobj.core import Core
from reconciler.adapters.raft_pysyncobj.messages import encode
from reconciler.adapters.raft_pysyncobj.upstream import Fields
from reconciler.consensus.values import NodeId, SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.store import snapshot
from reconciler.store.machine import State

log = logging.getLogger(__name__)

WHY_CHARS = 500
"""Characters of why a member can't use a snapshot, that the leader keeps for whoever looks."""

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
    refusal: str = ""


@dataclass(slots=True)
class _Incoming:
    meta: SnapshotMeta
    total: int
    data: bytearray = field(default_factory=bytearray)


class Host(Protocol):
    """What a member does for its snapshots."""

    def spawn(self, job: Coroutine[Any, Any, None]) -> None: ...

    def installed(self, state: State, leader: NodeId) -> None:
        """Put the state of a received snapshot, which is published, in the place of what is applied."""
        ...


class Snapshots:
    """Of one member. All of it belongs to the event loop; a thread writes and decodes them."""

    def __init__(
        self, host: Host, core: Core, growth: Growth, settings: MemberSettings, send: Callable[[NodeId, bytes], bool]
    ) -> None:
        self._host, self._core, self._settings, self._send = host, core, settings, send
        self._journal, self._durable = core.journal, core.journal.durable
        self._outgoing: dict[NodeId, _Outgoing] = {}
        self._incoming: _Incoming | None = None
        self._is_installing = self._is_making = False
        self._after_s = 0.0
        self._refused = RefusedSnapshots(settings.limits)
        self._refused_until_s = 0.0
        self.growth = growth

    # --- making

    @property
    def refuses(self) -> str:
        """Why the leader's snapshot, which this member needs, can't be used here; "" where all is well."""
        return self._refused.why(self._core.applied)

    def begin_if_due(self, state: State) -> None:
        """Begin a snapshot of our own when the log has grown enough."""
        if self.growth.is_due and not self._is_making and time.monotonic() >= self._after_s:
            self._is_making = True
            self._host.spawn(self._make_due(state))

    async def _make_due(self, state: State) -> None:
        try:
            await self._make(state)
        except SwarmctlError as error:
            if error.code is not ErrorCode.RAFT_DISK_FULL:
                raise
            log.error("There is no space for a snapshot: %s", error)
            self._after_s = time.monotonic() + self._settings.limits.snapshot_retry_s
        finally:
            self._is_making = False

    async def _make(self, state: State) -> None:
        """Write the state as it is now, and drop the log up to there. Raises SwarmctlError (raft-disk-full, ...)."""
        durable, journal, index = self._durable, self._journal, state.index
        self.growth.taken()
        size: int | None = None
        frozen = snapshot.freeze(state)
        writer = durable.begin_snapshot(SnapshotMeta(index, journal.term_at(index), journal.group_at(index)))
        try:
            written = await asyncio.to_thread(_write, writer, frozen)
            journal.sync()
            is_newest = durable.publish(writer)
            size = written
        except OSError as error:
            raise durable.told(error) from error
        except BaseException:
            writer.abandon()
            raise
        finally:
            self.growth.finished(size)
        if is_newest:
            journal.forget(self.growth.keep_from(index))
            durable.compact(index)

    # --- sending

    def want(self, node: NodeId) -> None:
        """A peer needs the newest snapshot: begin, or repeat the piece that was not answered."""
        outgoing = self._outgoing.get(node)
        if outgoing is not None and outgoing.reader.meta.index < self._core.next_of(node):
            self._outgoing.pop(node).reader.close()  # it has this one, and the log has moved on meanwhile
            outgoing = None
        if outgoing is None:
            reader = self._durable.read_snapshot()
            if reader is None:
                return
            outgoing = self._outgoing[node] = _Outgoing(reader)
        if time.monotonic() - outgoing.sent_s > _SILENT_S:
            self._send_piece(node, outgoing)

    def on_reply(self, node: NodeId, message: Fields) -> None:
        """Send the next piece. After the last, the peer answers as it does to entries."""
        outgoing = self._outgoing.get(node)
        if (
            not self._core.note_answer(node, message)
            or outgoing is None
            or message["index"] != outgoing.reader.meta.index
        ):
            return
        if message.get("why"):
            outgoing.refusal = message["why"][:WHY_CHARS]
            return
        outgoing.offset = min(message["offset"], outgoing.reader.data_bytes)
        if outgoing.offset < outgoing.reader.data_bytes:
            self._send_piece(node, outgoing)

    def refused_by(self, node: NodeId) -> str:
        """Why a peer can't use our snapshot, in its own words; "" unless it has said so."""
        outgoing = self._outgoing.get(node)
        return outgoing.refusal if outgoing else ""

    def close_idle(self) -> None:
        """Close what is not being sent any more."""
        for node in list(self._outgoing):
            if not self._core.leads or not 0 < self._core.next_of(node) <= self._journal.base:
                self._outgoing.pop(node).reader.close()

    def close(self) -> None:
        """Close everything: this member ends."""
        for outgoing in self._outgoing.values():
            outgoing.reader.close()
        self._outgoing.clear()

    def _send_piece(self, node: NodeId, outgoing: _Outgoing) -> None:
        reader = outgoing.reader
        outgoing.sent_s = time.monotonic()
        piece = {
            "type": "piece",
            "term": self._core.term,
            "meta": reader.meta,
            "total": reader.data_bytes,
            "offset": outgoing.offset,
            "data": reader.read_at(outgoing.offset, self._settings.consensus.snapshot_chunk_bytes),
            "sent": boot_clock(),
        }
        self._send(node, encode(piece))

    # --- receiving

    def on_piece(self, leader: NodeId, message: Fields) -> None:
        """Take a piece of the leader's snapshot; the last one lets it be installed."""
        core = self._core
        if not core.hear(leader, message):
            return
        meta: SnapshotMeta = message["meta"]
        if meta.index <= core.applied:  # what is applied here is committed, and so equal to the leader's
            core.answer(leader, meta.index + 1, reset=False, matches=True)
            return
        if self._is_installing:
            return  # without an answer: the leader says again and again where it is, and sends nothing more
        if boot_clock() < self._refused_until_s:
            self._reply(leader, message, message["total"], why=self.refuses)  # as if nothing more were missing
            return
        incoming = self._incoming
        if incoming is None or (incoming.meta, incoming.total) != (meta, message["total"]):
            incoming = self._incoming = _Incoming(meta, message["total"])
        if message["offset"] == len(incoming.data):
            incoming.data += message["data"]
        self._reply(leader, message, len(incoming.data))
        if len(incoming.data) >= incoming.total:
            self._incoming, self._is_installing = None, True
            self._host.spawn(self._install(leader, meta, bytes(incoming.data)))

    def _reply(self, leader: NodeId, piece: Fields, offset: int, **more: str) -> None:
        index, sent = piece["meta"].index, piece["sent"]
        reply = {"type": "piece_reply", "term": self._core.term, "index": index, "offset": offset, "sent": sent}
        self._send(leader, encode(reply | more))

    async def _install(self, leader: NodeId, meta: SnapshotMeta, data: bytes) -> None:
        """Put a received snapshot in the place of the state and of the log, unless it came too late.

        Nothing of it counts before all of it was decoded and is on the disk.
        """
        core, journal = self._core, self._journal
        try:
            state = await asyncio.to_thread(snapshot.decode, (data,))
            check_index(state, meta)
            if meta.index <= core.applied:
                return
            journal.sync()
            if self._durable.publish_snapshot(meta, (data,)):
                journal.replace(meta)
            core.start_behind(meta.index)
            core.follow_group()
            self.growth.restart(len(data))
            self._refused.taken()
            self._host.installed(state, leader)
        except SwarmctlError as error:
            if error.code is ErrorCode.RAFT_DISK_FAILED:
                raise
            now_s = boot_clock()
            self._refused_until_s = now_s + self._refused.add(error, now_s, core.applied)
        finally:
            self._is_installing = False
