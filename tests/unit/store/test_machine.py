"""The replicated state machine: transactions, repetitions, epochs, and entries that are wrong."""

from __future__ import annotations

import random
from typing import Any

import pytest

from reconciler.model.changes import ChangeAction, TableKind
from reconciler.model.commands import (
    AddNode,
    Applied,
    AssignTask,
    Claim,
    Command,
    CreateService,
    CreateTask,
    DeleteRecord,
    PutRecord,
    Rejected,
    RemoveConfig,
    SetNodeState,
    UpdateConfig,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.nodes import NodeState
from reconciler.model.tasks import TaskState
from reconciler.model.transactions import Expectation, Transaction
from reconciler.store import apply as door
from reconciler.store import machine
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.snapshot import checksum
from tests.unit.store.replica import NOW, Replica, config, put

# --- versions


def test_a_version_is_the_log_index_of_the_entry(replica: Replica) -> None:
    machine.pass_over(replica.state, 41)
    assert replica.do(put("a")).index == 42
    assert replica.state.tables.records["history/a"].version == 42


def test_a_stale_version_is_refused(replica: Replica) -> None:
    first = replica.do(config("c1")).index
    labels = {"Name": "c1", "Labels": {"a": "b"}}
    replica.do(UpdateConfig(at=NOW, id="c1", version=first, spec=labels))
    refusal = replica.refused(UpdateConfig(at=NOW, id="c1", version=first, spec=labels))
    assert refusal.code is ErrorCode.STALE_VERSION


@pytest.mark.parametrize(
    ("expectation", "holds"),
    [
        (Expectation(TableKind.RECORD, "history/a", 1), True),
        (Expectation(TableKind.RECORD, "history/a", 2), False),
        (Expectation(TableKind.RECORD, "history/a", 0), False),
        (Expectation(TableKind.RECORD, "history/b", 0), True),
        (Expectation(TableKind.TASK, "t", 0), True),
        (Expectation(TableKind.CLUSTER, "", 0), True),
        (Expectation(TableKind.LEADERSHIP, "", 0), True),
        (Expectation(TableKind.LEADERSHIP, "", 7), False),
    ],
)
def test_a_transaction_may_expect_versions_of_any_object(
    replica: Replica, expectation: Expectation, holds: bool
) -> None:
    replica.do(put("a"))
    if holds:
        replica.do(put("c"), expectations=(expectation,))
    else:
        refusal = replica.refused(put("c"), expectations=(expectation,))
        assert (refusal.code, refusal.position) == (ErrorCode.STALE_VERSION, None)


def test_what_was_created_can_not_be_created_over(replica: Replica) -> None:
    replica.do(config("c1"))
    assert replica.refused(config("c1", "another")).code is ErrorCode.NAME_CONFLICT


# --- transactions


def test_a_transaction_refused_at_its_last_command_leaves_nothing_behind(replica: Replica) -> None:
    replica.do(config("c0"), put("a"))
    remove, worse = RemoveConfig(at=NOW, id="c0"), RemoveConfig(at=NOW, id="nobody")
    refusal = replica.refused(config("c1"), put("a", b"changed"), put("b"), remove, worse)
    assert (refusal.code, refusal.position) == (ErrorCode.OBJECT_NOT_FOUND, 4)


def test_a_command_that_fails_half_way_leaves_nothing_behind(replica: Replica, monkeypatch: Any) -> None:
    def half(draft: Any, command: Any) -> Applied:
        draft.records["history/half"] = None
        raise StopIteration

    monkeypatch.setattr(door, "_HANDLERS", dict(door._HANDLERS) | {SetNodeState: half})
    refusal = replica.refused(SetNodeState(at=NOW, id="n", state=NodeState.DOWN, message=""))
    assert refusal.message.endswith("(StopIteration)")


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_a_machine_at_its_end_stops_instead_of_refusing_what_others_apply(
    replica: Replica, monkeypatch: Any, error: type[Exception]
) -> None:
    def fail(draft: Any, command: Any) -> Applied:
        raise error

    monkeypatch.setattr(door, "_HANDLERS", dict(door._HANDLERS) | {SetNodeState: fail})
    with pytest.raises(error):
        replica.apply(replica.transaction(SetNodeState(at=NOW, id="n", state=NodeState.DOWN, message="")))


def test_a_later_command_of_a_transaction_sees_what_the_earlier_did(replica: Replica) -> None:
    spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "app:1"}}}
    node = AddNode(at=NOW, id="n1", spec={"Role": "worker", "Availability": "active"}, description={}, address="")
    task = CreateTask(
        at=NOW, id="t1", service_id="s1", spec_version=1, slot=1, node_id="", desired_state=TaskState.RUNNING
    )
    assign = AssignTask(at=NOW, task_id="t1", node_id="n1", message="placed")
    outcome = replica.do(node, CreateService(at=NOW, id="s1", spec=spec), task, assign)
    assert [event.action for event in outcome.changes] == ["create", "create"]
    tables = replica.state.tables
    assert (
        [task.id for task in tables.tasks_on_node("n1")]
        == [task.id for task in tables.tasks_of_service("s1")]
        == ["t1"]
    )
    assert tables.tasks_on_node("") == []


