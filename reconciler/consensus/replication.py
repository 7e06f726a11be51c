"""The leader's side of replication: heartbeats, entries, answers, commit (thesis 3.5, 3.6)."""

from __future__ import annotations

from reconciler.consensus import membership, reads, snapshots
from reconciler.consensus.log import size_of
from reconciler.consensus.outputs import Role
from reconciler.consensus.peers import NEVER_S, Flow, Leading, Peer
from reconciler.consensus.state import State
from reconciler.consensus.values import Append, AppendReply, Entry, EntryKind, NodeId, SnapshotReply, TimeoutNow


def lead(state: State) -> None:
    """Become the leader of this term, and begin it with an entry that shows what is committed."""
    log = state.log
    pending = log.slice(state.commit + 1, log.last_index, state.settings.log_bytes_max)
    leading = Leading(log.last_index + 1, sum(map(size_of, pending)), state.now_s)
    for node in log.members.all:
        if node != state.node_id:
            # Who voted for us promised to help nobody else for a while from then on, as if it had answered a heartbeat.
            acked_s = state.campaign_s if state.votes.get(node) else NEVER_S
            leading.peers[node] = Peer(log.last_index + 1, acked_s)
    state.role = Role.LEADER
    state.leader = state.node_id
    state.leading = leading
    propose(state, leading, EntryKind.NOOP, b"")
    begin_round(state, leading)


def propose(state: State, leading: Leading, kind: EntryKind, data: bytes) -> None:
    """Append an entry of this term. It goes out with the next Ready."""
    entry = Entry(state.log.last_index + 1, state.term, kind, data)
    state.append(entry)
    leading.uncommitted_bytes += size_of(entry)


def begin_round(state: State, leading: Leading) -> None:
    """Send a heartbeat to every peer. It also finds out what was lost: an answer says where the peer stands."""
    leading.round += 1
    leading.round_sent.append((leading.round, state.now_s))
    oldest_s = state.now_s - state.settings.election_max_s
    while leading.round_sent[0][1] < oldest_s:
        leading.round_sent.popleft()
    leading.heartbeat_due_s = state.now_s + state.settings.heartbeat_s
    for node, peer in leading.peers.items():
        if peer.flow is Flow.SNAPSHOT:
            snapshots.ask_again(state, node, peer)
            state.send(node, Append(state.term, 0, 0, 0, leading.round))
        elif peer.next > state.log.base_index:
            peer.paused = True
            _send(state, leading, node, peer.next - 1, ())


def _send(
    state: State, leading: Leading, node: NodeId, prev: int, entries: tuple[Entry, ...], *, answer: bool = True
) -> None:
    prev_term = state.log.term_at(prev)
    assert prev_term is not None, "callers look at the base first"
    leading.peers[node].commit_told = state.commit
    state.send(node, Append(state.term, prev, prev_term, state.commit, leading.round if answer else 0, entries))


def send_entries(state: State, leading: Leading, node: NodeId, peer: Peer) -> None:
    """Send what a peer lacks, as far as its limits allow; a snapshot when the log no longer has it."""
    log, settings = state.log, state.settings
    if peer.flow is not Flow.SNAPSHOT and peer.next <= log.base_index:
        snapshots.begin(state, node, peer)
    if peer.flow is Flow.PROBE and not peer.paused:
        # Without entries, so that the answer doesn't wait for the peer's disk.
        peer.paused = True
        _send(state, leading, node, peer.next - 1, ())
    while (
        peer.flow is Flow.STREAM
        and peer.next <= log.last_index
        and len(peer.inflight) < settings.inflight_messages_max
        and peer.inflight_bytes < settings.inflight_bytes_max
    ):
        entries = log.slice(peer.next, log.last_index, settings.message_bytes_max)
        _send(state, leading, node, peer.next - 1, entries)
        peer.sent(entries[-1].index, sum(map(size_of, entries)))
    if peer.flow is Flow.STREAM and peer.commit_told < state.commit:
        _send(state, leading, node, peer.next - 1, (), answer=False)


def flush(state: State, leading: Leading) -> None:
    """Before a Ready: send what is new. All that was proposed since the last one shares its messages."""
    if reads.start_round(state, leading):
        begin_round(state, leading)
        reads.finish_rounds(state, leading)
    for node, peer in leading.peers.items():
        send_entries(state, leading, node, peer)
    membership.tell_leavers(state, leading)
    if state.node_id not in state.log.members.voters and state.log.members_index <= state.commit:
        state.follow(state.term, "")  # led only to bring its own removal to an end
        return
    _hand_over(state, leading)


