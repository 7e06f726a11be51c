"""Who moved: a plan tells what Git asks for anew from what somebody changed in the cluster."""

from __future__ import annotations

import base64
import copy
import json
import zlib

import pytest
from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.errors import Place
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, ActionType, Origin
from reconciler.model.sensitive import is_stand_in
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import (
    a_node,
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
    wanted_node,
    web_service,
)


def applied(state=None):
    """The cluster as we left it."""
    return carried_out(planned(state or web_service(), actual()), actual())


def with_live(cluster, change):
    """The cluster after somebody changed the service's spec by `change`."""
    (service,) = cluster.services
    spec = copy.deepcopy(service.spec)
    change(spec)
    return replace(cluster, services=(replace(service, spec=spec),))


def scaled_to(replicas):
    def change(spec):
        spec["Mode"]["Replicated"]["Replicas"] = replicas

    return change


def rolled_back(cluster, earlier, **kept):
    """The cluster after a rollback to `earlier`; `kept` is what Swarm keeps of the spec before."""
    (service,) = cluster.services
    old = earlier.services[0].spec
    raw = {**service.raw, "Spec": old, "UpdateStatus": {"State": "rollback_completed"}, **kept}
    return replace(cluster, services=(replace(service, spec=old, raw=raw),))


def without_our_labels(spec):
    spec["Labels"] = {key: value for key, value in spec["Labels"].items() if key not in labels.OURS}


def the_origins(made):
    (action,) = made.actions
    return action.origin, {change.path.rsplit(".", 1)[-1]: change.origin for change in action.changes}


def test_what_git_asks_for_anew_is_intent():
    assert the_origins(planned(web_service(replicas=5), applied())) == (Origin.INTENT, {"Replicas": Origin.INTENT})


def test_what_somebody_changed_in_the_cluster_is_drift():
    made = planned(web_service(), with_live(applied(), scaled_to(9)))
    assert the_origins(made) == (Origin.DRIFT, {"Replicas": Origin.DRIFT})


def test_where_both_moved_the_value_in_between_is_told():
    made = planned(web_service(replicas=5), with_live(applied(), scaled_to(9)))
    assert the_origins(made) == (Origin.BOTH, {"Replicas": Origin.BOTH})
    (change,) = made.actions[0].changes
    assert (change.old, change.applied, change.new) == (9, 3, 5)


def test_drift_and_intent_in_one_service_stay_apart_by_field():
    made = planned(web_service(Env=["A=1"]), with_live(applied(), scaled_to(9)))
    assert the_origins(made) == (Origin.BOTH, {"Replicas": Origin.DRIFT, "Env[A]": Origin.INTENT})


def test_what_was_never_ours_has_an_unknown_past():
    made = planned(web_service(replicas=5), actual(*running_web(owner=None)))
    assert the_origins(made) == (Origin.UNKNOWN, {"Replicas": Origin.UNKNOWN})


def test_a_docker_stack_deploy_that_drops_our_labels_is_no_difference():
    cluster = with_live(applied(), without_our_labels)
    assert planned(web_service(), cluster).is_empty
    assert the_origins(planned(web_service(replicas=5), cluster))[0] is Origin.UNKNOWN


def test_a_new_commit_alone_writes_nothing_and_the_old_one_stays():
    cluster = applied()
    assert cluster.services[0].labels[labels.COMMIT] == "abc1234"
    later = replace(web_service(), commit="def5678")
    assert planned(later, cluster).is_empty
    (action,) = planned(replace(web_service(replicas=5), commit="def5678"), cluster).actions
    assert action.spec["Labels"][labels.COMMIT] == "def5678"


def test_a_lone_stack_file_remembers_what_it_applied_and_owns_nothing():
    lone = replace(web_service(), cluster="", commit=None)
    made = planned(lone, actual())
    for action in made.actions:
        assert labels.OWNER not in action.spec["Labels"]
        assert labels.COMMIT not in action.spec["Labels"]
        assert action.spec["Labels"][labels.APPLIED].startswith("z1:")
    drifted = with_live(carried_out(made, actual()), scaled_to(9))
    assert the_origins(planned(lone, drifted))[0] is Origin.DRIFT


def packed_text(text: bytes) -> str:
    return "z1:" + base64.b64encode(zlib.compress(text)).decode()


