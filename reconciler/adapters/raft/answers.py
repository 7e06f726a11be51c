"""What a member answers when it can't do what it was asked for, in the words that an operator reads."""

from __future__ import annotations

from reconciler.consensus.outputs import Reason
from reconciler.consensus.values import NodeId
from reconciler.model.errors import ErrorCode, SwarmctlError


def no_leader(node: NodeId, patience_s: float) -> SwarmctlError:
    """Surely without effect."""
    return SwarmctlError(
        ErrorCode.RAFT_NO_LEADER,
        f"{node} found no leader within {patience_s:g} s.",
        why="A majority of the voters has to run and to reach each other.",
        hint="Look at the members and at the connections between them, then ask again.",
        passing=True,
    )


def outcome_unknown(why: str) -> SwarmctlError:
    """It may have taken effect, or may still do so; never twice."""
    return SwarmctlError(
        ErrorCode.RAFT_OUTCOME_UNKNOWN,
        "Nobody knows yet whether this was written.",
        why=why,
        hint="Read the state, and ask again if the change is missing.",
        passing=True,
    )


def overloaded(what: str) -> SwarmctlError:
    """Surely without effect."""
    return SwarmctlError(
        ErrorCode.RAFT_OVERLOADED,
        f"More {what} than this member keeps.",
        why="The group is slower than what is asked of it, or has no leader.",
        hint="Ask again in a moment.",
        passing=True,
    )


def too_large(size: int, most: int) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.REQUEST_REFUSED,
        f"The transaction has {size} bytes, and at most {most} are possible.",
        why="An entry of the replicated log travels whole.",
        hint="Write less at a time.",
    )


def not_leader(node: NodeId, leader: NodeId) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.RAFT_NOT_LEADER,
        f"{node} does not lead.",
        why=f"The leader is {leader}." if leader and leader != node else "Who leads is not known right now.",
        hint=f"Ask {leader}." if leader and leader != node else "Ask again in a moment.",
        passing=not leader,
    )


def removed(node: NodeId) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.RAFT_REMOVED,
        f"{node} is a member of its group no more.",
        why="The others have removed it.",
        hint="To take part again it has to join under a new name, with an empty folder.",
    )


def stopped(node: NodeId) -> SwarmctlError:
    return SwarmctlError(ErrorCode.RAFT_STOPPED, f"{node} is stopping.", hint="Ask another member.", passing=True)


def watch_behind(why: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.RAFT_WATCH_BEHIND,
        "Changes that were to be watched are not kept any more.",
        why=why,
        hint="Read the state anew, and watch from its index.",
        passing=True,
    )


def work_stuck(node: NodeId, limit_s: float) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.RAFT_WORK_STUCK,
        f"What {node} did as the leader goes on although it leads no more.",
        why=f"It was cancelled, and did not end within {limit_s:g} s. It could act beside the next leader.",
        hint="Let this process end, and start it again.",
    )


def snapshot_refused(error: SwarmctlError) -> SwarmctlError:
    """`error` says why a leader's snapshot can't be used."""
    cause = error.problems[0]
    return SwarmctlError(
        ErrorCode.RAFT_SNAPSHOT_REFUSED,
        "This member can't use the snapshot that the leader sends, and falls behind.",
        why=f"{cause.what} {cause.why}".strip() + f" ({error.code.value})",
        hint=cause.hint,
    )


def folder_used(folder: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.RAFT_FOLDER_USED,
        f"{folder} is not that of a new member.",
        why="There is a log in it.",
        hint="Start the member that worked there, or name an empty folder.",
    )


_REASONS = {
    Reason.OVERLOADED: "Too much waits to be written.",
    Reason.TRANSFERRING: "Leadership is being handed over.",
    Reason.TOO_EARLY: "The leader was elected only now.",
    Reason.CHANGE_PENDING: "An earlier change is not committed: a majority has to work.",
    Reason.ALREADY_SO: "It is so already.",
    Reason.NO_MEMBER: "There is no such member.",
    Reason.NOT_CAUGHT_UP: "It has not caught up with the log.",
    Reason.LAST_VOTER: "It is the last voter.",
    Reason.TOO_MANY_MEMBERS: "There are as many members as possible.",
}


def change_refused(what: str, reason: Reason | str) -> SwarmctlError:
    """`what` as in "node-4 can't be added"."""
    why = _REASONS.get(reason, str(reason)) if isinstance(reason, Reason) else reason
    return SwarmctlError(
        ErrorCode.RAFT_CHANGE_REFUSED,
        f"{what}.",
        why=why,
        hint="Look at the members, and ask again when the reason is gone.",
        passing=reason in (Reason.OVERLOADED, Reason.TRANSFERRING, Reason.TOO_EARLY, Reason.CHANGE_PENDING),
    )
