"""What ours repairs of upstream's core, one message at a time. Each would fail on the library as it is."""

from __future__ import annotations

from typing import Any

import pysyncobj.syncobj
import pytest
from pysyncobj.monotonic import monotonic as its_clock
from pysyncobj.node import Node

from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft_pysyncobj import upstream
from reconciler.adapters.raft_pysyncobj.journal import NORMAL
from reconciler.consensus.outputs import MemberChange, MemberVerb, Proposed, Reason, Refused
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.unit.adapters.raft_pysyncobj.bench import Bench

# --- the log of a follower


def test_entries_that_are_there_already_stay_and_are_acknowledged(bench: Bench):
    assert bench.append("b", 2, (1, 1), 2, 2, 2)["next_node_idx"] == 5
    answer = bench.append("b", 2, (1, 1), 2)
    assert (answer["success"], answer["next_node_idx"]) == (True, 3)
    assert bench.terms() == [1, 2, 2, 2], "a message that comes late takes nothing away"


def test_only_what_is_known_to_differ_is_dropped(bench: Bench):
    """An acknowledged entry may be of the same term as one that differs: dropping the whole term could lose it."""
    bench.append("b", 2, (1, 1), 2, 2, 2, 2)
    answer = bench.append("c", 3, (5, 3), 3)
    assert (answer["success"], answer["reset"], answer["next_node_idx"]) == (False, True, 2)
    assert bench.terms() == [1, 2, 2, 2, 2], "the leader may have the first of them"
    answer = bench.append("c", 3, (1, 1), 2, 2, 3, 3, 3)
    assert (answer["success"], answer["next_node_idx"]) == (True, 7)
    assert bench.terms() == [1, 2, 2, 3, 3, 3]


def test_nothing_is_committed_that_was_not_compared(bench: Bench):
    bench.append("b", 2, (1, 1), 2, 2, 2)
    bench.put("c", "append_entries", term=3, commit_index=4, sent=1.0)
    bench.append("c", 3, (1, 1), commit_index=4)
    assert bench.core.committed == 1
    bench.core.pass_time()
    assert [index for index, _ in bench.applied] == [1]


def test_a_committed_entry_is_never_taken_back(bench: Bench):
    bench.append("b", 2, (1, 1), 2, 2, commit_index=3)
    with pytest.raises(SwarmctlError) as raised:
        bench.append("c", 3, (1, 1), 3)
    assert raised.value.code is ErrorCode.RAFT_INCONSISTENT
    assert bench.terms() == [1, 2, 2]


def test_a_gap_is_told_with_where_to_go_on(bench: Bench):
    answer = bench.append("b", 2, (7, 2), 2)
    assert (answer["success"], answer["reset"], answer["next_node_idx"]) == (False, True, 2)


def test_a_leader_of_the_past_learns_the_newer_term(bench: Bench):
    bench.append("b", 5, (1, 1), 5)
    assert bench.append("c", 4, (1, 1), 4)["term"] == 5
    assert bench.terms() == [1, 5]


def test_entries_that_make_no_sense_are_refused(bench: Bench):
    with pytest.raises(ValueError, match="follow"):
        bench.put(
            "b",
            "append_entries",
            term=2,
            commit_index=0,
            sent=1.0,
            prevLogIdx=1,
            prevLogTerm=1,
            entries=[(NORMAL, 3, 2)],
        )


def test_what_was_acknowledged_is_there_after_a_crash(bench: Bench):
    bench.append("b", 2, (1, 1), 2, 2, 2)
    bench.append("b", 2, (4, 2), 2)
    assert not bench.unsynced_promises
    again = bench.again()
    assert again.terms() == [1, 2, 2, 2, 2]
    assert again.core.term == 2
    again.durable.close()


# --- votes


def ask(**fields: Any) -> dict[str, Any]:
    return {"term": 2, "last_log_index": 1, "last_log_term": 1, "transfer": False, **fields}


def test_a_vote_is_on_disk_before_it_leaves(bench: Bench):
    assert [one["type"] for one in bench.put("b", "request_vote", **ask())] == ["response_vote"]
    assert not bench.unsynced_promises
    again = bench.again()
    assert again.put("c", "request_vote", **ask()) == [], "one vote in a term, also across a crash"
    again.durable.close()


def test_nobody_gets_a_vote_while_a_leader_may_rely_on_it(bench: Bench):
    bench.append("b", 2, (1, 1), 2)
    request = ask(term=3, last_log_index=2, last_log_term=2)
    assert bench.put("c", "request_vote", **request) == []
    assert bench.core.term == 2
    asked = bench.put("c", "pre_vote", term=3, last_log_index=2, last_log_term=2, round=1)
    assert not asked[0]["granted"]
    request["transfer"] = True
    assert [one["type"] for one in bench.put("c", "request_vote", **request)] == ["response_vote"]


def test_a_start_counts_as_having_heard_a_leader(bench: Bench):
    bench.core.heard_s = boot_clock()
    assert bench.put("b", "request_vote", **ask()) == []


def test_votes_count_once_and_only_of_voters(bench: Bench):
    bench.stand()
    term = bench.core.term
    assert term == 2
    for stranger in ("learner", "nobody"):
        bench.put(stranger, "response_vote", term=term)
        assert not bench.core.leads
    bench.put("b", "response_vote", term=term - 1)
    assert not bench.core.leads
    bench.put("b", "response_vote", term=term)
    assert bench.core.leads


