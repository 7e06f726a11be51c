"""Ports that go from one service to another in one plan."""

from __future__ import annotations

from typing import Any

from reconciler.model.desired import DesiredState
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType, Plan
from reconciler.planning.plan import plan
from reconciler.planning.preflight.claims import published
from tests.unit.planning.builders import actual, desired, network_spec, observed, service_spec, wanted


def publishing(name: str, *ports: int, mode: str = "ingress") -> JsonObject:
    spec = service_spec(name)
    listed: list[dict[str, Any]] = [
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": port, "PublishMode": mode} for port in ports
    ]
    spec["EndpointSpec"] = {"Ports": listed}
    return spec


def owned(spec: JsonObject) -> JsonObject:
    return {**spec, "Labels": {**spec["Labels"], "io.swarmctl.owner": "prod"}}


def asking(*specs: JsonObject) -> DesiredState:
    return desired(wanted(Kind.NETWORK, network_spec()), *(wanted(Kind.SERVICE, spec) for spec in specs))


def made(asked: DesiredState, *live: JsonObject) -> Plan:
    services = [observed(Kind.SERVICE, owned(spec), object_id=spec["Name"]) for spec in live]
    return plan(asked, actual(observed(Kind.NETWORK, owned(network_spec()), object_id="net"), *services))


def order(plan: Plan) -> list[str]:
    names = [action.id for action in plan.actions]
    for action in plan.actions:
        assert all(names.index(needed) < names.index(action.id) for needed in action.after)
    return names


def test_a_renamed_service_takes_the_port_once_its_former_self_is_gone():
    made_plan = made(asking(publishing("web_site", 80)), publishing("web_app", 80))
    assert order(made_plan) == ["service.web_app", "service.web_site"]
    assert "web_site takes its port" in made_plan.actions[0].reason
    assert made_plan.unplaceable == ()


def test_a_port_moves_between_two_services_that_stay():
    made_plan = made(
        asking(publishing("web_a"), publishing("web_b", 80)),
        publishing("web_a", 80),
        publishing("web_b"),
    )
    assert order(made_plan) == ["service.web_a", "service.web_b"]


def test_what_is_pruned_goes_last_when_nobody_takes_its_port():
    made_plan = made(asking(publishing("web_site", 81)), publishing("web_app", 80))
    assert order(made_plan) == ["service.web_site", "service.web_app"]


def test_host_ports_of_two_services_get_along():
    made_plan = made(asking(publishing("web_site", 80, mode="host")), publishing("web_app", 80, mode="host"))
    assert order(made_plan) == ["service.web_site", "service.web_app"]


def test_of_two_services_that_swap_ports_one_first_lets_go_of_its_own():
    asked = asking(publishing("web_a", 81), publishing("web_b", 80))
    live = publishing("web_a", 80, 8080), publishing("web_b", 81)
    made_plan = made(asked, *live)
    assert order(made_plan) == ["service.web_a.release", "service.web_b", "service.web_a"]
    release, first, last = made_plan.actions
    assert (release.type, release.object_id) == (ActionType.UPDATE, last.object_id)
    assert "port 80/tcp" in release.reason
    assert published(release.spec or {}, "ingress") == (("tcp", 8080),), "nobody waits for that one"
    assert {**(release.spec or {}), "EndpointSpec": {}} == {**(release.read_spec or {}), "EndpointSpec": {}}
    assert first.after == (release.id,)
    assert first.id in last.after
    assert last.read_spec == release.spec, "the second step finds what the first has written"
    assert made_plan.unplaceable == ()
    assert made_plan.inventory is not None
    assert release.id not in made_plan.inventory


def test_a_circle_of_three_is_opened_at_one_place_and_other_ports_stay():
    made_plan = made(
        asking(publishing("web_a", 81), publishing("web_b", 82), publishing("web_c", 80, 90)),
        *(publishing("web_a", 80), publishing("web_b", 81), publishing("web_c", 82, 90)),
    )
    names = order(made_plan)
    (release,) = [action for action in made_plan.actions if action.id.endswith(".release")]
    assert names[0] == release.id
    assert len(names) == 4
    assert [port for _, port in published(release.spec or {}, "ingress")] in ([], [90])


def test_a_port_for_a_service_that_must_come_first_is_let_go_of_before():
    taker, giver = wanted(Kind.SERVICE, publishing("web_b", 80)), publishing("web_a")
    asked = desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, giver, needs=("web_b",)), taker)
    made_plan = made(asked, publishing("web_a", 80), publishing("web_b"))
    assert order(made_plan) == ["service.web_a.release", "service.web_b", "service.web_a"]
