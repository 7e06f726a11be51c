"""What a group does together: elections, replication, membership, hand-over, snapshots, reads."""

from __future__ import annotations

import msgspec
import pytest

from reconciler.consensus.core import Core
from reconciler.consensus.membership import force_new_group
from reconciler.consensus.outputs import MemberChange, MemberVerb, Proposed, Reason, Refused, Role
from reconciler.consensus.settings import ConsensusSettings
from reconciler.consensus.values import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    HardState,
    Membership,
    ReadRequest,
    SnapshotChunk,
    SnapshotMeta,
    TimeoutNow,
    VoteRequest,
    decode_message,
    encode_message,
    membership_of,
)
from reconciler.model.errors import SwarmctlError
from tests.unit.consensus.group import Group, a_core, drain, said


def change(group: Group, verb: MemberVerb, node: str) -> Proposed | Refused:
    (leader,) = group.leaders()
    answer = group.cores[leader].change_members(MemberChange(verb, node), group.now)
    group.exchange()
    return answer


def test_a_group_elects_one_leader_and_applies_what_is_proposed() -> None:
    group = Group("a", "b", "c")
    group.elect()
    group.write(b"1", b"2")
    group.write(b"3")
    assert all(group.datas(name) == [b"1", b"2", b"3"] for name in "abc")


def test_entries_proposed_together_share_one_message_and_one_sync() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    group.sent.clear()
    core = group.cores[leader]
    core.propose([b"1", b"2"], group.now)
    core.propose([b"3"], group.now)
    (ready,) = drain(core, group.now, sync=False)
    assert len(ready.entries) == 3
    assert [len(one.message.entries) for one in ready.messages] == [3, 3]


def test_a_node_that_was_cut_off_forces_no_election_when_it_comes_back() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    term = group.cores[leader].status(group.now).term
    away = group.followers()[0]
    group.cut = {away}
    group.run(10)
    group.cut = set()
    group.write(b"x")
    group.run(3)
    assert group.leaders() == [leader]
    assert {core.status(group.now).term for core in group.cores.values()} == {term}
    assert group.datas(away) == [b"x"]


def test_a_leader_without_a_majority_steps_down_before_another_can_lead() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    group.cut = {leader}
    group.run(0.9)  # heartbeat and fallback together are shorter than the election minimum
    assert group.leaders() == []
    group.run(3)
    (other,) = group.leaders()
    assert other != leader


def test_a_leader_whose_disk_hangs_makes_room() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    group.stuck_disks = {leader}
    group.cores[leader].propose([b"x"], group.now)
    group.run(1.9)
    assert group.leaders() == [leader]
    group.run(3)
    (other,) = group.leaders()
    assert other != leader
    assert group.datas(other) == [b"x"]


def test_a_long_conflicting_tail_is_skipped_term_by_term() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    group.cut = {leader}
    group.cores[leader].propose([b"lost"] * 500, group.now)
    group.run(4)
    group.write(*[b"kept"] * 300)
    group.sent.clear()
    group.cut = set()
    group.run(0.5)
    refusals = [message for _, _, message in group.sent if isinstance(message, AppendReply) and not message.accepted]
    assert len(refusals) <= 3
    assert group.datas(leader) == [b"kept"] * 300


def test_a_silent_peer_gets_no_more_than_the_window() -> None:
    group = Group("a", "b", "c", inflight_messages_max=3, message_bytes_max=500)
    leader = group.elect()
    silent = group.followers()[0]
    group.lose = [AppendReply]
    group.sent.clear()
    for _ in range(50):
        group.cores[leader].propose([bytes(400)], group.now)
        group.exchange()
    full = [
        message for _, to, message in group.sent if to == silent and isinstance(message, Append) and message.entries
    ]
    assert len(full) == 3
    group.lose = []
    group.run(1)
    assert len(group.datas(silent)) == 50


