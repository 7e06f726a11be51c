"""The rules without which something acknowledged is lost, each in the smallest story that needs it."""

from __future__ import annotations

import pytest

from reconciler.consensus.core import Core
from reconciler.consensus.log import Log
from reconciler.consensus.outputs import Refused, Role
from reconciler.consensus.settings import ConsensusSettings
from reconciler.consensus.values import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    HardState,
    Membership,
    SnapshotChunk,
    SnapshotMeta,
    VoteReply,
    VoteRequest,
)
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.unit.consensus.group import a_core, drain, said


def entry(index: int, term: int, data: bytes = b"x") -> Entry:
    return Entry(index, term, EntryKind.NORMAL, data)


def a_leader(*, entries: int = 1) -> Core:
    """Node a leads in term 2 by the vote of b; nothing of the term is acknowledged."""
    core = a_core("a", entries=entries)
    core.tick(2.5)
    core.receive("b", VoteReply(2, granted=True, pre=True), 2.5)
    drain(core, 2.5)
    core.receive("b", VoteReply(2, granted=True), 2.5)
    drain(core, 2.5)
    assert core.status(2.5).role is Role.LEADER
    return core


def test_an_older_entry_is_not_committed_by_count() -> None:
    core = a_leader(entries=3)
    core.receive("b", AppendReply(2, 1, accepted=True, index=3), 2.5)
    assert core.status(2.5).commit_index == 0  # on a majority, and could still be replaced (thesis, figure 3.7)
    core.receive("b", AppendReply(2, 1, accepted=True, index=4), 2.5)
    assert core.status(2.5).commit_index == 4


def test_a_leader_counts_itself_only_for_what_is_synced() -> None:
    core = a_leader()
    core.receive("b", AppendReply(2, 1, accepted=True, index=2), 2.5)
    core.propose([b"x"], 2.5)
    (ready,) = drain(core, 2.5, sync=False)
    core.receive("b", AppendReply(2, 1, accepted=True, index=3), 2.5)
    assert core.status(2.5).commit_index == 2
    core.persisted(ready.number, 2.5)
    assert core.status(2.5).commit_index == 3


def test_a_late_message_drops_no_matching_entries() -> None:
    core = a_core("b")
    core.receive("a", Append(1, 1, 1, 0, 1, (entry(2, 1), entry(3, 1))), 0.1)
    core.receive("a", Append(1, 1, 1, 0, 1, (entry(2, 1),)), 0.1)
    core.receive("a", Append(1, 1, 1, 0, 1), 0.1)
    assert core.status(0.1).last_index == 3


def test_what_was_replaced_while_it_was_written_does_not_count_as_synced() -> None:
    core = a_core("b")
    core.receive("a", Append(1, 1, 1, 0, 1, (entry(2, 1), entry(3, 1))), 0.1)
    first = drain(core, 0.1, sync=False)[-1]
    core.receive("c", Append(2, 1, 1, 0, 1, (entry(2, 2), entry(3, 2))), 0.1)
    drain(core, 0.1, sync=False)
    core.persisted(first.number, 0.1)
    assert core.status(0.1).persisted_index == 1


def test_entries_are_acknowledged_after_their_sync_and_heartbeats_at_once() -> None:
    core = a_core("b")
    core.receive("a", Append(1, 1, 1, 0, 1, (entry(2, 1),)), 0.1)
    core.receive("a", Append(1, 2, 1, 0, 2), 0.1)
    (ready,) = drain(core, 0.1, sync=False)
    assert [one.message for one in ready.messages] == [AppendReply(1, 2, accepted=True, index=1, hint_index=2)]
    assert [one.message for one in ready.messages_after] == [
        AppendReply(1, 1, accepted=True, index=2, hint_index=2),
    ]


def test_a_vote_leaves_after_its_sync_and_nothing_overtakes_it() -> None:
    core = a_core("b")
    core.receive("a", VoteRequest(2, 1, 1), 1.5)
    core.receive("c", VoteRequest(2, 1, 1), 1.5)
    (ready,) = drain(core, 1.5, sync=False)
    assert ready.hard_state == HardState(2, "a")
    assert not ready.messages
    assert [(one.to, one.message) for one in ready.messages_after] == [
        ("a", VoteReply(2, granted=True)),
        ("c", VoteReply(2, granted=False)),
    ]


def test_a_candidate_needs_its_own_vote_on_disk() -> None:
    core = a_core("a", voters=("a",))
    core.tick(2.5)
    (ready,) = drain(core, 2.5, sync=False)
    assert core.status(2.5).role is Role.CANDIDATE
    core.persisted(ready.number, 2.5)
    assert core.status(2.5).role is Role.LEADER


