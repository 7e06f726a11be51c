"""Elections: pre-votes, votes, and who may not have one because a leader is heard (thesis 3.4, 4.2.3, 9.6)."""

from __future__ import annotations

from reconciler.consensus import membership, replication
from reconciler.consensus.outputs import Role
from reconciler.consensus.peers import NEVER_S
from reconciler.consensus.state import State
from reconciler.consensus.values import HardState, NodeId, TimeoutNow, VoteReply, VoteRequest


def campaign(state: State, *, transfer: bool = False) -> None:
    """Ask whether an election would succeed; with `transfer`, or alone, hold one at once."""
    if not state.may_stand() or state.installing is not None:
        state.follow(state.term, "")  # whoever led is heard no more, whether or not this node can do something about it
        return
    if transfer or state.log.members.voters == (state.node_id,):
        _stand(state, transfer=transfer)
        return
    state.role = Role.PRE_CANDIDATE
    state.leader = ""
    state.votes = {state.node_id: True}
    state.ask_again_soon()
    _ask(state, VoteRequest(state.term + 1, state.log.last_index, state.log.last_term, pre=True))


def _stand(state: State, *, transfer: bool = False) -> None:
    """Be a candidate. Nothing leaves, and the own vote doesn't count, until term and vote are on disk."""
    state.term += 1
    state.voted_for = state.node_id
    state.role = Role.CANDIDATE
    state.leader = ""
    state.votes = {}
    state.campaign_s = NEVER_S
    state.restart_election_timer()
    _ask(state, VoteRequest(state.term, state.log.last_index, state.log.last_term, transfer=transfer))


def _ask(state: State, request: VoteRequest) -> None:
    for node in state.log.members.voters:
        if node != state.node_id:
            state.send(node, request, durable=not request.pre)


def own_vote_saved(state: State) -> None:
    """Count the own vote if it is on disk. Only now do the others learn of the candidacy: no promise began before."""
    if state.role is Role.CANDIDATE and state.hard_saved == HardState(state.term, state.node_id):
        if state.campaign_s == NEVER_S:
            state.campaign_s = state.now_s
        _count(state, state.node_id, granted=True)


def on_vote_request(state: State, sender: NodeId, request: VoteRequest) -> None:
    """Grant or refuse. Whether the sender is in our membership doesn't matter (thesis 4.1): it may be newer than ours.

    A node that a committed change removed is told so, unless its log may know better.
    """
    up_to_date = (request.last_term, request.last_index) >= (state.log.last_term, state.log.last_index)
    if not up_to_date:
        membership.tell_removed(state, sender)
    if (state.hears_leader() and not request.transfer) or request.term < state.term:
        # Refused without looking at the term: a node that was cut off can't end a leadership that works.
        state.send(sender, VoteReply(state.term, granted=False, pre=request.pre))
        return
    if request.pre:
        granted = up_to_date and request.term > state.term
        state.send(sender, VoteReply(request.term if granted else state.term, granted, pre=True))
        return
    if request.term > state.term:
        state.follow(request.term, "")
    granted = up_to_date and state.voted_for in {"", sender} and not state.leader
    if granted:
        state.voted_for = sender
        state.heard_s = state.now_s  # the winner leads from then on, as far as we are concerned
        state.restart_election_timer()
    state.send(sender, VoteReply(state.term, granted), durable=granted)


def on_vote_reply(state: State, sender: NodeId, reply: VoteReply) -> None:
    """Count an answer to what we asked in this term."""
    asked = Role.PRE_CANDIDATE if reply.pre else Role.CANDIDATE
    if not (reply.pre and reply.granted) and reply.term > state.term:
        state.follow(reply.term, "")
        return
    of_now = state.term + 1 if reply.pre and reply.granted else state.term
    if state.role is not asked or (reply.granted and reply.term != of_now):
        return
    _count(state, sender, granted=reply.granted)


def _count(state: State, voter: NodeId, *, granted: bool) -> None:
    voters = state.log.members.voters
    if voter not in voters:
        return
    state.votes[voter] = granted or state.votes.get(voter, False)  # a late refusal takes no vote back
    if state.won(sum(state.votes.get(node, False) for node in voters)):
        if state.role is Role.PRE_CANDIDATE:
            _stand(state)
        elif state.now_s <= state.campaign_s + state.settings.fallback_s:
            replication.lead(state)
        # Otherwise the promises behind these votes may be over: another may lead already. Stand again when it is time.
    elif state.won(sum(not state.votes.get(node, True) for node in voters)):
        state.follow(state.term, "")


def on_timeout_now(state: State, sender: NodeId, message: TimeoutNow) -> None:
    """The leader has stepped down in our favour."""
    if message.term == state.term and state.role is Role.FOLLOWER and sender != state.node_id:
        campaign(state, transfer=True)