@pytest.mark.parametrize(
    ("datas", "reason"),
    [([bytes(2000)], Reason.TOO_LARGE), ([bytes(900)] * 12, Reason.OVERLOADED)],
)
def test_a_proposal_beyond_a_limit_is_refused_and_leaves_no_trace(datas: list[bytes], reason: Reason) -> None:
    group = Group("a", "b", "c", entry_bytes_max=1000, uncommitted_bytes_max=10_000)
    leader = group.elect()
    group.stuck_disks = set("abc")
    assert isinstance(group.cores[leader].propose([b"first"], group.now), Proposed)
    last = group.cores[leader].status(group.now).last_index
    answer = group.cores[leader].propose(datas, group.now)
    assert isinstance(answer, Refused)
    assert answer.reason is reason
    assert group.cores[leader].status(group.now).last_index == last


def test_a_follower_refuses_proposals_and_says_who_leads() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    assert group.cores[group.followers()[0]].propose([b"x"], group.now) == Refused(Reason.NOT_LEADER, leader)


def test_a_new_node_learns_first_and_counts_when_it_has_caught_up() -> None:
    group = Group("a", "b", "c", catch_up_entries=0)
    leader = group.elect()
    group.write(b"x")
    assert isinstance(change(group, MemberVerb.ADD, "d"), Proposed)
    answer = change(group, MemberVerb.PROMOTE, "d")
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.NOT_CAUGHT_UP
    group.cut = set(group.followers())  # the learner alone makes no majority
    group.join("d")
    group.cores[leader].propose([b"y"], group.now)
    group.exchange()
    assert group.datas(leader) == [b"x"]
    group.cut = set()
    group.run(1)
    assert isinstance(change(group, MemberVerb.PROMOTE, "d"), Proposed)
    assert group.cores["d"].status(group.now).members == Membership(("a", "b", "c", "d"))
    assert group.datas("d") == [b"x", b"y"]


def test_a_learner_that_hears_no_leader_forgets_who_led() -> None:
    """Else it would ask for ever who is gone, and look for nobody else."""
    group = Group("a", "b", "c")
    leader = group.elect()
    group.join("d")
    assert isinstance(change(group, MemberVerb.ADD, "d"), Proposed)
    group.run(1)
    assert group.cores["d"].status(group.now).leader == leader
    group.cut = {"d"}
    group.run(3)
    assert group.cores["d"].status(group.now).leader == ""
    group.cut = set()
    group.run(1)
    assert group.cores["d"].status(group.now).leader == leader


def test_changes_come_one_at_a_time() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    group.stuck_disks = set("abc")
    assert isinstance(change(group, MemberVerb.ADD, "d"), Proposed)
    assert change(group, MemberVerb.ADD, "e") == Refused(Reason.CHANGE_PENDING, leader)


def test_a_leader_is_removed_only_after_it_handed_over() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    assert change(group, MemberVerb.REMOVE, leader) == Refused(Reason.TRANSFER_FIRST, leader)
    heir = group.followers()[0]
    assert group.cores[leader].transfer(heir, group.now) is None
    group.exchange()
    assert group.leaders() == [heir]
    assert isinstance(change(group, MemberVerb.REMOVE, leader), Proposed)
    assert group.roles[leader][-1] is Role.REMOVED


def test_a_node_that_missed_its_removal_is_told_when_it_asks_for_votes() -> None:
    group = Group("a", "b", "c")
    group.elect()
    gone = group.followers()[0]
    group.cut = {gone}
    assert isinstance(change(group, MemberVerb.REMOVE, gone), Proposed)
    group.run(1)
    group.cut = set()
    group.run(3)
    assert group.roles[gone][-1] is Role.REMOVED


def test_the_last_voter_stays() -> None:
    group = Group("a")
    group.elect()
    assert change(group, MemberVerb.REMOVE, "a") == Refused(Reason.LAST_VOTER, "a")


def test_handing_over_is_at_once_and_the_old_leader_has_stepped_down_before() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    heir = group.followers()[1]
    group.write(b"x")
    assert group.cores[leader].transfer(heir, group.now) is None
    (ready,) = drain(group.cores[leader], group.now)
    assert ready.role is not None
    assert ready.role.role is Role.FOLLOWER
    (order,) = said([ready], TimeoutNow)
    group.cores[heir].receive(leader, order, group.now)
    group.exchange()
    assert group.leaders() == [heir]


