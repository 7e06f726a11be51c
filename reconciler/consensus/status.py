"""The core's state as a value to show."""

from __future__ import annotations

from reconciler.consensus import membership, reads
from reconciler.consensus.outputs import PeerStatus, Status
from reconciler.consensus.state import State


def status_of(state: State, now_s: float) -> Status:
    """What `status` shows of a node at `now_s`."""
    leading, log = state.leading, state.log
    peers = tuple(
        PeerStatus(
            node=node,
            voter=node in log.members.voters,
            match_index=peer.match,
            next_index=peer.next,
            flow=peer.flow.value,
            silent_s=now_s - peer.acked_s,
            caught_up=membership.is_caught_up(state, peer),
            refuses=peer.refuses,
        )
        for node, peer in sorted(leading.peers.items() if leading else ())
    )
    return Status(
        node=state.node_id,
        role=state.role,
        term=state.term,
        voted_for=state.voted_for,
        leader=state.leader,
        first_index=log.base_index + 1,
        last_index=log.last_index,
        commit_index=state.commit,
        handed_index=state.handed,
        persisted_index=state.persisted,
        snapshot_index=state.snapshot.index if state.snapshot else 0,
        log_bytes=log.bytes,
        members=log.members,
        members_index=log.members_index,
        members_pending=log.members_index > state.commit,
        transferring_to=leading.transfer_to if leading else "",
        waiting_reads=reads.waiting(state),
        peers=peers,
        led_s=now_s - leading.began_s if leading else 0.0,
    )
