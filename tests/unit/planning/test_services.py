"""Plans for services: nothing for what is equal, exactly the field for what is not."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from reconciler.model import labels
from reconciler.model.desired import ExternalReference, Stack
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType, TaskEffect
from tests.unit.planning.builders import (
    HERE,
    a_node,
    actual,
    content_spec,
    desired,
    network_spec,
    observed,
    paths,
    planned,
    running_tasks,
    running_web,
    service_spec,
    wanted,
    web_service,
)


def test_what_the_daemon_fills_in_is_no_difference():
    assert planned(web_service(), actual(*running_web())).is_empty


def test_a_stack_that_docker_deployed_needs_no_change():
    assert planned(web_service(), actual(*running_web(owner=None))).is_empty


def test_a_missing_service_is_created_after_its_network():
    made = planned(web_service(), actual())
    assert [(action.id, action.type) for action in made.actions] == [
        ("network.web_default", ActionType.CREATE),
        ("service.web_api", ActionType.CREATE),
    ]
    assert made.actions[1].after == ("network.web_default",)
    assert made.actions[1].spec["Labels"][labels.OWNER] == "prod"
    assert labels.OWNER not in made.actions[1].spec["TaskTemplate"]["ContainerSpec"]["Labels"]


def with_image(spec):
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:1.27"


def with_variable(spec):
    spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["A=1"]


def with_port(spec):
    spec["EndpointSpec"]["Ports"] = [{"TargetPort": 80}]


def with_constraint(spec):
    spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.role==worker"]}


def with_five_replicas(spec):
    spec["Mode"]["Replicated"]["Replicas"] = 5


def with_label(spec):
    spec["Labels"]["team"] = "blue"


def with_update_config(spec):
    spec["UpdateConfig"] = {"Parallelism": 2}


@pytest.mark.parametrize(
    ("change", "path", "effect"),
    [
        (with_image, "TaskTemplate.ContainerSpec.Image", TaskEffect.ROLLING),
        (with_variable, "TaskTemplate.ContainerSpec.Env[A]", TaskEffect.ROLLING),
        (with_port, "EndpointSpec.Ports[80/tcp].TargetPort", TaskEffect.ROLLING),
        (with_constraint, "TaskTemplate.Placement.Constraints", TaskEffect.MOVE),
        (with_five_replicas, "Mode.Replicated.Replicas", TaskEffect.SCALE),
        (with_label, 'Labels["team"]', TaskEffect.NONE),
        (with_update_config, "UpdateConfig.Parallelism", TaskEffect.NONE),
    ],
)
def test_a_change_in_git_names_its_field_and_what_happens_to_tasks(change, path, effect):
    spec = service_spec()
    change(spec)
    network, service = running_web()
    cluster = actual(a_node("n1", role="manager"), network, service, tasks=running_tasks(service))
    made = planned(desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, spec)), cluster)
    (action,) = made.actions
    assert action.type is ActionType.UPDATE
    assert path in [one.path for one in action.changes]
    assert action.effect is effect


def test_drift_is_found_in_the_same_words():
    network, service = running_web(Env=["DEBUG=1"])
    made = planned(web_service(), actual(network, service))
    assert paths(made) == {"service.web_api": ["TaskTemplate.ContainerSpec.Env[DEBUG]"]}


def test_a_pinned_digest_and_its_platforms_are_no_difference_and_are_sent_back():
    network, service = running_web()
    service.spec["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:1.25@sha256:" + "a" * 64
    service.spec["TaskTemplate"]["Placement"] = {"Platforms": [{"OS": "linux"}]}
    service.spec["TaskTemplate"]["ForceUpdate"] = 4
    assert planned(web_service(), actual(network, service)).is_empty
    (action,) = planned(web_service(replicas=5), actual(network, service)).actions
    template = action.spec["TaskTemplate"]
    assert template["ContainerSpec"]["Image"].endswith("a" * 64)
    assert template["Placement"]["Platforms"] == [{"OS": "linux"}]
    assert template["ForceUpdate"] == 4
    assert [change.path for change in action.changes] == ["Mode.Replicated.Replicas"]


def test_an_image_set_by_hand_is_drift_even_with_a_digest():
    network, service = running_web()
    service.spec["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:1.27@sha256:" + "b" * 64
    (action,) = planned(web_service(), actual(network, service)).actions
    assert [change.path for change in action.changes] == ["TaskTemplate.ContainerSpec.Image"]
    assert action.spec["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:1.25"


def test_an_unmodelled_field_passes_through_and_its_loss_is_seen():
    network, service = running_web(NewInSwarm={"Level": 3})
    assert planned(web_service(NewInSwarm={"Level": 3}), actual(network, service)).is_empty
    made = planned(web_service(), actual(network, service))
    assert paths(made) == {"service.web_api": ["TaskTemplate.ContainerSpec.NewInSwarm.Level"]}


def test_another_mode_replaces_the_service():
    spec = service_spec()
    spec["Mode"] = {"Global": {}}
    made = planned(desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, spec)), actual(*running_web()))
    assert [action.type for action in made.actions] == [ActionType.REPLACE]


def test_a_namesake_outside_the_stack_blocks():
    network, service = running_web()
    service.spec["Labels"].pop(labels.STACK_NAMESPACE)
    made = planned(web_service(), actual(network, service))
    assert [one.code for one in made.blocked] == [ErrorCode.NAME_CONFLICT]
    assert made.actions == ()


def test_a_missing_external_network_holds_its_stack_and_those_that_depend_on_it():
    outside = ExternalReference(Kind.NETWORK, "edge", "web", HERE)
    user = service_spec("web_edge")
    user["TaskTemplate"]["Networks"].append({"Target": "edge"})
    others = [service_spec(f"{stack}_app", stack=stack) for stack in ("shop", "solo")]
    for spec in others:
        spec["TaskTemplate"].pop("Networks")
    state = desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.SERVICE, service_spec()),
        wanted(Kind.SERVICE, user),
        *[wanted(Kind.SERVICE, spec, stack=spec["Name"].partition("_")[0]) for spec in others],
        externals=(outside,),
        stacks=(Stack("shop", "s", ("web",), HERE), Stack("web", "w", (), HERE), Stack("solo", "o", (), HERE)),
    )
    made = planned(state, actual())
    assert [(one.id, one.code) for one in made.blocked] == [
        ("network.edge", ErrorCode.UNDEFINED_REFERENCE),
        ("stack.shop", ErrorCode.PLAN_BLOCKED),
    ]
    assert list(paths(made)) == ["service.solo_app"]
    there = planned(state, actual(observed(Kind.NETWORK, network_spec("edge", stack=None))))
    assert there.blocked == ()


def test_stacks_come_after_the_stacks_they_depend_on_whatever_the_order_of_the_file():
    stacks = (Stack("web", "w.yaml", ("db",), HERE), Stack("db", "d.yaml", (), HERE))
    database = service_spec("db_main", stack="db")
    database["TaskTemplate"].pop("Networks")
    state = desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.SERVICE, service_spec()),
        wanted(Kind.SERVICE, database, stack="db"),
        stacks=stacks,
    )
    actions = {action.id: action for action in planned(state, actual()).actions}
    assert list(actions) == ["network.web_default", "service.db_main", "service.web_api"]
    assert actions["service.web_api"].after == ("network.web_default", "service.db_main")
    assert actions["service.db_main"].after == ()


def test_a_reference_to_a_deleted_secret_is_a_difference():
    reference = {"File": {"Name": "key"}, "SecretName": "web_key"}
    spec = service_spec(Secrets=[reference])
    live = copy.deepcopy(spec)
    live["TaskTemplate"]["ContainerSpec"]["Secrets"] = [{**reference, "SecretID": "gone"}]
    state = desired(wanted(Kind.SECRET, content_spec("web_key", "x")), wanted(Kind.SERVICE, spec))
    secret = observed(Kind.SECRET, content_spec("web_key", "x"), object_id="new")
    made = planned(state, actual(secret, observed(Kind.SERVICE, live)))
    assert "service.web_api" in paths(made)
    live["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["SecretID"] = "new"
    assert planned(state, actual(secret, observed(Kind.SERVICE, live))).is_empty


def test_a_paused_update_goes_on_with_the_next_apply():
    network, service = running_web()
    service.raw["UpdateStatus"] = {"State": "paused", "Message": "update paused due to failure"}
    late = [dataclasses.replace(task, up_to_date=False, raw={}) for task in running_tasks(service)]
    (action,) = planned(web_service(), actual(a_node("n1"), network, service, tasks=tuple(late))).actions
    assert (action.type, action.changes) == (ActionType.UPDATE, ())
    assert action.effect is TaskEffect.ROLLING
    assert "goes on" in action.reason
