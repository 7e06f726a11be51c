"""Changes of members, which upstream neither guards nor makes in steps; and what a member says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.adapters.raft.clock import boot_clock
from reconciler.consensus.outputs import MemberChange, MemberVerb, PeerStatus, Reason, Refused, Role, Status
from reconciler.consensus.values import Membership, NodeId

if TYPE_CHECKING:
    from reconciler.adapters.raft_pysyncobj.core import Core


def next_membership(core: Core, change: MemberChange) -> Membership | Refused:
    """The membership after a change, or why it can't be made now."""
    group, node = core.journal.group, change.node
    reason = _why_not(core, change.verb, node)
    if reason is not None:
        return Refused(reason, core.leader)
    if change.verb is MemberVerb.ADD:
        return Membership(group.voters, tuple(sorted((*group.learners, node))))
    learners = tuple(one for one in group.learners if one != node)
    if change.verb is MemberVerb.PROMOTE:
        return Membership(tuple(sorted((*group.voters, node))), learners)
    return Membership(tuple(one for one in group.voters if one != node), learners)


def _why_not(core: Core, verb: MemberVerb, node: NodeId) -> Reason | None:
    group = core.journal.group
    checks = {
        Reason.NOT_LEADER: not core.leads,
        Reason.TRANSFERRING: bool(core.transfer_to),
        Reason.TOO_EARLY: core.applied < core.started_at,
        Reason.CHANGE_PENDING: core.journal.group_index > core.committed,
        Reason.ALREADY_SO: node in (group.all if verb is MemberVerb.ADD else group.voters)
        and verb is not MemberVerb.REMOVE,
        Reason.TOO_MANY_MEMBERS: verb is MemberVerb.ADD and len(group.all) >= core.settings.members_max,
        Reason.NO_MEMBER: verb is not MemberVerb.ADD and node not in group,
        Reason.NOT_CAUGHT_UP: verb is MemberVerb.PROMOTE and not is_caught_up(core, node),
        Reason.LAST_VOTER: verb is MemberVerb.REMOVE and group.voters == (node,),
        Reason.TRANSFER_FIRST: verb is MemberVerb.REMOVE and node == core.node,
    }
    return next((reason for reason, applies in checks.items() if applies), None)


def is_caught_up(core: Core, node: NodeId) -> bool:
    """Whether a peer is near the end of the log, and alive."""
    match = core.match_of(node)
    near = match > 0 and match + core.settings.catch_up_entries >= core.journal.last[1]
    return near and boot_clock() - core.answered_s(node) <= core.settings.fallback_s


def status_of(core: Core) -> Status:
    """What our own core says of itself, as far as there is the same here."""
    now_s, journal = boot_clock(), core.journal
    role = Role.LEADER if core.leads else Role.FOLLOWER
    known = core.leads or now_s - core.heard_s < core.settings.election_max_s
    peers = tuple(
        PeerStatus(
            node=node,
            voter=node in journal.group.voters,
            match_index=core.match_of(node),
            next_index=core.next_of(node),
            flow="",
            silent_s=now_s - core.answered_s(node),
            caught_up=is_caught_up(core, node),
        )
        for node in sorted(journal.group.all if core.leads else ())
        if node != core.node
    )
    return Status(
        node=core.node,
        role=role,
        term=core.term,
        voted_for=journal.hard.voted_for,
        leader=core.leader if known else "",
        first_index=journal.base + 1,
        last_index=journal.last[1],
        commit_index=core.committed,
        handed_index=core.applied,
        persisted_index=journal.last[1],
        snapshot_index=journal.base,
        log_bytes=0,
        members=journal.group,
        members_index=journal.group_index,
        members_pending=journal.group_index > core.committed,
        transferring_to=core.transfer_to,
        waiting_reads=0,
        peers=peers,
    )
