"""The pre-flight against a scheduler: it warns exactly where tasks stay without a node, on any small swarm."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.manager import shapes
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import TaskState
from tests.fakes.virtual_swarm import GIB, SECOND, VirtualSwarm
from tests.unit.planning.builders import actual, desired, planned, wanted
from tests.unit.planning.seats import host_port, service

ZONES = ("a", "b")

nodes = st.fixed_dictionaries(
    {
        "cpus": st.integers(1, 4),
        "zone": st.sampled_from(ZONES),
        "availability": st.sampled_from(("active", "active", "active", "drain", "pause")),
    }
)


@st.composite
def services(draw: st.DrawFn, name: str, *, everywhere: bool = True) -> JsonObject:
    """A service with some of what can keep its tasks from a node."""
    placement: JsonObject = {"MaxReplicas": draw(st.sampled_from((0, 0, 0, 1, 2)))}
    if draw(st.booleans()):
        placement["Constraints"] = [
            f"node.labels.zone{draw(st.sampled_from(('==', '!=')))}{draw(st.sampled_from(ZONES))}"
        ]
    modes = [st.integers(0, 6)] + ([st.none()] if everywhere else [])
    return service(
        name,
        replicas=draw(st.one_of(modes)),
        cpus=draw(st.sampled_from((0, 0, 1, 2, 3))),
        placement=placement,
        ports=draw(st.sampled_from(((), (), (host_port(80),)))),
    )


def virtual(given_nodes: list[dict[str, Any]]) -> VirtualSwarm:
    swarm = VirtualSwarm(nodes=1)
    swarm.set_node("node1", Availability="drain")
    for number, one in enumerate(given_nodes):
        name = f"n{number}"
        swarm.add_node(name, zone=one["zone"])
        resources = {"NanoCPUs": one["cpus"] * SECOND, "MemoryBytes": 8 * GIB}
        swarm.describe(name, Resources=resources)
        swarm.set_node(name, Availability=one["availability"])
    return swarm


def warnings(swarm: VirtualSwarm, *specs: JsonObject) -> dict[str, str]:
    """{service: what is said of it} for a plan for `specs` on the swarm as it is."""
    found: list[ObservedObject] = [shapes.node_object(node) for node in swarm.tables.nodes.values()]
    found += [shapes.service_object(one) for one in swarm.tables.services.values()]
    tasks = tuple(shapes.observed_task(swarm.tables, task) for task in swarm.tables.tasks.values())
    state = desired(*(wanted(Kind.SERVICE, spec) for spec in specs))
    made = planned(state, actual(*found, tasks=tasks))
    return {problem.what.split()[1].rstrip(":"): problem.what for problem in made.unplaceable}


def waiting(swarm: VirtualSwarm) -> Counter[str]:
    """{service: tasks that wait for a node}"""
    names = {service_id: one.name for service_id, one in swarm.tables.services.items()}
    return Counter(names[task.service_id] for task in swarm.live() if task.state is TaskState.PENDING)


@settings(deadline=None, max_examples=80)
@given(st.lists(nodes, min_size=1, max_size=4), services("web_first"), services("web_second"))
def test_a_service_alone_in_its_plan_is_warned_of_exactly_when_tasks_stay_pending(
    given_nodes: list[dict[str, Any]], first: JsonObject, second: JsonObject
):
    swarm = virtual(given_nodes)
    for spec in (first, second):
        told = warnings(swarm, spec)
        created = swarm.create(spec)
        swarm.settle()
        missing = waiting(swarm)[spec["Name"]]
        runs = len(swarm.running(created))
        if "Global" in spec["Mode"] and not runs and not missing:
            assert "no node can run its task" in told[spec["Name"]]
        elif missing:
            counted = f"{missing} of {missing + runs}"
            assert counted in told[spec["Name"]] or (missing + runs == 1 and "its task can't" in told[spec["Name"]])
        else:
            assert told == {}


@settings(deadline=None, max_examples=50)
@given(st.lists(nodes, min_size=1, max_size=4), services("web_same"), st.data())
def test_an_update_is_warned_of_when_tasks_stay_pending_after_it(
    given_nodes: list[dict[str, Any]], before: JsonObject, data: st.DataObject
):
    """One way only: a rolling update may also get stuck half way, where all its tasks would fit in the end."""
    swarm = virtual(given_nodes)
    created = swarm.create(before)
    swarm.settle()
    after = data.draw(services("web_same", everywhere=False))
    if "Global" in before["Mode"]:
        after = {**after, "Mode": before["Mode"]}
    after["UpdateConfig"] = {"Order": data.draw(st.sampled_from(("stop-first", "start-first"))), "Parallelism": 1}
    after["TaskTemplate"]["ContainerSpec"]["Image"] = data.draw(st.sampled_from(("app:1", "app:2")))
    if waiting(swarm):
        return
    told = warnings(swarm, after)
    swarm.update(created, after)
    swarm.rest()
    if "no node can run its task" in told.get("web_same", ""):
        assert not swarm.live(created)
    elif told:
        assert waiting(swarm), told


@settings(deadline=None, max_examples=80)
@given(st.lists(nodes, min_size=1, max_size=3), st.tuples(*(services(f"web_s{i}", everywhere=False) for i in range(3))))
def test_several_services_are_warned_of_exactly_when_no_arrangement_fits_them_all(
    given_nodes: list[dict[str, Any]], specs: tuple[JsonObject, ...]
):
    specs = tuple(
        {**spec, "Mode": {"Replicated": {"Replicas": min(2, spec["Mode"]["Replicated"]["Replicas"])}}} for spec in specs
    )
    told = warnings(virtual(given_nodes), *specs)
    assert bool(told) is not fits_somehow(given_nodes, specs)


def fits_somehow(given_nodes: list[dict[str, Any]], specs: tuple[JsonObject, ...]) -> bool:
    """Try every arrangement of every task."""
    tasks = [spec for spec in specs for _ in range(spec["Mode"]["Replicated"]["Replicas"])]
    choices = [[number for number, node in enumerate(given_nodes) if suits(node, spec)] for spec in tasks]
    return any(
        all(
            holds(node, [spec for spec, at in zip(tasks, chosen, strict=True) if at == number])
            for number, node in enumerate(given_nodes)
        )
        for chosen in itertools.product(*choices)
    )


def suits(node: dict[str, Any], spec: JsonObject) -> bool:
    for text in spec["TaskTemplate"]["Placement"].get("Constraints", ()):
        key_value = text.removeprefix("node.labels.zone")
        if (node["zone"] == key_value[2:]) is (key_value[:2] == "!="):
            return False
    return node["availability"] == "active"


def holds(node: dict[str, Any], here: list[JsonObject]) -> bool:
    reserved = [(spec["TaskTemplate"]["Resources"].get("Reservations") or {}).get("NanoCPUs", 0) for spec in here]
    ports = [port["PublishedPort"] for spec in here for port in spec["EndpointSpec"].get("Ports", ())]
    limits = [(spec["Name"], spec["TaskTemplate"]["Placement"]["MaxReplicas"]) for spec in here]
    each = Counter(name for name, _ in limits)
    return (
        sum(reserved) <= node["cpus"] * SECOND
        and len(ports) == len(set(ports))
        and all(not limit or each[name] <= limit for name, limit in limits)
    )
