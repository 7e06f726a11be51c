"""What a pull request changes, where there is no cluster: one Revision planned against another."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.model.desired import ExternalReference, Policy, Stack
from reconciler.model.errors import SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType, Origin, TaskEffect
from reconciler.planning.baseline import imagined
from reconciler.planning.options import PlanOptions
from reconciler.planning.plan import plan
from tests.unit.planning.builders import (
    HERE,
    NOW,
    a_node,
    actual,
    carried_out,
    content_spec,
    desired,
    network_spec,
    planned,
    service_spec,
    wanted,
    wanted_node,
    web_service,
)


def review(base, head):
    return plan(head, imagined(base, NOW, head.nodes), PlanOptions(baseline=base))


def everything(config="1", secret="s", **service):
    spec = service_spec(
        Configs=[{"File": {"Name": "/app.ini"}, "ConfigName": "web_app"}],
        Secrets=[{"File": {"Name": "key"}, "SecretName": "web_key"}, {"File": {"Name": "x"}, "SecretName": "outside"}],
        **service,
    )
    spec["TaskTemplate"]["Networks"].append({"Target": "edge"})
    job = service_spec("web_job")
    job["Mode"] = {"ReplicatedJob": {}}
    everywhere = service_spec("web_agent")
    everywhere["Mode"] = {"Global": {}}
    return desired(
        wanted(Kind.NETWORK, network_spec(IPAM={"Config": [{"Subnet": "10.9.0.0/24"}]})),
        wanted(Kind.CONFIG, content_spec("web_app", config)),
        wanted(Kind.SECRET, content_spec("web_key", secret)),
        wanted(Kind.SERVICE, spec, prune=False),
        wanted(Kind.SERVICE, job),
        wanted(Kind.SERVICE, everywhere),
        externals=(
            ExternalReference(Kind.NETWORK, "edge", "web", HERE),
            ExternalReference(Kind.SECRET, "outside", "web", HERE),
        ),
        nodes=(
            wanted_node("n1", role="manager", availability="active", labels={"zone": "a"}),
            wanted_node("n2", role="worker"),
        ),
        settings={"Orchestration": {"TaskHistoryRetentionLimit": 9}},
    )


def test_a_revision_against_itself_changes_nothing():
    made = review(everything(), everything())
    assert made.is_empty
    assert made.unplaceable == ()


def test_a_changed_field_is_intent_with_its_effect_on_tasks_that_would_run():
    made = review(everything(), everything(Env=["A=1"]))
    (action,) = made.actions
    assert (action.id, action.effect, action.origin) == ("service.web_api", TaskEffect.ROLLING, Origin.INTENT)
    assert "3 tasks" in action.effect_text
    assert [(change.path, change.origin) for change in action.changes] == [
        ("TaskTemplate.ContainerSpec.Env[A]", Origin.INTENT)
    ]


def test_contents_rotate_as_they_would_in_a_cluster():
    made = review(everything(), everything(config="2", secret="t"))
    assert [(action.type, action.id.rpartition("-")[0] or action.id) for action in made.actions] == [
        (ActionType.CREATE, "secret.web_key"),
        (ActionType.CREATE, "config.web_app"),
        (ActionType.UPDATE, "service.web_api"),
    ]
    config, service = made.actions[1:]
    assert [(change.old, change.new) for change in config.changes if change.path == "Data"] == [("1", "2")]
    assert {action.origin for action in made.actions} == {Origin.INTENT}
    assert {change.path.rsplit(".", 1)[-1] for change in service.changes} == {"ConfigName", "SecretName"}


def test_nodes_settings_and_removals_are_shown_too():
    base = everything()
    head = replace(
        base,
        objects=base.objects[:4],
        settings={"Orchestration": {"TaskHistoryRetentionLimit": 3}},
        nodes=(replace(base.nodes[0], labels={"zone": "b"}), base.nodes[1]),
        policy=Policy(prune=True),
    )
    made = review(base, head)
    assert {(action.type, action.id) for action in made.actions} == {
        (ActionType.UPDATE, "swarm.default"),
        (ActionType.UPDATE, "node.n1"),
        (ActionType.DELETE, "service.web_job"),
        (ActionType.DELETE, "service.web_agent"),
    }
    assert {action.origin for action in made.actions} == {Origin.INTENT}
    effects = {action.id: action.effect_text for action in made.actions}
    assert effects["service.web_agent"] == "2 tasks stop"


def test_a_node_that_only_the_head_lists_is_shown_with_what_is_asked_of_it():
    added = (
        wanted_node("n3", role="manager", labels={"zone": "b"}),
        wanted_node("n4", absent=True),
        wanted_node("n5"),
        wanted_node("gone", absent=True),
    )
    base = desired(nodes=(wanted_node("n1", role="manager"), wanted_node("gone", absent=True)))
    made = review(base, replace(base, nodes=(base.nodes[0], *added)))
    assert not made.blocked
    assert {(action.type, action.name) for action in made.actions} == {
        (ActionType.UPDATE, "n3"),
        (ActionType.UPDATE, "n4"),  # drained first
        (ActionType.DELETE, "n4"),
    }
    assert {action.origin for action in made.actions} == {Origin.INTENT}
    asked = {change.path for action in made.actions for change in action.changes}
    assert {"Role", 'Labels["zone"]'} <= asked
    assert review(desired(), desired(nodes=added)).actions, "so is the first of a list"


def test_a_node_that_comes_back_is_shown_with_what_is_asked_of_it():
    base, head = (desired(nodes=(wanted_node("n1", **node),)) for node in ({"absent": True}, {"labels": {"a": "b"}}))
    assert [action.id for action in review(base, head).actions] == ["node.n1"]


@pytest.mark.parametrize("asked", [{"availability": "drain"}, {"absent": True}, {"role": "worker"}])
def test_nothing_is_blocked_for_nodes_that_a_repository_need_not_list(asked):
    base = replace(web_service(), nodes=(wanted_node("n1", role="manager"),))
    made = review(base, replace(base, nodes=(wanted_node("n1", **asked),)))
    assert not made.blocked
    assert [action.name for action in made.actions if action.kind is Kind.NODE]


def test_a_plan_names_the_base_that_it_was_made_against():
    base = replace(web_service(), revision="infra at def456")
    assert review(base, web_service()).base == "infra at def456"
    assert planned(web_service(), actual()).base == ""


def test_a_repository_that_lists_no_node_has_one_manager():
    made = review(desired(), web_service())
    assert not made.blocked
    assert [action.effect_text for action in made.actions if action.kind is Kind.SERVICE] == ["3 tasks start"]
    assert review(web_service(), web_service()).notes == ()


def test_what_a_head_needs_from_outside_is_taken_to_be_there():
    outside = ExternalReference(Kind.NETWORK, "edge", "web", HERE)
    head = replace(web_service(), externals=(outside,))
    assert review(web_service(), head).is_empty
    assert [action.id for action in review(desired(), head).actions] == ["network.web_default", "service.web_api"]


def published(name: str, port: int):
    spec = service_spec(name)
    spec["EndpointSpec"] = {
        "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": port, "PublishMode": "ingress"}]
    }
    return wanted(Kind.SERVICE, spec)


def subnet(name: str, block: str):
    return wanted(Kind.NETWORK, {**network_spec(name), "IPAM": {"Config": [{"Subnet": block}]}})


def test_what_two_objects_of_a_repository_claim_is_told_without_a_cluster():
    base = desired(published("web_a", 80), subnet("net_a", "10.9.0.0/24"))
    head = desired(*base.objects, published("web_b", 80), subnet("net_b", "10.9.0.128/25"))
    made = review(base, head)
    assert [one.what for one in made.unplaceable] == [
        "Network net_b: its subnet 10.9.0.128/25 overlaps 10.9.0.0/24 of network net_a.",
        "Service web_b can't be written: its port 80/tcp is taken.",
    ]
    assert review(head, head).unplaceable == ()
    many = service_spec("web_c", replicas=500)
    many["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.zone==moon"]}
    assert review(base, desired(*base.objects, wanted(Kind.SERVICE, many))).unplaceable == (), "nodes are not known"


def test_a_lone_stack_is_reviewed_too():
    base, head = (replace(state, cluster="") for state in (web_service(), web_service(replicas=5)))
    assert review(base, base).is_empty
    assert [action.effect_text for action in review(base, head).actions] == ["scale 3 -> 5, 2 tasks start"]


def test_one_stack_of_a_pull_request():
    stacks = (Stack("web", "w", (), HERE), Stack("db", "d", (), HERE))
    base = replace(web_service(), stacks=stacks)
    head = replace(web_service(replicas=5), stacks=stacks)
    options = PlanOptions(baseline=base, stacks=frozenset({"db"}))
    assert plan(head, imagined(base, NOW), options).is_empty


def test_with_a_cluster_a_baseline_counts_instead_of_the_record():
    base, head = web_service(), web_service(replicas=5)
    cluster = carried_out(planned(head, actual()), actual(a_node("n1")))
    scaled = replace(cluster, services=carried_out(planned(web_service(replicas=9), cluster), cluster).services)
    (action,) = planned(head, scaled, PlanOptions(baseline=base)).actions
    assert [(change.old, change.applied, change.new, change.origin) for change in action.changes] == [
        (9, 3, 5, Origin.BOTH)
    ]
    (action,) = planned(head, scaled, PlanOptions(baseline=head)).actions
    assert action.origin is Origin.DRIFT
    gone = replace(cluster, services=())
    assert planned(head, gone, PlanOptions(baseline=base)).actions[0].origin is Origin.DRIFT
    assert planned(head, gone, PlanOptions(baseline=desired())).actions[0].origin is Origin.INTENT


def test_what_a_pull_request_takes_over_is_its_intent():
    cluster = carried_out(planned(web_service(replicas=9), actual()), actual())
    (action,) = planned(web_service(), cluster, PlanOptions(baseline=desired())).actions
    assert action.origin is Origin.INTENT


def test_where_no_swarm_was_asked_a_stack_that_is_gone_is_said_to_be_in_the_base():
    base = replace(everything(), policy=Policy(prune=True))
    head = replace(base, objects=(), externals=(), stacks=(Stack("db", "db.yaml", (), HERE),))
    with pytest.raises(SwarmctlError) as raised:
        plan(head, imagined(base, NOW), PlanOptions(baseline=base, stacks=frozenset({"nope"})))
    assert raised.value.problems[0].why == "Its stacks are db. Declared no more, and in the base: web."
