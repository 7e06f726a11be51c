"""Who takes part: one change at a time, learners first, the leader never removes itself (thesis 4.1 to 4.2.2).

One at a time needs no joint consensus: majorities of two memberships that differ in one voter always share a member.
That holds only if the earlier change is committed and the leader has committed an entry of its own term first (Ongaro's
correction of 2015, "bug in single-server membership changes").
"""

from __future__ import annotations

from reconciler.consensus.outputs import MemberChange, MemberVerb, Reason, Refused, Role
from reconciler.consensus.peers import Leading, Peer
from reconciler.consensus.state import State
from reconciler.consensus.values import Entry, HardState, Membership, NodeId, Removed, membership_entry


def bootstrap(voters: tuple[NodeId, ...]) -> tuple[HardState, Entry]:
    """What the disks of a new group's first voters must hold before they start, the same on each.

    A node that joins later starts with nothing at all.
    """
    return HardState(1, ""), membership_entry(1, 1, Membership(tuple(sorted(voters)), ()))


def force_new_group(node: NodeId, hard_state: HardState, last_index: int) -> tuple[HardState, Entry]:
    """What to add to the disk of one survivor so that it goes on alone, with all that it has.

    Only when the others are gone for good: what they committed and this one never got is lost, and none of them may
    ever start again.
    """
    term = hard_state.term + 1
    return HardState(term, node), membership_entry(last_index + 1, term, Membership((node,), ()))


def next_membership(state: State, leading: Leading, change: MemberChange) -> Membership | Refused:
    """The membership after `change`, or why it can't be made now."""
    if state.commit < leading.start_index:
        return Refused(Reason.TOO_EARLY, state.leader)
    if state.log.members_index > state.commit:
        return Refused(Reason.CHANGE_PENDING, state.leader)
    members = state.log.members
    if change.verb is MemberVerb.ADD:
        return _added(state, members, change.node)
    if change.node not in members:
        return Refused(Reason.NO_MEMBER, state.leader)
    if change.verb is MemberVerb.PROMOTE:
        return _promoted(state, leading, members, change.node)
    if change.node == state.node_id:
        last = members.voters == (state.node_id,)
        return Refused(Reason.LAST_VOTER if last else Reason.TRANSFER_FIRST, state.leader)
    voters = tuple(node for node in members.voters if node != change.node)
    return Membership(voters, tuple(node for node in members.learners if node != change.node))


def _added(state: State, members: Membership, node: NodeId) -> Membership | Refused:
    if node in members:
        return Refused(Reason.ALREADY_SO, state.leader)
    if len(members.all) >= state.settings.members_max:
        return Refused(Reason.TOO_MANY_MEMBERS, state.leader)
    return Membership(members.voters, tuple(sorted((*members.learners, node))))


def _promoted(state: State, leading: Leading, members: Membership, node: NodeId) -> Membership | Refused:
    if node in members.voters:
        return Refused(Reason.ALREADY_SO, state.leader)
    if not is_caught_up(state, leading.peers[node]):
        return Refused(Reason.NOT_CAUGHT_UP, state.leader)
    learners = tuple(other for other in members.learners if other != node)
    return Membership(tuple(sorted((*members.voters, node))), learners)


def is_caught_up(state: State, peer: Peer) -> bool:
    """Whether a peer is near the end of the log, and alive."""
    near = peer.match > 0 and peer.match + state.settings.catch_up_entries >= state.log.last_index
    return near and state.now_s - peer.acked_s <= state.settings.fallback_s


def sync_peers(state: State, leading: Leading) -> None:
    """Make the leader's peers those of the membership in the log. Removed ones stay until they can be told."""
    members = state.log.members
    for node in members.all:
        if node != state.node_id and node not in leading.peers:
            leading.peers[node] = Peer(state.log.last_index, state.now_s)
        leading.leaving.pop(node, None)
    for node in leading.peers:
        if node not in members:
            leading.leaving.setdefault(node, state.log.members_index)


def tell_leavers(state: State, leading: Leading) -> None:
    """Tell removed members whose removal is committed."""
    for node, index in list(leading.leaving.items()):
        if state.commit >= index:
            state.send(node, Removed(state.term, state.commit))
            del leading.leaving[node], leading.peers[node]


def tell_removed(state: State, node: NodeId) -> None:
    """Tell a node that asks for votes, if it is no member as of our commit, nor to become one."""
    log = state.log
    if log.members.voters and node not in log.members and node not in log.members_at(max(state.commit, log.base_index)):
        state.send(node, Removed(state.term, state.commit))


def on_removed(state: State, message: Removed) -> None:
    """Stop for good, unless our log has a membership that is newer than what the sender knows."""
    if state.log.members_index > message.index and state.node_id in state.log.members:
        return
    if not state.log.members.all:
        return  # never was a member: it is still joining
    state.follow(state.term, "")
    state.role = Role.REMOVED
    for _, tokens in state.forwarded.values():
        state.fail_readers(("", token) for token in tokens)
    state.forwarded.clear()
