"""Settings and nodes: only what the file says is compared, and what isn't listed is told, never touched."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.model.plan import TaskEffect
from reconciler.model.tasks import ObservedTask
from reconciler.planning.context import NO_CLUSTER
from tests.unit.planning.builders import (
    a_node,
    actual,
    desired,
    observed,
    paths,
    planned,
    running_tasks,
    service_spec,
    wanted_node,
)


def test_only_the_settings_that_are_given_are_compared():
    settings = {"Orchestration": {"TaskHistoryRetentionLimit": 5}}
    assert planned(desired(settings=settings), actual()).is_empty
    settings = {"Orchestration": {"TaskHistoryRetentionLimit": 3}}
    made = planned(desired(settings=settings), actual())
    assert paths(made) == {"swarm.default": ["Orchestration.TaskHistoryRetentionLimit"]}
    assert made.actions[0].version == 3
    assert made.actions[0].spec["Name"] == "default"


def test_autolock_tells_to_keep_the_unlock_key():
    made = planned(desired(settings={"EncryptionConfig": {"AutoLockManagers": True}}), actual())
    assert "docker swarm unlock-key" in made.actions[0].effect_text
    made = planned(desired(settings={"EncryptionConfig": {"AutoLockManagers": False}}), actual())
    assert "without an unlock key" in made.actions[0].effect_text


def test_a_nodes_fields_that_are_not_given_are_left_alone():
    node = a_node("n1", Labels={"by": "hand"})
    assert planned(desired(nodes=(wanted_node("n1", role="worker"),)), actual(node)).is_empty


def test_labels_that_are_given_are_the_whole_set():
    node = a_node("n1", Labels={"zone": "a", "by": "hand"})
    made = planned(desired(nodes=(wanted_node("n1", labels={"zone": "b"}),)), actual(node))
    assert paths(made) == {"node.n1": ['Labels["by"]', 'Labels["zone"]']}
    assert made.actions[0].effect is TaskEffect.NONE


def test_a_label_that_a_service_is_placed_by_moves_tasks():
    node = a_node("n1", Labels={"zone": "a"})
    spec = service_spec()
    spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.zone==a"]}
    state, live = desired(nodes=(wanted_node("n1", labels={"zone": "b"}),)), observed(Kind.SERVICE, spec)
    (action,) = (
        one for one in planned(state, actual(node, live, tasks=running_tasks(live))).actions if one.name == "n1"
    )
    assert action.effect is TaskEffect.MOVE


def test_a_listed_node_that_is_missing_is_a_note_and_no_change():
    made = planned(desired(nodes=(wanted_node("n9"), wanted_node("n1"))), actual(a_node("n1")))
    assert made.is_empty
    (note,) = made.notes
    assert (note.code, "n9" in note.what) == (ErrorCode.OBJECT_NOT_FOUND, True)


def test_a_listed_node_that_is_down_is_a_note_and_no_change():
    down = a_node("n1")
    down.raw["Status"] = {"State": "down", "Message": "heartbeat failure"}
    made = planned(desired(nodes=(wanted_node("n1"),)), actual(down))
    assert made.is_empty
    (note,) = made.notes
    assert note.code is ErrorCode.NODE_DOWN
    assert "heartbeat failure" in note.why


@pytest.mark.parametrize(("role", "locks"), [("manager", True), ("manager", False), ("worker", True)])
def test_a_manager_that_may_wait_for_the_unlock_key_is_told_how_to_get_it(role: str, locks: bool):
    down = a_node("n1", role=role)
    down.raw["Status"] = {"State": "down", "Message": "heartbeat failure"}
    seen = actual(down)
    spec = {**seen.swarm.spec, "EncryptionConfig": {"AutoLockManagers": locks}}
    state = replace(seen, swarm=replace(seen.swarm, spec=spec))
    (note,) = planned(desired(nodes=(wanted_node("n1"),)), state).notes
    assert ("`docker swarm unlock`" in note.hint) is (role == "manager" and locks)


def test_the_removal_of_a_node_that_is_down_tells_what_may_run_on_there():
    down = a_node("n1")
    down.raw["Status"] = {"State": "down"}
    entry = replace(wanted_node("n1"), absent=True)
    tasks = tuple(
        ObservedTask.from_api({"ID": state, "NodeID": down.id, "Status": {"State": state}}, up_to_date=True)
        for state in ("running", "starting", "orphaned", "complete")
    )
    (removal,) = planned(desired(nodes=(entry,)), actual(down, a_node("n2"), tasks=tasks)).actions
    assert "`docker swarm leave` there ends 2 tasks last seen on it" in removal.effect_text
    (removal,) = planned(desired(nodes=(entry,)), actual(down, a_node("n2"))).actions
    assert "`docker swarm leave` there lets its engine join again" in removal.effect_text


def test_an_unlisted_node_is_told_and_left_alone():
    other = a_node("n2", Availability="drain")
    made = planned(desired(nodes=(wanted_node("n1"),)), actual(a_node("n1"), other))
    assert made.is_empty
    (note,) = made.notes
    assert note.code is ErrorCode.NODE_NOT_LISTED
    assert "n2" in note.what


def test_a_repository_that_lists_no_nodes_hears_nothing_of_them():
    made = planned(desired(nodes=()), actual(a_node("n1", Availability="drain")))
    assert made.is_empty
    assert made.notes == ()


def test_of_nodes_that_are_only_imagined_nothing_is_noted():
    state = replace(actual(a_node("n1")), endpoint=NO_CLUSTER)
    assert planned(desired(nodes=(wanted_node("n2"),)), state).notes == ()


def test_two_nodes_of_one_hostname_block():
    one, two = a_node("n1"), replace(a_node("n1"), id="other")
    made = planned(desired(nodes=(wanted_node("n1", availability="drain"),)), actual(one, two))
    assert [blocked.code for blocked in made.blocked] == [ErrorCode.INVALID_VALUE]


def test_a_node_that_joined_anew_is_meant_and_not_what_it_left_behind():
    stale, live = a_node("n1"), replace(a_node("n1"), id="anew")
    stale.raw["Status"] = {"State": "down"}
    made = planned(desired(nodes=(wanted_node("n1", labels={"zone": "a"}),)), actual(stale, live))
    assert [action.object_id for action in made.actions] == ["anew"]


def test_what_a_node_left_behind_when_it_joined_anew_is_told():
    stale, live = a_node("n1", role="manager"), replace(a_node("n1", role="manager"), id="anew")
    stale.raw["Status"] = {"State": "down"}
    [note] = planned(desired(nodes=(wanted_node("n1"),)), actual(stale, live)).notes
    assert note.code is ErrorCode.NODE_NOT_LISTED
    assert note.what == "1 node is in the swarm and not in swarm.yaml: n1 (id: id-n1, down)."
    gone = replace(wanted_node(stale.id, absent=True), by_id=True)
    made = planned(desired(nodes=(wanted_node("n1"), gone)), actual(stale, live, a_node("n2", role="manager")))
    assert [note.what for note in made.notes] == ["1 node is in the swarm and not in swarm.yaml: n2 (ready)."]
    assert {action.object_id for action in made.actions} == {stale.id}


def test_two_entries_for_one_node_block():
    node = a_node("n1")
    asked = (wanted_node("n1", labels={"zone": "a"}), replace(wanted_node(node.id), by_id=True))
    made = planned(desired(nodes=asked), actual(node))
    assert [blocked.code for blocked in made.blocked] == [ErrorCode.INVALID_VALUE]
    assert [action.id for action in made.actions] == ["node.n1"]


def test_two_nodes_of_one_hostname_are_told_apart():
    left, joined = a_node("n2"), replace(a_node("n2"), id="id-anew")
    left.raw["Status"] = {"State": "down"}
    asked = (
        replace(wanted_node(left.id), by_id=True, absent=True),
        replace(wanted_node(joined.id, labels={"zone": "a"}), by_id=True),
    )
    made = planned(desired(nodes=asked), actual(a_node("n1", role="manager"), left, joined))
    assert {one.type.value: one.name for one in made.actions} == {"update": "n2 (id-anew)", "delete": "n2 (id-n2)"}
    by_hostname = planned(desired(nodes=(asked[0], wanted_node("n2", labels={"zone": "a"}))), actual(left, joined))
    assert [one.name for one in by_hostname.actions] == ["n2", "n2 (id-n2)"]