BROKEN_RECORDS = {
    "empty": "",
    "nothing packed": "z1:",
    "no base64": "z1:!!!",
    "not deflated": "z1:" + base64.b64encode(b"no deflated text").decode(),
    "cut off": packed_text(b'{"Mode": 1}')[:-8],
    "no json": packed_text(b"{"),
    "a list": packed_text(b"[1]"),
    "null": packed_text(b"null"),
    "no utf-8": packed_text(b"\xff\xfe{}"),
    "deep": packed_text(b"[" * 100_000),
    "a bomb": packed_text(b" " * 50_000_000 + b"{}"),
    "another format": "z2:" + packed_text(b"{}")[3:],
}


@pytest.mark.parametrize("label", BROKEN_RECORDS.values(), ids=BROKEN_RECORDS.keys())
def test_a_broken_record_is_as_good_as_none(label):
    cluster = with_live(applied(), lambda spec: spec["Labels"].update({labels.APPLIED: label}))
    assert planned(web_service(), cluster).is_empty
    assert the_origins(planned(web_service(replicas=5), cluster))[0] is Origin.UNKNOWN


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"Mode": 7, "TaskTemplate": [], "Labels": "x", "EndpointSpec": None},
        {"TaskTemplate": {"ContainerSpec": {"Image": "nginx:1.25", "Env": [7, None, {}]}, "Networks": [1]}},
        {"TaskTemplate": {"ContainerSpec": {"Image": "nginx:1.25@x"}, "Placement": "here"}},
    ],
)
def test_a_record_of_another_shape_breaks_no_plan(form):
    label = packed_text(json.dumps(form).encode())

    def change(spec):
        spec["Labels"][labels.APPLIED] = label
        spec["TaskTemplate"]["ContainerSpec"] |= {"Image": "nginx:1.27@y", "Env": ["A=1"]}

    made = planned(web_service(replicas=5, Env=["A=2"]), with_live(applied(), change))
    assert made.count(ActionType.UPDATE) == 1


def test_a_digest_that_a_registry_gave_is_nobodys_change():
    def pinned(spec):
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:1.25@sha256:" + "a" * 64
        spec["TaskTemplate"]["Placement"] = {"Platforms": [{"OS": "linux"}]}

    made = planned(web_service(Image="nginx:1.27"), with_live(applied(), pinned))
    assert set(the_origins(made)[1].values()) == {Origin.INTENT}


