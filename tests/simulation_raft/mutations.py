"""Deliberate bugs, ways in which Raft implementations have really failed, to show that the simulation finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.adapters.raft.proposals import Proposals
from reconciler.adapters.raft.search import Search
from reconciler.consensus import election, following, membership, reads, replication, snapshots
from reconciler.consensus.core import Core
from reconciler.consensus.log import Log, size_of
from reconciler.consensus.outputs import Envelope
from reconciler.consensus.state import State
from reconciler.consensus.values import Append, AppendReply, EntryKind, HardState, ReadReply, VoteReply
from reconciler.store.sessions import Sessions
from tests.simulation_raft.doors import Door
from tests.unit.consensus import test_safety

Patch = pytest.MonkeyPatch


def votes_leave_before_they_are_saved(patch: Patch) -> None:
    """A voter that crashes forgets its vote and gives another in the same term."""
    original = State.send

    def send(self: State, to: str, message: Any, *, durable: bool = False) -> None:
        if isinstance(message, VoteReply):
            self.at_once.append(Envelope(to, message))
        else:
            original(self, to, message, durable=durable)

    patch.setattr(State, "send", send)


def candidate_counts_its_unsaved_vote(patch: Patch) -> None:
    original = election._stand

    def stand(state: State, *, transfer: bool = False) -> None:
        original(state, transfer=transfer)
        state.hard_saved = HardState(state.term, state.node_id)
        election.own_vote_saved(state)

    patch.setattr(election, "_stand", stand)


def votes_ignore_the_log(patch: Patch) -> None:
    """Anybody is elected, also without what is committed."""
    original = election.on_vote_request

    def on_vote_request(state: State, sender: str, request: Any) -> None:
        changed = type(request)(request.term, 1 << 40, 1 << 40, request.pre, request.transfer)
        original(state, sender, changed)

    patch.setattr(election, "on_vote_request", on_vote_request)


def older_terms_are_committed_by_count(patch: Patch) -> None:
    """Figure 3.7 of the thesis."""

    def advance_commit(state: State, leading: Any) -> None:
        synced = sorted(
            (
                state.persisted if node == state.node_id else leading.peers[node].match
                for node in state.log.members.voters
            ),
            reverse=True,
        )
        index = max(state.commit, synced[len(synced) // 2])
        newly = state.log.slice(state.commit + 1, index, 1 << 40)
        leading.uncommitted_bytes -= sum(map(size_of, newly))
        state.commit = index

    def propose(state: State, leading: Any, kind: EntryKind, data: bytes) -> None:
        if kind is not EntryKind.NOOP:  # which would hide the mistake: it commits the older entries as it should be
            original(state, leading, kind, data)

    original = replication.propose
    patch.setattr(replication, "propose", propose)
    patch.setattr(replication, "advance_commit", advance_commit)


def matching_entries_are_truncated(patch: Patch) -> None:
    """A late message drops what came after it and was acknowledged."""
    patch.setattr(Log, "first_new", lambda self, entries: sum(entry.index <= self.base_index for entry in entries))

    def take(state: State, entries: Any) -> int:
        known = state.log.first_new(entries)
        if entries[known:]:
            state.truncate(min(entries[known].index - 1, state.log.last_index))
            for entry in entries[known:]:
                state.append(entry)
        return len(entries)

    patch.setattr(following, "_take", take)


def leader_counts_itself_before_its_disk(patch: Patch) -> None:
    original = replication.advance_commit

    def advance_commit(state: State, leading: Any) -> None:
        saved, state.persisted = state.persisted, state.log.last_index
        original(state, leading)
        state.persisted = saved

    patch.setattr(replication, "advance_commit", advance_commit)


def followers_answer_before_their_disk(patch: Patch) -> None:
    original = State.send

    def send(self: State, to: str, message: Any, *, durable: bool = False) -> None:
        original(self, to, message, durable=durable and not isinstance(message, AppendReply))

    patch.setattr(State, "send", send)


def commit_covers_the_unchecked_tail(patch: Patch) -> None:
    """The commit index of a heartbeat is believed for entries that were never compared (PySyncObj 0.3.17)."""
    original = following.on_append

    def on_append(state: State, sender: str, message: Append) -> None:
        original(state, sender, message)
        state.commit = max(state.commit, min(message.commit, state.log.last_index))

    patch.setattr(following, "on_append", on_append)


def reads_trust_a_lease(patch: Patch) -> None:
    """The leader answers reads without asking anybody, and doesn't look at its clock either."""

    def start_round(state: State, leading: Any) -> bool:
        for node, number in leading.new_readers:
            if node:
                state.send(node, ReadReply(state.term, number, state.commit))
            else:
                state.read_at.append((state.commit, number))
        leading.new_readers = []
        return False

    patch.setattr(reads, "start_round", start_round)


def reads_before_the_first_commit(patch: Patch) -> None:
    """A new leader answers with a commit index that is older than what the last one acknowledged."""
    original = reads.start_round

    def start_round(state: State, leading: Any) -> bool:
        saved, leading.start_index = leading.start_index, 0
        started = original(state, leading)
        leading.start_index = saved
        return started

    patch.setattr(reads, "start_round", start_round)


