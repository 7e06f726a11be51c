"""Nodes that are drained in the same plan as services are updated: a drain in the midst of an update would end it.

Seen on a real swarm: an update is paused, or rolled back, when a drain ends a task that it has just made.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredNode
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Plan
from tests.unit.planning.builders import (
    a_node,
    actual,
    desired,
    observed,
    planned,
    running_tasks,
    service_spec,
    wanted,
    wanted_node,
)

SERVICE = "service.web_api"
DRAINED = wanted_node("n3", availability="drain")


def spec(image: str = "nginx:1", **changes: Any) -> JsonObject:
    made = service_spec() | changes
    made["TaskTemplate"] = {"ContainerSpec": {"Image": image}}
    return made


def constrained(made: JsonObject, constraint: str) -> JsonObject:
    made["TaskTemplate"]["Placement"] = {"Constraints": [constraint]}
    return made


def swarm(live: ObservedObject, **of_n3: Any) -> ActualState:
    nodes = (a_node("n1", role="manager"), a_node("n2", role="manager"), a_node("n3", **of_n3), a_node("n4"))
    return actual(live, *nodes, a_node("n5", role="manager"), tasks=running_tasks(live))


def plan_of(new: JsonObject, *nodes: DesiredNode, **of_n3: Any) -> Plan:
    return planned(desired(wanted(Kind.SERVICE, new), nodes=nodes), swarm(observed(Kind.SERVICE, spec()), **of_n3))


def before_the_service(made: Plan) -> list[str]:
    (service,) = (one for one in made.actions if one.id == SERVICE)
    ids = [one.id for one in made.actions]
    assert all(ids.index(name) < ids.index(SERVICE) for name in service.after)
    return list(service.after)


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ((DRAINED,), ["node.n3"]),
        ((wanted_node("n4", role="manager"), DRAINED), ["node.n3"]),
        ((wanted_node("n3", role="manager", availability="drain"),), ["node.n3"]),
        ((replace(wanted_node("n3"), absent=True),), ["node.n3.drain"]),
        (
            (wanted_node("n4", role="manager"), wanted_node("n2", role="worker"), wanted_node("n5", role="worker")),
            ["node.n2.drain", "node.n5.drain"],
        ),
    ],
)
def test_tasks_are_renewed_once_the_nodes_that_are_to_be_empty_are_drained(asked, first):
    assert before_the_service(plan_of(spec("nginx:2"), *asked)) == first


def test_a_drain_waits_for_no_service():
    made = plan_of(spec("nginx:2"), wanted_node("n4", role="manager"), DRAINED)
    assert all(not name.startswith("service.") for one in made.actions if one.kind is Kind.NODE for name in one.after)


def test_what_renews_no_task_waits_for_no_drain():
    scaled = spec() | {"Mode": {"Replicated": {"Replicas": 4}}}
    assert before_the_service(plan_of(scaled, DRAINED)) == []


@pytest.mark.parametrize(("constraint", "first"), [("node.role == manager", []), ("node.role == worker", ["node.n3"])])
def test_a_drain_of_a_node_that_gets_no_task_of_the_service_does_not_matter_to_it(constraint, first):
    assert before_the_service(plan_of(constrained(spec("nginx:2"), constraint), DRAINED)) == first


def test_a_node_that_takes_no_tasks_as_it_is_may_be_drained_at_any_time():
    assert before_the_service(plan_of(spec("nginx:2"), DRAINED, Availability="pause")) == []


def test_the_node_that_is_talked_to_is_drained_first_and_demoted_last():
    live = observed(Kind.SERVICE, spec())
    state = desired(wanted(Kind.SERVICE, spec("nginx:2")), nodes=(wanted_node("n1", role="worker"),))
    made = planned(state, replace(swarm(live), local_node_id="id-n1"))
    assert [one.id for one in made.actions] == ["node.n1.drain", SERVICE, "node.n1"]
    assert before_the_service(made) == ["node.n1.drain"]