def test_a_name_is_free_again_within_a_transaction(replica: Replica) -> None:
    replica.do(config("c1", "web"))
    replica.do(RemoveConfig(at=NOW, id="c1"), config("c2", "web"))
    assert replica.refused(config("c3", "web")).code is ErrorCode.NAME_CONFLICT
    assert replica.refused(RemoveConfig(at=NOW, id="c2"), config("c3", "w"), config("c4", "w")).position == 2


def test_callers_that_share_an_entry_have_outcomes_of_their_own(replica: Replica) -> None:
    good, bad = replica.transaction(put("a")), replica.transaction(RemoveConfig(at=NOW, id="nobody"))
    result = replica.apply(good, bad, b"garbage", replica.transaction(put("b"), put("c")), encode_entry([]))
    kinds = [isinstance(outcome, Applied) for outcome in result.outcomes]
    assert kinds == [True, False, False, True, False]
    assert list(replica.state.tables.records) == ["history/a", "history/b", "history/c"]


def test_changes_tell_each_object_once_and_nothing_of_its_content(replica: Replica) -> None:
    replica.do(config("c1"), put("a"))
    steps = (put("a", b"1"), put("a", b"2"), put("b"), RemoveConfig(at=NOW, id="c1"), Claim(at=NOW, leader="m1"))
    result = replica.apply(replica.transaction(*steps))
    assert [(change.index, change.kind, change.id, change.action) for change in result.changes] == [
        (2, TableKind.LEADERSHIP, "", ChangeAction.UPDATE),
        (2, TableKind.RECORD, "history/a", ChangeAction.UPDATE),
        (2, TableKind.RECORD, "history/b", ChangeAction.CREATE),
        (2, TableKind.CONFIG, "c1", ChangeAction.REMOVE),
    ]
    assert [(event.kind, event.action) for event in result.events] == [("config", "remove")]


# --- repetitions


def test_a_repeated_transaction_gives_the_first_outcome_and_changes_nothing(replica: Replica) -> None:
    once = replica.transaction(config("c1"))
    first = replica.apply(once)
    replica.do(RemoveConfig(at=NOW, id="c1"))
    before = replica.content()
    again = replica.apply(once)
    assert (again.outcomes, again.changes, again.events) == (first.outcomes, (), ())
    assert replica.content() == before


def test_a_refusal_is_repeated_too_even_if_it_would_succeed_now(replica: Replica) -> None:
    early = replica.transaction(RemoveConfig(at=NOW, id="c1"))
    first = replica.apply(early).outcomes
    replica.do(config("c1"))
    assert replica.apply(early).outcomes == first
    assert "c1" in replica.state.tables.configs


def test_two_of_one_caller_in_one_entry_count_once(replica: Replica) -> None:
    twice = replica.transaction(put("a", version=0))
    result = replica.apply(twice, twice)
    assert result.outcomes[0] == result.outcomes[1]
    assert len(result.changes) == 1


def test_sequences_may_come_in_any_order(replica: Replica) -> None:
    first, second = replica.transaction(put("a")), replica.transaction(put("b"))
    assert isinstance(replica.apply(second).outcomes[0], Applied)
    assert isinstance(replica.apply(first).outcomes[0], Applied)


def test_an_entry_that_is_in_the_state_already_is_left_out(replica: Replica) -> None:
    replica.do(put("a"))
    before = checksum(replica.state)
    other = encode_entry([replica.transaction(put("b"))])
    for index in (1, 0, -5):
        (outcome,) = machine.apply(replica.state, index, other).outcomes
        assert isinstance(outcome, Rejected)
    assert checksum(replica.state) == before


# --- epochs


def test_the_index_of_a_claim_is_the_epoch_and_ends_the_one_before(replica: Replica) -> None:
    first = replica.do(Claim(at=NOW, leader="m1")).index
    replica.do(put("a"), epoch=first)
    second = replica.do(Claim(at=NOW, leader="m2")).index
    refusal = replica.refused(put("b"), epoch=first)
    assert (refusal.code, second > first) == (ErrorCode.FENCED, True)
    assert "m2" in refusal.message
    replica.do(put("b"), epoch=second)
    replica.do(put("c"))  # who needs not lead carries no epoch