def learners_are_counted(patch: Patch) -> None:
    """A majority of voters is looked for among all members."""
    original = replication.advance_commit

    def advance_commit(state: State, leading: Any) -> None:
        original(state, leading)
        synced = [
            state.persisted if node == state.node_id else leading.peers[node].match for node in state.log.members.all
        ]
        index = sorted(synced, reverse=True)[len(state.log.members.voters) // 2]
        if index > state.commit and state.log.term_at(index) == state.term:
            newly = state.log.slice(state.commit + 1, index, 1 << 40)
            leading.uncommitted_bytes -= sum(map(size_of, newly))
            state.commit = index

    patch.setattr(replication, "advance_commit", advance_commit)


def membership_changes_overlap(patch: Patch) -> None:
    """A change doesn't wait for the one before nor for an entry of this term: two majorities may not meet."""
    original = membership.next_membership

    def next_membership(state: State, leading: Any, change: Any) -> Any:
        saved, state.commit = state.commit, state.log.last_index
        try:
            return original(state, leading, change)
        finally:
            state.commit = saved

    patch.setattr(membership, "next_membership", next_membership)


def voters_help_others_while_they_hear_a_leader(patch: Patch) -> None:
    patch.setattr(State, "hears_leader", lambda self: False)


def leaders_never_step_down(patch: Patch) -> None:
    patch.setattr(replication, "check_quorum", lambda state: None)


def old_snapshots_are_installed(patch: Patch) -> None:
    """A snapshot older than what the receiver has puts its state back."""
    original = snapshots.on_chunk

    def on_chunk(state: State, sender: str, chunk: Any) -> None:
        saved, state.commit = state.commit, 0
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Log, "term_at", lambda self, index: None)
            original(state, sender, chunk)
        state.commit = saved

    patch.setattr(snapshots, "on_chunk", on_chunk)


def truncated_writes_still_count(patch: Patch) -> None:
    """What was being written is believed to be on disk although it was replaced meanwhile."""

    def truncate(self: State, last: int) -> None:
        self.log.truncate(last)
        self.ungiven = min(self.ungiven, last + 1)
        self.persisted = min(self.persisted, last)

    patch.setattr(State, "truncate", truncate)


def restarted_voters_forget_whom_they_heard(patch: Patch) -> None:
    original = Core.__init__

    def init(self: Core, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self._state.heard_s = float("-inf")

    patch.setattr(Core, "__init__", init)


def places_outlive_their_leader(patch: Patch) -> None:
    """What was put where another leader's entry came out is taken for applied."""
    original = Proposals.resolve

    def on_leader(self: Proposals, leader: str, term: int) -> None:
        self._leader = (leader, term) if leader else self._leader

    def resolve(self: Proposals, index: int, term: int, outcomes: Any) -> None:
        for place in self._places.get(index, ()):
            place.term = term
        original(self, index, term, outcomes)

    patch.setattr(Proposals, "on_leader", on_leader)
    patch.setattr(Proposals, "resolve", resolve)


def repetitions_take_effect_again(patch: Patch) -> None:
    patch.setattr(Sessions, "recall", lambda self, client, sequence, index: None)


def lost_forwards_count_as_never_sent(patch: Patch) -> None:
    """No answer is taken for a refusal, so a caller is told that its write has no effect, and it may have one."""
    original = Proposals.sweep

    def sweep(self: Proposals, now_s: float, no_leader: Any) -> None:
        for due_s, proposals in self._forwards.values():
            for proposal in proposals if now_s >= due_s else ():
                proposal.sent -= 1
        original(self, now_s, no_leader)

    patch.setattr(Proposals, "sweep", sweep)


def a_leader_of_which_nothing_was_heard_is_shut_out(patch: Patch) -> None:
    """What comes first to a new member tells of older members: the leader need not be one of them."""
    patch.setattr(Door, "lets_in", lambda self, other: other in self.followed or not self.node.core.members.all)


def nobody_but_members_is_looked_for(patch: Patch) -> None:
    """Who was away while the others were replaced waits for those that are gone."""
    patch.setattr(Search, "wanted", {})


FOUND_BY_FORWARDING: dict[Callable[[Patch], None], int] = {
    places_outlive_their_leader: 100,
    repetitions_take_effect_again: 0,
    lost_forwards_count_as_never_sent: 0,
}
"""Bugs between callers and the core that random faults bring to light, and the seed to begin with: less than a hundred
before the first that does.
"""

FOUND_BY_CHANCE: tuple[Callable[[Patch], None], ...] = (
    candidate_counts_its_unsaved_vote,
    votes_ignore_the_log,
    matching_entries_are_truncated,
    leader_counts_itself_before_its_disk,
    followers_answer_before_their_disk,
    commit_covers_the_unchecked_tail,
    reads_trust_a_lease,
    reads_before_the_first_commit,
    learners_are_counted,
    membership_changes_overlap,
    leaders_never_step_down,
    a_leader_of_which_nothing_was_heard_is_shut_out,
    nobody_but_members_is_looked_for,
)
"""Bugs that random faults bring to light."""

FOUND_BY_STORY: dict[Callable[[Patch], None], Callable[[], None]] = {
    votes_leave_before_they_are_saved: test_safety.test_a_vote_leaves_after_its_sync_and_nothing_overtakes_it,
    older_terms_are_committed_by_count: test_safety.test_an_older_entry_is_not_committed_by_count,
    voters_help_others_while_they_hear_a_leader: test_safety.test_a_voter_refuses_while_it_hears_a_leader,
    old_snapshots_are_installed: test_safety.test_a_snapshot_older_than_the_commit_is_not_installed,
    truncated_writes_still_count: test_safety.test_what_was_replaced_while_it_was_written_does_not_count_as_synced,
    restarted_voters_forget_whom_they_heard: test_safety.test_a_voter_that_just_started_may_have_heard_a_leader,
}
"""Bugs that need more coincidences than a thousand seeds hold; a story made for each finds them."""
