"""The swarm's record of what a repository has created, and what it is good for."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.desired import Policy, Stack
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType, Origin
from reconciler.planning.inventory import inventory_label, packed, recorded, swarm_spec_with, unpacked
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import (
    HERE,
    actual,
    carried_out,
    content_spec,
    desired,
    network_spec,
    observed,
    planned,
    running_web,
    service_spec,
    wanted,
    web_service,
)

EVERYTHING = Policy(prune=True, max_delete_percent=100)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(json_values)
def test_what_is_packed_is_unpacked(value):
    assert unpacked(packed(value)) == value


@given(st.text() | st.text(alphabet="ABCDabcd0123+/=").map(lambda text: f"z1:{text}"))
def test_no_label_makes_unpacking_fail(label):
    unpacked(label)


def service_in(stack, name):
    spec = service_spec(f"{stack}_{name}", stack=stack)
    spec["TaskTemplate"].pop("Networks")
    return wanted(Kind.SERVICE, spec, stack=stack)


def test_the_record_names_what_a_plan_creates_and_no_longer_what_it_removes():
    state = desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.CONFIG, content_spec("web_app", "1")),
        wanted(Kind.SECRET, content_spec("web_key", "1")),
        wanted(Kind.SERVICE, service_spec()),
        policy=EVERYTHING,
    )
    made = planned(state, actual())
    assert made.owner == "prod"
    assert made.inventory == {"network.web_default", "config.web_app", "secret.web_key", "service.web_api"}
    cluster = carried_out(made, actual())
    assert recorded(cluster, "prod") == made.inventory
    smaller = replace(state, objects=(*state.objects[:2], state.objects[3]))
    assert planned(smaller, cluster).inventory == {"network.web_default", "config.web_app", "service.web_api"}


def test_a_plan_without_actions_records_nothing():
    assert planned(web_service(), actual(*running_web())).inventory is None


def test_a_record_that_is_right_is_left_alone():
    cluster = carried_out(planned(web_service(), actual()), actual())
    assert planned(web_service(replicas=5), cluster).inventory is None


def test_a_lone_stack_file_keeps_no_record():
    made = planned(replace(web_service(), cluster=""), actual())
    assert (made.owner, made.inventory) == ("", None)


def test_repositories_have_records_of_their_own_and_other_labels_stay():
    spec = {"Labels": {"team": "blue"}, "Raft": {"SnapshotInterval": 1}}
    one = swarm_spec_with(spec, "prod", {"service.b", "service.a"})
    two = swarm_spec_with(one, "staging", {"service.c"})
    assert two["Labels"]["team"] == "blue"
    assert two["Raft"] == {"SnapshotInterval": 1}
    cluster = actual(swarm_labels=two["Labels"])
    assert recorded(cluster, "prod") == {"service.a", "service.b"}
    assert recorded(cluster, "staging") == {"service.c"}
    assert recorded(cluster, "") == recorded(cluster, "other") == frozenset()
    assert spec == {"Labels": {"team": "blue"}, "Raft": {"SnapshotInterval": 1}}
    broken = actual(
        swarm_labels={inventory_label("prod"): packed({"a": 1}), inventory_label("staging"): packed([1, "x"])}
    )
    assert (recorded(broken, "prod"), recorded(broken, "staging")) == (frozenset(), {"x"})


def relabelled(found, **changed):
    """The object with labels set, or dropped where the value is None."""
    kept = {**found.labels, **{getattr(labels, name): value for name, value in changed.items()}}
    spec = {**found.spec, "Labels": {key: value for key, value in kept.items() if value is not None}}
    return replace(found, spec=spec)


def pruned_after(change):
    """What is removed when the stack is declared no more and `change` happened to its service meanwhile."""
    both = desired(
        service_in("web", "api"), service_in("shop", "app"), policy=EVERYTHING,
        stacks=(Stack("web", "w", (), HERE), Stack("shop", "s", (), HERE)),
    )  # fmt: skip
    cluster = carried_out(planned(both, actual()), actual())
    services = tuple(change(found) if found.name == "web_api" else found for found in cluster.services)
    cluster = replace(cluster, services=services)
    made = planned(replace(both, objects=both.objects[1:], stacks=both.stacks[1:]), cluster)
    return [action.id for action in made.actions if action.type is ActionType.DELETE]


def test_what_docker_stack_deploy_took_over_is_still_ours():
    assert pruned_after(lambda found: relabelled(found, OWNER=None, APPLIED=None)) == ["service.web_api"]


def test_what_another_repository_took_over_is_not():
    assert pruned_after(lambda found: relabelled(found, OWNER="staging")) == []


def test_a_namesake_without_a_stack_is_somebody_elses():
    assert pruned_after(lambda found: relabelled(found, OWNER=None, STACK_NAMESPACE=None)) == []


def test_without_a_record_an_unlabelled_object_is_nobodys():
    made = planned(desired(service_in("shop", "app"), policy=EVERYTHING), actual(*running_web(owner=None)))
    assert made.count(ActionType.DELETE) == 0


def test_what_somebody_removed_stays_on_the_record_while_it_is_asked_for():
    state = desired(service_in("web", "api"), service_in("web", "other"))
    cluster = carried_out(planned(state, actual()), actual())
    # A namesake of another stack keeps the one from being made again; the other has to be scaled back.
    api, other = cluster.services
    drifted = relabelled(api, STACK_NAMESPACE="else", OWNER=None)
    other.spec["Mode"]["Replicated"]["Replicas"] = 7
    made = planned(state, replace(cluster, services=(other,)))
    assert made.inventory is None, "both are there again"
    blocked = planned(state, replace(cluster, services=(drifted, other)))
    assert [one.id for one in blocked.blocked] == ["service.web_api"]


def test_a_plan_for_one_stack_leaves_the_entries_of_others():
    stacks = (Stack("web", "w", (), HERE), Stack("shop", "s", (), HERE))
    both = desired(service_in("web", "api"), service_in("shop", "app"), stacks=stacks)
    cluster = carried_out(planned(both, actual()), actual())
    gone = replace(cluster, services=())
    made = planned(
        replace(both, objects=(*both.objects, service_in("web", "new"))),
        gone,
        PlanOptions(stacks=frozenset({"web"})),
    )
    assert made.inventory == {"service.web_api", "service.shop_app", "service.web_new"}


def test_the_record_is_no_difference_of_the_swarm():
    state = replace(web_service(), settings={"Orchestration": {"TaskHistoryRetentionLimit": 5}})
    cluster = carried_out(planned(state, actual()), actual())
    assert inventory_label("prod") in cluster.swarm.labels
    assert planned(state, cluster).is_empty
    assert observed(Kind.SERVICE, service_spec()).owner is None


def test_what_must_never_be_pruned_stays_also_when_all_its_labels_are_dropped():
    kept = dataclasses.replace(service_in("web", "api"), prune=False)
    stacks = (Stack("web", "w", (), HERE), Stack("shop", "s", (), HERE))
    both = desired(kept, service_in("shop", "app"), policy=EVERYTHING, stacks=stacks)
    made = planned(both, actual())
    assert made.inventory == {"service.shop_app"}
    cluster = carried_out(made, actual())
    bare = [relabelled(found, OWNER=None, APPLIED=None, COMMIT=None, PRUNE=None) for found in cluster.services]
    left = replace(cluster, services=tuple(bare))
    assert planned(replace(both, objects=both.objects[1:], stacks=stacks[1:]), left).is_empty
    # Listed before, and to be kept from now on: it is taken off the record.
    listed = carried_out(planned(replace(both, objects=(service_in("web", "api"),)), actual()), actual())
    assert planned(replace(both, objects=(kept,)), listed).inventory == frozenset()


def test_what_others_made_with_our_label_is_drift_and_what_git_takes_out_is_intent():
    kept, former, theirs = (service_in("web", name) for name in ("a", "b", "c"))
    made = {inventory_label("prod"): packed(["service.web_a", "service.web_b"])}
    live = [
        observed(Kind.SERVICE, {**one.spec, "Labels": {**one.spec["Labels"], labels.OWNER: "prod"}})
        for one in (kept, former, theirs)
    ]
    for swarm_labels, expected in ((made, Origin.DRIFT), ({}, Origin.INTENT)):
        cluster = actual(*live, swarm_labels=swarm_labels)
        plan = planned(desired(kept, policy=EVERYTHING), cluster)
        origins = {one.id: one.origin for one in plan.actions if one.type is ActionType.DELETE}
        assert origins == {"service.web_b": Origin.INTENT, "service.web_c": expected}