def test_an_epoch_that_is_not_there_yet_is_refused_too(replica: Replica) -> None:
    assert replica.refused(put("b"), epoch=1).code is ErrorCode.FENCED
    assert replica.refused(Claim(at=NOW, leader="m1"), epoch=99).code is ErrorCode.FENCED


# --- records


def test_records_are_written_by_version_and_listed_by_prefix(replica: Replica) -> None:
    for key in ("b/2", "a", "b/1", "b0", "b/10"):
        replica.do(put(key, version=0))
    assert [record.key for record in replica.state.tables.records_under("history", "b/")] == ["b/1", "b/10", "b/2"]
    assert len(replica.state.tables.records_under("history")) == 5
    assert replica.state.tables.records_under("histor") == []
    assert replica.refused(put("a", version=0)).code is ErrorCode.STALE_VERSION
    assert replica.refused(put("a", version=9)).code is ErrorCode.STALE_VERSION
    replica.do(put("a", b"y", version=2))
    delete = DeleteRecord(at=NOW, namespace="history", key="a", version=2)
    assert replica.refused(delete).code is ErrorCode.STALE_VERSION
    replica.do(DeleteRecord(at=NOW, namespace="history", key="a"))
    assert replica.refused(delete).code is ErrorCode.OBJECT_NOT_FOUND
    assert [record.key for record in replica.state.tables.records_under("history", "a")] == []


@pytest.mark.parametrize(("namespace", "key"), [("", "k"), ("a/b", "k"), ("A", "k"), ("a", ""), ("a", "k" * 513)])
def test_a_record_has_one_way_to_be_named(replica: Replica, namespace: str, key: str) -> None:
    replica.refused(PutRecord(at=NOW, namespace=namespace, key=key, value=b""))
    replica.refused(DeleteRecord(at=NOW, namespace=namespace, key=key))


def test_a_refused_transaction_leaves_nothing_to_the_next_of_its_entry(replica: Replica) -> None:
    missing = DeleteRecord(at=NOW, namespace="history", key="missing")
    result = replica.apply(
        replica.transaction(put("before")),
        replica.transaction(Claim(at=NOW, leader="m1"), missing),
        replica.transaction(put("half"), missing),
        replica.transaction(put("after"), epoch=0),
    )
    assert [type(outcome) for outcome in result.outcomes] == [Applied, Rejected, Rejected, Applied]
    assert list(replica.state.tables.records) == ["history/before", "history/after"]
    assert replica.state.tables.leadership.epoch == 0
    assert [change.id for change in result.changes] == ["history/before", "history/after"]


def test_a_record_that_is_written_directly_comes_out_as_one_that_is_written_with_others() -> None:
    dice = random.Random(5)
    alone, together = machine.State(), machine.State()
    for index in range(1, 600):
        key = f"key-{dice.randrange(6)}"
        version = dice.choice((None, None, 0, index - dice.randrange(9)))
        command: Command
        if dice.random() < 0.6:
            command = PutRecord(at=NOW, namespace=dice.choice(("a", "b", "No")), key=key, value=b"x", version=version)
        else:
            command = DeleteRecord(at=NOW, namespace=dice.choice(("a", "b")), key=key, version=version)
        nothing = PutRecord(at=NOW, namespace="z", key="always", value=b"")
        one = machine.apply(alone, index, encode_entry([encode_transaction(Transaction("c", index, (command,)))]))
        two = machine.apply(
            together, index, encode_entry([encode_transaction(Transaction("c", index, (command, nothing)))])
        )
        assert type(one.outcomes[0]) is type(two.outcomes[0])
        assert one.changes == tuple(change for change in two.changes if not change.id.startswith("z/"))
        records = {key: record for key, record in together.tables.records.items() if record.namespace != "z"}
        assert list(alone.tables.records.items()) == list(records.items())
        assert alone.tables.indexes.record_ids == sorted(records)
    assert len(alone.tables.records) > 3


def test_what_can_not_be_read_is_refused_for_itself_alone() -> None:
    put = PutRecord(at=NOW, namespace="a", key="k", value=b"x")
    good = encode_transaction(Transaction("c", 1, (put,)))
    wrong = encode_transaction(Transaction("c", 2, (put,) * 2)).replace(b"put-record", b"cut-record", 2)
    last = encode_transaction(Transaction("c", 3, (put, put)))
    outcomes = machine.apply(machine.State(), 1, encode_entry([good, b"garbage", wrong, last, good])).outcomes
    assert [type(outcome) for outcome in outcomes] == [Applied, Rejected, Rejected, Applied, Applied]
    assert outcomes[2] == Rejected(ErrorCode.ENTRY_INVALID, outcomes[2].message, 0)