def test_without_a_majority_in_the_prevote_the_term_stays(bench: Bench):
    bench.core._SyncObj__raftElectionDeadline = 0.0
    for _ in range(3):
        bench.core.pass_time()
    assert bench.core.term == 1
    assert {message["type"] for _, message in bench.sent} == {"pre_vote"}


# --- leading


def test_a_leader_counts_itself_and_answers_of_its_term_only(bench: Bench):
    bench.lead()
    last = bench.core.append(NORMAL + b"x")
    bench.answer("b", last + 1, term=bench.core.term - 1)
    bench.answer("learner", last + 1)
    bench.core.pass_time()
    assert bench.core.committed < last
    bench.answer("b", last + 1)
    bench.core.pass_time()
    assert bench.core.committed == last
    assert bench.applied[-1] == (last, NORMAL + b"x")


def test_an_old_reset_does_not_undo_a_newer_one(bench: Bench):
    """Upstream: each message under way answers a reset, and the leader never gets to where the logs meet."""
    bench.lead()
    for _ in range(10):
        bench.core.append(NORMAL)
    before = boot_clock()
    bench.answer("b", 3, success=False, reset=True)
    assert bench.core.next_of("b") == 3
    bench.answer("b", 9, success=False, reset=True, sent=before)
    assert bench.core.next_of("b") == 3
    bench.core.send_entries()
    following = bench.core.next_of("b")
    bench.answer("b", 5)
    assert bench.core.next_of("b") == following, "what is under way is not sent again"


def test_a_newer_term_in_an_answer_ends_leading(bench: Bench):
    bench.lead()
    bench.answer("b", 0, term=9, success=False, sent=0.0)
    assert not bench.core.leads
    assert bench.core.term == 9


def test_the_lease_counts_from_when_the_answered_message_was_sent(bench: Bench):
    bench.lead()
    assert bench.core.lease_s < boot_clock(), "nobody has answered yet"
    sent = boot_clock() - 5
    bench.answer("c", 2, sent=sent)
    assert bench.core.lease_s == pytest.approx(sent + bench.core.settings.fallback_s)
    bench.answer("learner", 2)
    assert bench.core.lease_s == pytest.approx(sent + bench.core.settings.fallback_s)


def test_times_that_upstream_compares_are_of_its_own_clock(bench: Bench):
    """It is CLOCK_MONOTONIC_RAW, which drifts: with Python's, a leader that nobody hears leads on for as long."""
    earliest = its_clock()
    bench.core.set_heard("b", 0.0)
    bench.core.step_down()
    latest = its_clock()
    assert earliest <= bench.core._SyncObj__lastResponseTime[Node("b")] <= latest
    settings = bench.core.settings
    deadline = bench.core._SyncObj__raftElectionDeadline
    assert earliest + settings.election_min_s <= deadline <= latest + settings.election_max_s


def test_members_change_one_at_a_time(bench: Bench):
    bench.lead()
    core = bench.core

    def add(node: str) -> Proposed | Refused:
        return core.change_members(MemberChange(MemberVerb.ADD, node), boot_clock())

    assert add("d") == Refused(Reason.TOO_EARLY, "a")
    bench.answer("b", core.journal.last[1] + 1)
    core.pass_time()
    assert isinstance(add("d"), Proposed)
    assert core.journal.group.learners == ("d", "learner")
    assert add("e") == Refused(Reason.CHANGE_PENDING, "a")


def test_a_change_of_members_that_is_overwritten_is_undone(bench: Bench):
    bench.lead()
    core = bench.core
    bench.answer("b", core.journal.last[1] + 1)
    core.pass_time()
    change = core.change_members(MemberChange(MemberVerb.REMOVE, "c"), boot_clock())
    assert isinstance(change, Proposed)
    assert core.journal.group.voters == ("a", "b")
    before = change.first_index - 1
    bench.append("c", core.term + 1, (before, core.journal.term_at(before)), core.term + 1)
    assert core.journal.group.voters == ("a", "b", "c")
    assert bench.terms()[-1] == core.term


def test_after_handing_over_it_leads_no_more_whatever_becomes_of_it(bench: Bench):
    bench.lead()
    core = bench.core
    bench.answer("b", core.journal.last[1] + 1)
    assert core.transfer("b", boot_clock()) is None
    assert core.propose([b"x"], 0.0) == Refused(Reason.TRANSFERRING, "a")
    bench.sent.clear()
    core.pass_time()
    assert ("b", "timeout_now") in [(node, message["type"]) for node, message in bench.sent]
    assert not core.leads


# --- what upstream must not do


def test_no_pickle_whatever_the_size(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pysyncobj.syncobj, "pickle", None)
    bench.lead()
    bench.sent.clear()
    large = NORMAL + bytes(upstream.ENTRY_BYTES_MAX)
    index = bench.core.append(large)
    carried = [
        message for node, message in bench.sent if node == "b" and any(one[1] == index for one in message["entries"])
    ]
    assert [message["entries"][-1][0] == large for message in carried] == [True]
    bench.answer("b", index + 1)
    bench.core.pass_time()
    assert bench.applied[-1][0] == index


def test_a_failing_disk_lets_nothing_out(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def full() -> None:
        raise SwarmctlError(ErrorCode.RAFT_DISK_FULL, "full")

    monkeypatch.setattr(bench.durable, "sync", full)
    with pytest.raises(SwarmctlError):
        bench.append("b", 2, (1, 1), 2)
    assert not bench.sent