def test_an_image_set_by_hand_is_drift_though_the_deploy_pinned_its_own():
    def pinned(spec):
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:1.25@sha256:" + "a" * 64
        spec["TaskTemplate"]["Placement"] = {"Platforms": [{"OS": "linux"}]}

    (update,) = planned(web_service(replicas=4), with_live(applied(), pinned)).actions
    service = observed(Kind.SERVICE, update.spec)
    service.spec["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:1.26@sha256:" + "b" * 64
    cluster = replace(applied(), services=(service,))
    assert set(the_origins(planned(web_service(replicas=4), cluster))[1].values()) == {Origin.DRIFT}


def test_a_password_is_masked_in_what_was_last_applied():
    def by_hand(spec):
        spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["PASSWORD=by-hand"]

    cluster = with_live(applied(web_service(Env=["PASSWORD=hunter2"])), by_hand)
    made = planned(web_service(Env=["PASSWORD=hunter3"]), cluster)
    (change,) = made.actions[0].changes
    assert (change.sensitive, change.origin) == (True, Origin.BOTH)
    assert all(is_stand_in(one) for one in (change.applied, change.old, change.new))
    assert len({change.applied, change.old, change.new}) == 3


def test_what_somebody_removed_is_drift_and_what_is_new_is_intent():
    cluster = applied()
    removed = replace(cluster, services=())
    (action,) = planned(web_service(), removed).actions
    assert (action.type, action.origin) == (ActionType.CREATE, Origin.DRIFT)
    assert {change.origin for change in action.changes} == {Origin.DRIFT}
    assert {made.origin for made in planned(web_service(), actual()).actions} == {Origin.INTENT}


def test_a_removed_config_is_drift_also_under_its_hashed_name():
    state = desired(wanted(Kind.CONFIG, content_spec("web_app", "1")))
    later = desired(wanted(Kind.CONFIG, content_spec("web_app", "2")))
    first = applied(state)
    second = carried_out(planned(later, first), first)
    assert len(second.configs) == 2
    (action,) = planned(later, replace(second, configs=())).actions
    assert (action.name, action.origin) == ("web_app", Origin.DRIFT)


def test_a_network_that_differs_tells_who_moved():
    state = desired(wanted(Kind.NETWORK, network_spec()))
    attachable = desired(wanted(Kind.NETWORK, network_spec(Attachable=True)))
    cluster = applied(state)
    assert planned(attachable, cluster).actions[0].origin is Origin.INTENT
    made_anew = replace(cluster.networks[0], spec={**cluster.networks[0].spec, "Attachable": True})
    assert planned(state, replace(cluster, networks=(made_anew,))).actions[0].origin is Origin.DRIFT


def test_nodes_and_settings_without_a_record_may_be_told_by_another_revision():
    before = desired(
        nodes=(wanted_node("n1", availability="active", labels={"zone": "a"}),),
        settings={"Orchestration": {"TaskHistoryRetentionLimit": 5}},
    )
    after = desired(
        nodes=(wanted_node("n1", availability="pause", labels={"zone": "a"}),),
        settings={"Orchestration": {"TaskHistoryRetentionLimit": 9}},
    )
    cluster = actual(a_node("n1", Labels={"zone": "by-hand"}))
    assert {action.origin for action in planned(after, cluster).actions} == {Origin.UNKNOWN}
    made = planned(after, cluster, PlanOptions(baseline=before))
    origins = {change.path: change.origin for action in made.actions for change in action.changes}
    assert origins == {
        "Orchestration.TaskHistoryRetentionLimit": Origin.INTENT,
        "Availability": Origin.INTENT,
        'Labels["zone"]': Origin.DRIFT,
    }


def test_each_change_has_the_line_that_asks_for_it():
    line = Place("stacks/web.yaml", 7, 9)
    found = {"Mode.Replicated.Replicas": line}
    service = wanted(Kind.SERVICE, service_spec(replicas=5, Env=["A=1"]), where=found.get)
    state = desired(wanted(Kind.NETWORK, network_spec()), service)
    (action,) = planned(state, applied()).actions
    places = {change.path: change.place for change in action.changes}
    assert places == {"Mode.Replicated.Replicas": line, "TaskTemplate.ContainerSpec.Env[A]": service.place}


def test_nothing_of_ours_is_on_a_container():
    for action in planned(web_service(), actual()).actions:
        template = json.dumps((action.spec or {}).get("TaskTemplate", {}))
        assert "io.swarmctl" not in template


def test_absent_is_told_from_unrecorded_values():
    made = planned(web_service(Env=["A=1"]), applied())
    (change,) = made.actions[0].changes
    assert change.applied is ABSENT


def test_the_label_that_keeps_an_object_is_blamed_like_any_field():
    kept = desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, service_spec(), prune=False))
    assert the_origins(planned(kept, applied()))[0] is Origin.INTENT
    assert the_origins(planned(kept, with_live(applied(), without_our_labels)))[0] is Origin.UNKNOWN
    by_hand = with_live(applied(kept), lambda spec: spec["Labels"].pop(labels.PRUNE))
    (action,) = planned(kept, by_hand, PlanOptions(baseline=kept)).actions
    assert action.origin is Origin.DRIFT
    (action,) = planned(kept, by_hand, PlanOptions(baseline=web_service())).actions
    assert action.origin is Origin.INTENT


def test_what_somebody_rolled_back_by_hand_is_drift_and_what_swarm_rolled_back_is_still_to_be_done():
    asked = web_service(replicas=5)
    earlier = applied()
    cluster = carried_out(planned(asked, earlier), earlier)
    by_hand = rolled_back(cluster, earlier, PreviousSpec=cluster.services[0].spec)
    assert the_origins(planned(asked, by_hand)) == (Origin.DRIFT, {"Replicas": Origin.DRIFT})
    back_again = rolled_back(earlier, cluster, PreviousSpec=earlier.services[0].spec)
    assert planned(asked, back_again).is_empty
    later = planned(web_service(replicas=7), back_again)
    assert the_origins(later) == (Origin.INTENT, {"Replicas": Origin.INTENT})
    by_swarm = rolled_back(cluster, earlier)
    assert the_origins(planned(asked, by_swarm)) == (Origin.INTENT, {"Replicas": Origin.INTENT})
