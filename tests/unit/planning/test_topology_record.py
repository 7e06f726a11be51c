"""Who moved a node or a setting, from what swarm.yaml asked the last time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.controller.record import topology_to_record
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.model.plan import Origin
from reconciler.model.progress import ActionProgress, ActionStatus
from reconciler.planning import topology_record
from reconciler.planning.inventory import packed
from reconciler.planning.options import PlanOptions
from reconciler.planning.topology_record import recorded_topology, topology_label
from tests.unit.planning.builders import (
    a_node,
    actual,
    carried_out,
    desired,
    planned,
    service_spec,
    wanted,
    wanted_node,
)

HISTORY = "Orchestration.TaskHistoryRetentionLimit"


def asked(*nodes, history=7, **fields):
    return desired(nodes=nodes, settings={"Orchestration": {"TaskHistoryRetentionLimit": history}}, **fields)


def applied(state):
    cluster = actual(a_node("n1"), a_node("m1", role="manager"))
    return carried_out(planned(state, cluster), cluster)


def moved(cluster, node_spec=None, **swarm_spec):
    """The cluster after somebody set fields of node n1, or of the swarm, by hand."""
    nodes = [
        replace(node, spec={**node.spec, **(node_spec or {})}) if node.name == "n1" else node for node in cluster.nodes
    ]
    swarm = replace(cluster.swarm, spec={**cluster.swarm.spec, **swarm_spec})
    return replace(cluster, nodes=tuple(nodes), swarm=swarm)


def origins(state, cluster):
    return {change.path: change.origin for action in planned(state, cluster).actions for change in action.changes}


BEFORE = asked(wanted_node("n1", availability="active", labels={"zone": "a"}))


def test_what_git_asks_for_anew_is_intent():
    after = asked(wanted_node("n1", availability="pause", labels={"zone": "b", "disk": "ssd"}), history=9)
    assert origins(after, applied(BEFORE)) == {
        HISTORY: Origin.INTENT,
        "Availability": Origin.INTENT,
        'Labels["zone"]': Origin.INTENT,
        'Labels["disk"]': Origin.INTENT,
    }


def test_what_somebody_changed_in_the_cluster_is_drift():
    cluster = moved(
        applied(BEFORE),
        {"Availability": "drain", "Labels": {"zone": "by-hand", "more": "1"}},
        Orchestration={"TaskHistoryRetentionLimit": 1},
    )
    assert origins(BEFORE, cluster) == {
        HISTORY: Origin.DRIFT,
        "Availability": Origin.DRIFT,
        'Labels["zone"]': Origin.DRIFT,
        'Labels["more"]': Origin.DRIFT,
    }
    (change,) = [one for action in planned(BEFORE, cluster).actions for one in action.changes if one.path == HISTORY]
    assert (change.old, change.new, change.applied) == (1, 7, 7)


def test_where_both_moved_that_is_told():
    after = asked(wanted_node("n1", availability="pause", labels={"zone": "a"}))
    assert origins(after, moved(applied(BEFORE), {"Availability": "drain"})) == {"Availability": Origin.BOTH}


def test_what_nobody_asked_for_before_is_intent():
    assert origins(asked(wanted_node("n1", availability="pause")), applied(asked(wanted_node("n1")))) == {
        "Availability": Origin.INTENT
    }


def test_a_node_that_needed_no_write_is_recorded_with_the_others():
    state = asked(wanted_node("n1", availability="active"), history=5)
    service = service_spec()
    service["TaskTemplate"].pop("Networks")
    cluster = applied(replace(state, objects=(wanted(Kind.SERVICE, service),)))
    drained = moved(cluster, {"Availability": "drain"})
    assert origins(state, drained)["Availability"] is Origin.DRIFT


def test_a_node_that_came_later_and_a_repository_of_another_name_have_an_unknown_past():
    state = asked(wanted_node("n1", availability="active"), wanted_node("m1", availability="pause"))
    cluster = applied(asked(wanted_node("n1", availability="active")))
    assert origins(state, cluster) == {"Availability": Origin.UNKNOWN}
    other = replace(asked(wanted_node("n1", availability="pause"), history=9), cluster="staging")
    assert set(origins(other, cluster).values()) == {Origin.UNKNOWN}


def test_the_steps_of_a_demotion_are_intent_and_what_they_take_back_is_nobodys_drift():
    cluster = actual(*(a_node(f"m{number}", role="manager") for number in (1, 2, 3)), a_node("n1"))
    before = asked(wanted_node("m3", role="manager", availability="active"))
    cluster = carried_out(planned(before, cluster), cluster)
    made = planned(asked(wanted_node("m3", role="worker", availability="active")), cluster)
    assert [action.id for action in made.actions] == ["node.m3.drain", "node.m3.demote", "node.m3"]
    assert {action.origin for action in made.actions} == {Origin.INTENT}


def test_an_equal_record_a_plan_of_one_stack_and_a_plan_without_actions_record_nothing():
    cluster = applied(BEFORE)
    assert planned(BEFORE, cluster).topology is None
    drained = moved(cluster, {"Availability": "drain"})
    assert planned(BEFORE, drained).topology is None, "it says already what is asked"
    assert planned(desired(), actual(a_node("n1"))).topology is None


def test_of_what_failed_the_earlier_record_stays():
    cluster = applied(BEFORE)
    before = recorded_topology(cluster, "prod")
    after = asked(wanted_node("n1", availability="pause"), wanted_node("m1", availability="pause"), history=9)
    made = planned(after, cluster)

    def recorded_when(failed):
        endings = {True: ActionStatus.FAILED, False: ActionStatus.DONE}
        ended = [ActionProgress(action, endings[action.id in failed]) for action in made.actions]
        return topology_to_record(made, before, ended)

    assert recorded_when(()) == made.topology
    failed = recorded_when(("swarm.default", "node.n1", "node.m1"))
    assert failed == before
    assert recorded_when(("node.m1",))["nodes"] == {"id-n1": {"Availability": "pause"}}


@pytest.mark.parametrize("value", ["z1:xyz", packed([1]), packed({"settings": 1, "nodes": {}}), packed({"nodes": {}})])
def test_a_broken_record_is_as_good_as_none(value):
    cluster = actual(a_node("n1"), swarm_labels={topology_label("prod"): value})
    assert recorded_topology(cluster, "prod") is None
    assert set(origins(asked(wanted_node("n1", availability="pause")), cluster).values()) == {Origin.UNKNOWN}


def test_a_record_that_is_too_large_is_left_out_and_an_old_one_goes(monkeypatch):
    cluster = applied(BEFORE)
    monkeypatch.setattr(topology_record, "PACKED_BYTES_MAX", 10)
    after = carried_out(planned(asked(wanted_node("n1", availability="pause")), cluster), cluster)
    assert topology_label("prod") in cluster.swarm.labels
    assert topology_label("prod") not in after.swarm.labels


def unasked(state, cluster, **options):
    made = planned(state, cluster, PlanOptions(**options))
    assert made.actions == ()
    return [note.what for note in made.notes if note.code is ErrorCode.NOT_RESET]


DRAINED = asked(wanted_node("n1", availability="drain", labels={"zone": "a", "disk": "ssd"}))


def test_what_swarm_yaml_no_longer_says_stays_and_is_noted():
    silent = desired(nodes=(wanted_node("n1"),))
    assert unasked(silent, applied(DRAINED)) == [
        f"The swarm keeps settings that swarm.yaml no longer gives: {HISTORY}.",
        "Node n1 keeps what swarm.yaml no longer says of it: availability drain, label disk, label zone.",
    ]
    assert unasked(desired(nodes=(wanted_node("n1"),)), actual(a_node("n1"))) == []


def test_the_hint_names_nothing_that_would_take_away_more():
    silent = asked(wanted_node("n1", labels={"zone": "a", "disk": "ssd"}))
    [note] = [note for note in planned(silent, applied(DRAINED)).notes if note.code is ErrorCode.NOT_RESET]
    assert note.hint == "Write what it shall have: `availability: active`, for example."


def test_what_is_still_asked_or_was_changed_by_hand_is_not_noted():
    cluster = applied(DRAINED)
    assert unasked(DRAINED, cluster) == []
    silent = asked(wanted_node("n1"))
    by_hand = moved(cluster, {"Availability": "active", "Labels": {"zone": "b"}})
    assert unasked(silent, by_hand) == []
    assert unasked(desired(), cluster, stacks=frozenset()) == [], "a plan for some stacks is about no node"


def test_with_base_what_that_revision_asked_counts():
    cluster = moved(applied(asked(wanted_node("n1"))), {"Availability": "drain"})
    silent = asked(wanted_node("n1"))
    assert unasked(silent, cluster) == []
    told = unasked(silent, cluster, baseline=asked(wanted_node("n1", availability="drain")))
    assert told == ["Node n1 keeps what swarm.yaml no longer says of it: availability drain."]


def test_a_drain_that_an_interrupted_demotion_left_is_nobodys_drift():
    voters = [a_node(f"m{number}", role="manager") for number in range(3)]
    before = asked(wanted_node("m0", role="manager", availability="active", labels={"zone": "a"}))
    cluster = carried_out(planned(before, actual(*voters)), actual(*voters))
    after = asked(wanted_node("m0", role="worker", labels={"zone": "a"}))
    made = planned(after, cluster)
    [drain, _, _] = made.actions
    left = replace(carried_out(replace(made, actions=(drain,)), cluster), swarm=cluster.swarm)
    assert set(origins(after, left)) == {"Role", "Availability", 'Labels["io.swarmctl.availability"]'}
    assert set(origins(after, left).values()) == {Origin.INTENT}
