"""Snapshots for peers whose next entry is no longer in the log: one piece under way, resumed where it stopped."""

from __future__ import annotations

from reconciler.consensus.outputs import SnapshotPiece, SnapshotRead
from reconciler.consensus.peers import NEVER_S, Flow, Leading, Peer
from reconciler.consensus.state import Staging, State
from reconciler.consensus.values import AppendReply, NodeId, SnapshotChunk, SnapshotMeta, SnapshotReply

WHY_CHARS = 500
"""Characters of why a member can't use a snapshot, that the leader keeps for whoever looks."""

_NOT_SAID = "It does not say why."


def begin(state: State, node: NodeId, peer: Peer) -> None:
    """Send our newest snapshot to a peer, from its start."""
    peer.probe(peer.match + 1)
    peer.flow = Flow.SNAPSHOT
    peer.snapshot = state.snapshot
    peer.offset = 0
    _want(state, node, peer)


def _want(state: State, node: NodeId, peer: Peer) -> None:
    if peer.snapshot is None:
        return
    peer.chunk_due_s = state.now_s + state.settings.fallback_s
    state.chunks_wanted.append(
        SnapshotRead(node, peer.snapshot, peer.offset, state.settings.snapshot_chunk_bytes),
    )


def ask_again(state: State, node: NodeId, peer: Peer) -> None:
    """At a heartbeat: the piece or its answer was lost."""
    if state.now_s >= peer.chunk_due_s:
        _want(state, node, peer)


def send_chunk(state: State, leading: Leading, read: SnapshotRead, data: bytes, total: int) -> None:
    """`data` was read for a peer; drop it when the peer has moved on meanwhile."""
    peer = leading.peers.get(read.peer)
    if peer is None or peer.flow is not Flow.SNAPSHOT or peer.snapshot != read.meta or peer.offset != read.offset:
        return
    state.send(read.peer, SnapshotChunk(state.term, leading.round, read.meta, total, read.offset, data))


def on_reply(state: State, leading: Leading, node: NodeId, reply: SnapshotReply) -> None:
    """Go on where the receiver stands."""
    peer = leading.peers[node]
    if peer.flow is not Flow.SNAPSHOT or peer.snapshot is None or peer.snapshot.index != reply.index:
        return
    if reply.wait_s > 0:
        peer.refuses = reply.why[:WHY_CHARS] or _NOT_SAID
        peer.offset = 0
        peer.chunk_due_s = state.now_s + min(reply.wait_s, state.settings.snapshot_wait_s)
    elif reply.next_offset != peer.offset:
        peer.offset = reply.next_offset
        _want(state, node, peer)


def on_chunk(state: State, sender: NodeId, chunk: SnapshotChunk) -> None:
    """Take the next piece; say what is missing for any other. What we have anyway needs no snapshot."""
    meta = chunk.meta
    if state.installing is not None:
        return
    if meta.index <= state.commit or state.log.term_at(meta.index) == meta.term:
        state.commit = max(state.commit, meta.index)
        known = min(meta.index, state.persisted)
        state.send(sender, AppendReply(state.term, chunk.round, accepted=True, index=known))
        return
    if state.now_s < state.refused_until_s:
        _say_refused(state, sender, chunk.round, meta)
        return
    staging = state.staging
    if staging is None or (staging.sender, staging.meta, staging.total) != (sender, meta, chunk.total):
        staging = state.staging = Staging(sender, meta, chunk.total)
    if chunk.offset == staging.received and (chunk.data or chunk.total == 0):
        staging.received += len(chunk.data)
        last = staging.received >= chunk.total
        state.pieces.append(SnapshotPiece(meta, chunk.offset, chunk.data, last))
        if last:
            state.installing = meta  # from now on entries are refused, until it is in use
            return
    state.send(sender, SnapshotReply(state.term, chunk.round, meta.index, staging.received))


def refused(state: State, wait_s: float, why: str) -> None:
    """The snapshot on its way can't be used. Without a pause the leader would send it again and again, whole."""
    meta = state.installing or (state.staging.meta if state.staging else None)
    state.installing = state.staging = None
    state.refused_until_s = state.now_s + wait_s
    state.refused_why = why[:WHY_CHARS]
    if meta is not None and state.leader and state.leader != state.node_id:
        _say_refused(state, state.leader, 0, meta)


def _say_refused(state: State, to: NodeId, round_number: int, meta: SnapshotMeta) -> None:
    wait_s = state.refused_until_s - state.now_s
    state.send(to, SnapshotReply(state.term, round_number, meta.index, 0, wait_s, state.refused_why))


def installed(state: State, meta: SnapshotMeta) -> None:
    """The snapshot is on disk and in the state machine; the log before it is gone."""
    state.installing = state.staging = None
    state.refused_until_s = NEVER_S
    state.log.reset(meta)
    state.snapshot = meta
    state.commit = max(state.commit, meta.index)
    state.handed = state.persisted = meta.index
    state.ungiven = meta.index + 1
    for flight in state.flights:
        flight.last = 0
    if state.leader and state.leader != state.node_id:
        state.send(state.leader, AppendReply(state.term, 0, accepted=True, index=meta.index))