def test_a_voter_refuses_while_it_hears_a_leader() -> None:
    core = a_core("b")
    core.receive("a", Append(1, 1, 1, 0, 1), 5.0)
    drain(core, 5.0)
    core.receive("c", VoteRequest(7, 9, 5), 5.99)
    assert said(drain(core, 5.99), VoteReply) == [VoteReply(1, granted=False)]
    core.receive("c", VoteRequest(7, 9, 5, transfer=True), 5.99)
    assert said(drain(core, 5.99), VoteReply) == [VoteReply(7, granted=True)]


def test_a_voter_that_just_started_may_have_heard_a_leader() -> None:
    core = a_core("b")
    core.receive("c", VoteRequest(2, 9, 1), 0.99)
    assert said(drain(core, 0.99), VoteReply) == [VoteReply(1, granted=False)]
    core.receive("c", VoteRequest(2, 9, 1), 1.01)
    assert said(drain(core, 1.01), VoteReply) == [VoteReply(2, granted=True)]


def test_a_shorter_or_older_log_gets_no_vote() -> None:
    core = a_core("b", entries=3)
    core.receive("a", VoteRequest(2, 2, 1), 1.5)
    core.receive("c", VoteRequest(2, 3, 1), 1.5)
    assert [reply.granted for reply in said(drain(core, 1.5), VoteReply)] == [False, True]


def test_votes_that_come_too_late_elect_nobody() -> None:
    core = a_core("a")
    core.tick(2.5)
    core.receive("b", VoteReply(2, granted=True, pre=True), 2.5)
    drain(core, 2.5)
    core.receive("b", VoteReply(2, granted=True), 3.25)
    assert core.status(3.25).role is Role.CANDIDATE  # b's promise to help nobody else may be over


def test_a_slow_disk_of_the_candidate_takes_nothing_off_the_voters_time() -> None:
    """Who asks for votes only when its own is on disk can hold no promise that began before."""
    core = a_core("a")
    core.tick(2.5)
    core.receive("b", VoteReply(2, granted=True, pre=True), 2.5)
    readies = drain(core, 2.5, sync=False)
    core.persisted(readies[-1].number, 3.4)
    core.receive("b", VoteReply(2, granted=True), 4.05)
    assert core.status(4.05).role is Role.LEADER
    assert core.leads(4.05)
    assert not core.leads(4.15)


def test_a_heartbeat_commits_only_what_it_compared() -> None:
    core = a_core("b", entries=5)
    core.receive("a", Append(2, 2, 1, 5, 1), 0.1)
    assert core.status(0.1).commit_index == 2


def test_a_snapshot_older_than_the_commit_is_not_installed() -> None:
    core = a_core("b", entries=5)
    core.receive("a", Append(1, 5, 1, 5, 1), 0.1)
    drain(core, 0.1)
    core.receive("a", SnapshotChunk(1, 1, SnapshotMeta(3, 1, Membership(("a", "b", "c"))), 1, 0, b"x"), 0.1)
    readies = drain(core, 0.1)
    assert not any(ready.pieces for ready in readies)
    assert said(readies, AppendReply) == [AppendReply(1, 1, accepted=True, index=3)]


def test_a_conflict_with_something_committed_stops_the_node() -> None:
    core = a_core("b", entries=5)
    core.receive("a", Append(1, 5, 1, 5, 1), 0.1)
    with pytest.raises(SwarmctlError) as caught:
        core.receive("c", Append(2, 3, 1, 0, 1, (entry(4, 2),)), 0.1)
    assert caught.value.code is ErrorCode.RAFT_INCONSISTENT


def test_two_leaders_of_one_term_stop_the_node() -> None:
    core = a_leader()
    with pytest.raises(SwarmctlError, match="contradict"):
        core.receive("c", Append(2, 1, 1, 0, 1), 2.5)


def test_a_clock_that_jumped_ends_leading_before_anything_else() -> None:
    core = a_leader()
    answer = core.propose([b"x"], 4.0)  # the process was stopped for 1.5 s
    assert isinstance(answer, Refused)
    assert core.status(4.0).role is Role.FOLLOWER


def test_entries_of_a_term_whose_hard_state_was_lost_keep_the_term() -> None:
    disk = (HardState(1, "c"), None, [entry(1, 1), entry(2, 4)])
    core = Core("a", ConsensusSettings(), disk, now_s=0.0, jitter_seed=1)
    assert (core.status(0.0).term, core.status(0.0).voted_for) == (4, "")
    assert drain(core)[0].hard_state == HardState(4, "")


@pytest.mark.parametrize(
    ("story", "entries"),
    [
        ("a gap", [entry(4, 2), entry(6, 2)]),
        ("a gap after the snapshot", [entry(5, 2)]),
        ("a falling term", [entry(4, 3), entry(5, 2)]),
        ("another entry where the snapshot ends", [entry(3, 1), entry(4, 2)]),
    ],
)
def test_a_damaged_log_is_refused(story: str, entries: list[Entry]) -> None:
    with pytest.raises(SwarmctlError) as caught:
        Log(SnapshotMeta(3, 2, Membership(("a",))), entries)
    assert caught.value.code is ErrorCode.RAFT_INCONSISTENT