def test_no_proposals_while_handing_over_and_it_is_given_up_in_time() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    heir = group.followers()[0]
    group.stuck_disks = {heir}
    group.write(b"x")
    assert group.cores[leader].transfer(heir, group.now) is None
    assert group.cores[leader].propose([b"y"], group.now) == Refused(Reason.TRANSFERRING, heir)
    group.run(1.1)
    assert isinstance(group.cores[leader].propose([b"y"], group.now), Proposed)


def test_a_survivor_goes_on_alone_with_all_it_has() -> None:
    group = Group("a", "b", "c")
    group.elect()
    group.write(b"x")
    status = group.cores["b"].status(group.now)
    hard_state, entry = force_new_group("b", HardState(status.term, status.voted_for), status.last_index)
    kept = [*group.applied["b"], entry]
    core = Core("b", ConsensusSettings(), (hard_state, None, kept), now_s=0.0, jitter_seed=1)
    core.tick(2.5)
    committed = [entry for ready in drain(core, 2.5) for entry in ready.committed]
    assert core.status(2.5).role is Role.LEADER
    assert b"x" in [entry.data for entry in committed]
    assert membership_of(entry) == Membership(("b",))


def test_messages_survive_the_wire_and_nothing_else_is_taken_for_one() -> None:
    message = Append(3, 7, 2, 6, 9, (Entry(8, 3, EntryKind.NORMAL, b"\xff\x00"),))
    chunk = SnapshotChunk(3, 1, SnapshotMeta(5, 2, Membership(("a",), ("b",))), 10, 0, b"x")
    assert [decode_message(encode_message(one)) for one in (message, chunk)] == [message, chunk]
    for junk in (b"", b"\x00", b"\x91\x63", encode_message(VoteRequest(1, 1, 1))[:-3]):
        with pytest.raises(msgspec.MsgspecError):
            decode_message(junk)


def test_times_that_would_let_two_lead_are_refused() -> None:
    with pytest.raises(SwarmctlError, match="don't fit together"):
        ConsensusSettings(fallback_s=1.2)


def test_status_shows_what_the_leader_knows_of_each_peer() -> None:
    group = Group("a", "b", "c")
    leader = group.elect()
    gone = group.followers()[0]
    group.cut = {gone}
    group.write(b"x")
    group.run(0.5)
    status = group.cores[leader].status(group.now)
    silent = {peer.node: peer.silent_s > 0.4 for peer in status.peers}
    match = {peer.node: peer.match_index == status.last_index for peer in status.peers}
    assert silent == {node: node == gone for node in silent}
    assert match == {node: node != gone for node in match}
    assert (status.leader, status.commit_index, status.waiting_reads) == (leader, status.last_index, 0)


def test_a_removed_node_answers_its_readers_and_does_nothing_more() -> None:
    group = Group("a", "b", "c")
    group.elect()
    gone = group.followers()[0]
    group.lose = [ReadRequest]
    group.cores[gone].read(1, group.now)
    assert isinstance(change(group, MemberVerb.REMOVE, gone), Proposed)
    group.run(3)
    assert group.reads == [(gone, 1, 0)]
    assert group.cores[gone].next_due_s == float("inf")
    assert group.cores[gone].propose([b"x"], group.now) == Refused(Reason.NOT_LEADER)


def test_a_removed_voter_with_the_newest_log_leads_until_its_removal_is_committed() -> None:
    group = Group("a", "b")
    leader = group.elect()
    (other,) = group.followers()
    group.stuck_disks = {leader}
    assert isinstance(change(group, MemberVerb.REMOVE, other), Proposed)
    kept = group.cores[other].status(group.now)
    assert kept.members == Membership((leader,))
    group.stuck_disks = set()
    group.cores[leader] = a_core(
        leader, voters=("a", "b"), term=kept.term
    )  # it crashed and lost what it had not synced
    group.cores[leader].tick(group.now)
    group.exchange()
    group.run(8)
    assert group.leaders() == [leader]
    assert group.cores[leader].status(group.now).members == Membership((leader,))
