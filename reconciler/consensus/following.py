"""The follower's side of replication: take entries that fit, say where they don't (thesis 3.5)."""

from __future__ import annotations

from reconciler.consensus.outputs import Role
from reconciler.consensus.state import State
from reconciler.consensus.values import Append, AppendReply, Entry, NodeId
from reconciler.model.errors import ErrorCode, SwarmctlError


def hear(state: State, leader: NodeId) -> None:
    """A leader of our term has spoken."""
    if state.role is Role.LEADER:
        raise broken(f"{leader} and {state.node_id} both lead in term {state.term}.")
    if state.role is not Role.FOLLOWER or state.leader != leader:
        state.follow(state.term, leader)
    state.heard_s = state.now_s
    state.restart_election_timer()


def on_append(state: State, sender: NodeId, message: Append) -> None:
    """Take entries. What is claimed in the answer leaves only when it is on disk; that we are alive, at once."""
    hear(state, sender)
    if state.installing is not None:
        known = min(state.commit, state.persisted)
        _accept(state, sender, message, known, known)
        return
    prev, entries = message.prev_index, message.entries
    base = state.log.base_index
    if prev < base:  # committed, so the same everywhere
        prev, entries = base, tuple(entry for entry in entries if entry.index > base)
    elif state.log.term_at(prev) != message.prev_term:
        _refuse(state, sender, message)
        return
    matched = prev + _take(state, entries)
    state.commit = max(state.commit, min(message.commit, matched))
    _accept(state, sender, message, matched if entries else min(matched, state.persisted), matched)


def _take(state: State, entries: tuple[Entry, ...]) -> int:
    """Append what is new of `entries`; how many of them the log has now. Drops entries only where they differ."""
    known = state.log.first_new(entries)
    new = entries[known:]
    if not new:
        return known
    if state.log.bytes > state.settings.log_bytes_max:
        return known
    first = new[0].index
    if first <= state.log.last_index:
        if first <= state.commit:
            raise broken(f"Entry {first} is committed with term {state.log.term_at(first)}, now comes {new[0].term}.")
        state.truncate(first - 1)
    for entry in new:
        state.append(entry)
    return len(entries)


def _accept(state: State, sender: NodeId, message: Append, index: int, matched: int) -> None:
    if message.round or message.entries:
        reply = AppendReply(state.term, message.round, accepted=True, index=index, hint_index=matched)
        state.send(sender, reply, durable=index > state.persisted)


def _refuse(state: State, sender: NodeId, message: Append) -> None:
    """Say up to where the logs may be equal: skip all of our entries with a term above the leader's at that place."""
    hint = state.log.last_not_above(message.prev_index - 1, message.prev_term)
    hint_term = state.log.term_at(hint)
    state.send(
        sender,
        AppendReply(
            state.term,
            message.round,
            accepted=False,
            index=message.prev_index,
            hint_index=hint,
            hint_term=hint_term or 0,
        ),
    )


def broken(why: str) -> SwarmctlError:
    """An error of ours or a damaged disk: stopping is the only safe answer."""
    return SwarmctlError(
        ErrorCode.RAFT_INCONSISTENT,
        "The managers' replicated logs contradict each other.",
        why=why,
        hint="Keep a copy of this manager's state directory, then replace it by an empty one under a new name.",
    )
