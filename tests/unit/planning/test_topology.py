"""Settings and nodes: only what the file says is compared, and quorum is never risked."""

from __future__ import annotations

from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.model.plan import TaskEffect
from tests.unit.planning.builders import a_node, actual, desired, observed, paths, planned, service_spec, wanted_node


def test_only_the_settings_that_are_given_are_compared():
    settings = {"Orchestration": {"TaskHistoryRetentionLimit": 5}}
    assert planned(desired(settings=settings), actual()).is_empty
    settings = {"Orchestration": {"TaskHistoryRetentionLimit": 3}}
    made = planned(desired(settings=settings), actual())
    assert paths(made) == {"swarm.default": ["Orchestration.TaskHistoryRetentionLimit"]}
    assert made.actions[0].version == 3
    assert made.actions[0].spec["Name"] == "default"


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
    state = desired(nodes=(wanted_node("n1", labels={"zone": "b"}),))
    (action,) = planned(state, actual(node, observed(Kind.SERVICE, spec))).actions
    assert action.effect is TaskEffect.MOVE


def test_a_listed_node_that_is_missing_is_a_note_and_no_change():
    made = planned(desired(nodes=(wanted_node("n9"),)), actual(a_node("n1")))
    assert made.is_empty
    assert "n9" in made.notes[0].what


def test_an_unlisted_node_is_left_alone():
    assert planned(desired(nodes=()), actual(a_node("n1", Availability="drain"))).is_empty


def test_two_nodes_of_one_hostname_block():
    one, two = a_node("n1"), a_node("n1")
    made = planned(desired(nodes=(wanted_node("n1", availability="drain"),)), actual(one, two))
    assert [blocked.code for blocked in made.blocked] == [ErrorCode.INVALID_VALUE]


def test_the_last_manager_is_never_demoted():
    made = planned(desired(nodes=(wanted_node("m1", role="worker"),)), actual(a_node("m1", role="manager")))
    assert made.actions == ()
    assert [blocked.code for blocked in made.blocked] == [ErrorCode.PLAN_BLOCKED]


def test_a_manager_is_not_demoted_when_the_rest_has_no_reachable_majority():
    nodes = (a_node("m1", role="manager"), a_node("m2", role="manager"), a_node("m3", role="manager", reachable=False))
    made = planned(desired(nodes=(wanted_node("m2", role="worker"),)), actual(*nodes))
    assert made.actions == ()
    assert "1 would be known to be reachable" in made.blocked[0].problem.why


def test_demotions_come_one_by_one_after_promotions():
    nodes = (*(a_node(f"m{i}", role="manager") for i in range(1, 4)), a_node("w1"))
    asked = (wanted_node("m1", role="worker"), wanted_node("m2", role="worker"), wanted_node("w1", role="manager"))
    made = planned(desired(nodes=asked), actual(*nodes))
    actions = {action.id: action for action in made.actions}
    assert list(actions) == ["node.w1", "node.m1"]
    assert actions["node.m1"].after == ("node.w1",)
    assert [blocked.id for blocked in made.blocked] == ["node.m2"], "w1 may fail to join"


def test_promotions_come_one_by_one():
    nodes = (a_node("m1", role="manager"), a_node("w1"), a_node("w2"))
    asked = (wanted_node("w1", role="manager"), wanted_node("w2", role="manager"))
    first, second = planned(desired(nodes=asked), actual(*nodes)).actions
    assert (first.after, second.after) == ((), (first.id,))


def test_a_swap_of_the_only_manager_promotes_first_and_demotes_in_a_later_plan():
    asked = (wanted_node("m1", role="worker"), wanted_node("w1", role="manager"))
    first = planned(desired(nodes=asked), actual(a_node("m1", role="manager"), a_node("w1")))
    assert [action.id for action in first.actions] == ["node.w1"]
    assert [blocked.id for blocked in first.blocked] == ["node.m1"]
    second = planned(desired(nodes=asked), actual(a_node("m1", role="manager"), a_node("w1", role="manager")))
    assert [action.id for action in second.actions] == ["node.m1"]
    assert second.blocked == ()