def _heard(state: State, leading: Leading, peer: Peer, round_number: int) -> None:
    """A peer has answered a round: when that was sent, it still followed us."""
    sent_s = leading.sent_at(round_number)
    if sent_s is not None and sent_s > peer.acked_s:
        peer.acked_s = sent_s
    if round_number > peer.acked_round:
        peer.acked_round = round_number
        reads.finish_rounds(state, leading)


def on_append_reply(state: State, sender: NodeId, reply: AppendReply) -> None:
    leading = state.leading
    peer = leading.peers.get(sender) if leading else None
    if leading is None or peer is None:
        return
    _heard(state, leading, peer, reply.round)
    if reply.accepted:
        _accepted(state, leading, peer, reply)
    elif peer.flow is not Flow.SNAPSHOT:
        _refused(state, peer, reply)


def _accepted(state: State, leading: Leading, peer: Peer, reply: AppendReply) -> None:
    grown = reply.index > peer.match
    peer.acknowledged(reply.index)
    if peer.flow is Flow.PROBE:
        if max(reply.index, reply.hint_index) >= peer.next - 1:
            peer.stream()
        elif grown:
            peer.probe(peer.match + 1)
    elif peer.flow is Flow.SNAPSHOT and grown and _needs_no_more_of(peer, state.log.base_index):
        peer.probe(peer.match + 1)
    if grown:
        advance_commit(state, leading)


def _needs_no_more_of(peer: Peer, base_index: int) -> bool:
    """Whether the snapshot on its way is in use at the peer, or entries are enough. In use, it may be older than our
    base by now: then the next one follows.
    """
    return peer.match >= base_index or (peer.snapshot is not None and peer.match >= peer.snapshot.index)


def _refused(state: State, peer: Peer, reply: AppendReply) -> None:
    """Step back to where the logs may meet. Answers that are late or doubled say nothing new."""
    if reply.index <= peer.match or (peer.flow is Flow.PROBE and reply.index != peer.next - 1):
        return
    meet = state.log.last_not_above(min(reply.hint_index, reply.index - 1), reply.hint_term)
    peer.probe(max(meet, peer.match) + 1)


def on_snapshot_reply(state: State, sender: NodeId, reply: SnapshotReply) -> None:
    leading = state.leading
    peer = leading.peers.get(sender) if leading else None
    if leading is None or peer is None:
        return
    _heard(state, leading, peer, reply.round)
    snapshots.on_reply(state, leading, sender, reply)


def advance_commit(state: State, leading: Leading) -> None:
    """Commit what a majority of voters has on disk, this node counted only for what it has on disk itself.

    Only entries of this term are committed by count; older ones with them (thesis 3.6.2, figure 3.7: an older entry on
    a majority can still be replaced).
    """
    synced = sorted(
        (state.persisted if node == state.node_id else leading.peers[node].match for node in state.log.members.voters),
        reverse=True,
    )
    index = synced[len(synced) // 2]
    if index <= state.commit or state.log.term_at(index) != state.term:
        return
    newly = state.log.slice(state.commit + 1, index, state.settings.log_bytes_max)
    leading.uncommitted_bytes -= sum(map(size_of, newly))
    state.commit = index


def check_quorum(state: State) -> None:
    """Step down when no majority has answered for `fallback_s`. Every input looks first: the clock may have jumped."""
    leading = state.leading
    if leading is None or state.now_s <= leading.quorum_until_s:
        return
    leading.quorum_until_s = quorum_until_s(state, leading, state.now_s)
    if state.now_s > leading.quorum_until_s:
        state.follow(state.term, "")


def quorum_until_s(state: State, leading: Leading, now_s: float) -> float:
    """Until when no other can lead, as far as the answers tell that are here at `now_s`."""
    answered = sorted(
        (now_s if node == state.node_id else leading.peers[node].acked_s for node in state.log.members.voters),
        reverse=True,
    )
    return answered[len(answered) // 2] + state.settings.fallback_s


def _hand_over(state: State, leading: Leading) -> None:
    """Give leadership away once the chosen peer has everything and nobody waits for a commit.

    This node steps down first, so that two never act as leaders, also not for a moment. If the message is lost, the
    next election comes by itself.
    """
    if not leading.transfer_to:
        return
    if state.now_s >= leading.transfer_due_s:
        leading.transfer_to = ""
        return
    peer = leading.peers.get(leading.transfer_to)
    if peer is None or peer.match != state.log.last_index or state.commit != state.log.last_index:
        return
    node = leading.transfer_to
    state.follow(state.term, "")
    state.send(node, TimeoutNow(state.term))
