"""Whatever happens to services, nodes and tasks: some things are never true, and in the end all is as asked for."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.model.commands import (
    Applied,
    AssignTask,
    AssignTasks,
    Command,
    CreateNetwork,
    CreateTask,
    CreateTasks,
    ExplainTask,
    ExplainTasks,
    RemoveService,
    RemoveTask,
    RemoveTasks,
    RollBackService,
    SetDesiredState,
    SetDesiredStates,
)
from reconciler.model.json import JsonObject, dig
from reconciler.model.nodes import Availability
from reconciler.model.tables import ServiceRecord, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.brain import Brain, Decision
from reconciler.orchestration.decide import decide
from reconciler.store.indexes import indexes_of
from tests.fakes.virtual_swarm import SECOND, VirtualSwarm, service_spec

HOSTNAMES = ("node1", "node2", "node3", "node4")
SERVICES = ("a", "b", "c")

seconds = st.integers(0, 8).map(lambda value: value * SECOND)
configs = st.fixed_dictionaries(
    {
        "Parallelism": st.integers(0, 3),
        "Delay": seconds,
        "Monitor": seconds,
        "Order": st.sampled_from(["stop-first", "start-first"]),
        "FailureAction": st.sampled_from(["pause", "continue"]),
        "MaxFailureRatio": st.sampled_from([0.0, 0.5]),
    }
)
placements = st.fixed_dictionaries(
    {},
    optional={
        "Constraints": st.sampled_from([["node.role==worker"], ["node.labels.disk==ssd"], ["node.hostname!=node2"]]),
        "MaxReplicas": st.integers(1, 3),
    },
)
spreads = st.fixed_dictionaries(
    {"Preferences": st.just([{"Spread": {"SpreadDescriptor": "node.labels.disk"}}])}, optional={}
)
demands: st.SearchStrategy[JsonObject] = st.one_of(
    st.just({}),
    st.just({"Reservations": {"NanoCPUs": 2 * SECOND}}),
    st.just({"Reservations": {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}]}}),
)
ports = st.sampled_from([{}, {"Ports": [{"TargetPort": 80, "PublishedPort": 80, "PublishMode": "host"}]}])
policies = st.fixed_dictionaries(
    {"Delay": seconds, "Condition": st.sampled_from(["any", "on-failure", "none"])},
    optional={"MaxAttempts": st.integers(0, 2), "Window": seconds},
)


@st.composite
def specs(draw: st.DrawFn, name: str, *, is_global: bool) -> JsonObject:
    """Draw a service's spec; its mode is fixed, as Swarm lets nobody change it."""
    return service_spec(
        name,
        replicas=None if is_global else draw(st.integers(0, 5)),
        image=draw(st.sampled_from(["app:1", "app:2", "bad:1"])),
        task={
            "RestartPolicy": draw(policies),
            "Placement": draw(st.one_of(placements, spreads)),
            "Resources": draw(demands),
            "Networks": draw(st.sampled_from([[], [{"Target": "small"}]])),
        },
        EndpointSpec=draw(ports),
        UpdateConfig={**draw(configs), "FailureAction": draw(st.sampled_from(["pause", "continue", "rollback"]))},
        RollbackConfig=draw(configs),
    )


@st.composite
def events(draw: st.DrawFn) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(["put", "put", "drop", "node", "lose", "find", "add", "exit", "wait", "rollback"]))
    name = draw(st.sampled_from(SERVICES))
    if kind == "put":
        return kind, name, draw(specs(name, is_global=name == "c"))
    if kind == "node":
        fields = {
            "Availability": draw(st.sampled_from(list(Availability))),
            "Labels": draw(st.sampled_from([{}, {"disk": "ssd"}])),
        }
        return kind, draw(st.sampled_from(HOSTNAMES)), fields
    if kind in ("lose", "find", "add"):
        return kind, draw(st.sampled_from(HOSTNAMES))
    if kind == "exit":
        return kind, draw(st.integers(0, 20)), draw(st.sampled_from([0, 1, 137]))
    return (kind, name) if kind in ("drop", "rollback") else (kind, draw(st.integers(0, 30)))


def a_swarm(nodes: int, kind: type[VirtualSwarm] = VirtualSwarm, check: Safety | None = None) -> VirtualSwarm:
    """Return a swarm with a network of 13 addresses."""
    swarm = kind(nodes, check)
    pool = {"Subnet": "10.9.0.0/28"}
    swarm.do(CreateNetwork(at=swarm.now, id="small-id", spec={"Name": "small", "IPAM": {"Config": [pool]}}))
    return swarm


def _service_id(swarm: VirtualSwarm, name: str) -> str:
    return next((service.id for service in swarm.tables.services.values() if service.name == name), "")


def _put(swarm: VirtualSwarm, name: str, spec: JsonObject) -> None:
    if service_id := _service_id(swarm, name):
        swarm.update(service_id, spec)
    else:
        swarm.create(spec)


def _drop(swarm: VirtualSwarm, name: str) -> None:
    if service_id := _service_id(swarm, name):
        swarm.do(RemoveService(at=swarm.now, id=service_id))


def _roll_back(swarm: VirtualSwarm, name: str) -> None:
    if service_id := _service_id(swarm, name):
        version = swarm.service(service_id).version
        swarm.try_(RollBackService(at=swarm.now, id=service_id, version=version, message="", by_hand=True))


def _change_node(swarm: VirtualSwarm, hostname: str, fields: JsonObject) -> None:
    if hostname in swarm.tables.nodes:
        swarm.set_node(hostname, **fields)


def _lose(swarm: VirtualSwarm, hostname: str) -> None:
    if hostname in swarm.tables.nodes and hostname not in swarm.deaf:
        swarm.lose_node(hostname)


def _find(swarm: VirtualSwarm, hostname: str) -> None:
    if hostname in swarm.deaf:
        swarm.find_node(hostname)


def _add(swarm: VirtualSwarm, hostname: str) -> None:
    if hostname not in swarm.tables.nodes:
        swarm.add_node(hostname)


def _exit(swarm: VirtualSwarm, choice: int, exit_code: int) -> None:
    running = [task for task in swarm.running() if task.node_id not in swarm.deaf]
    if running:
        swarm.exit(running[choice % len(running)], exit_code)


HAPPENINGS: dict[str, Callable[..., None]] = {
    "put": _put,
    "drop": _drop,
    "rollback": _roll_back,
    "node": _change_node,
    "lose": _lose,
    "find": _find,
    "add": _add,
    "exit": _exit,
    "wait": VirtualSwarm.advance,
}


def play(swarm: VirtualSwarm, event: tuple[Any, ...]) -> None:
    """Let one thing happen, where it can."""
    kind, *rest = event
    HAPPENINGS[kind](swarm, *rest)


def slot_of(swarm: VirtualSwarm, task: TaskRecord) -> tuple[str, Any]:
    service = swarm.tables.services[task.service_id]
    return service.id, task.node_id if service.is_global else task.slot


def starts_first(service: ServiceRecord) -> bool:
    configs = (service.spec, service.previous_spec or {})
    return any(
        dig(spec, key, "Order") == "start-first" for spec in configs for key in ("UpdateConfig", "RollbackConfig")
    )


class Safety:
    """Checked after every command. A slot may hold two wanted tasks only while start-first is or was in force."""

    def __init__(self) -> None:
        self.may_double: dict[str, bool] = {}
        self.states: dict[str, tuple[TaskState, TaskState]] = {}

    def __call__(self, swarm: VirtualSwarm) -> None:
        for service in swarm.tables.services.values():
            self.may_double[service.id] = self.may_double.get(service.id, False) or starts_first(service)
        live = [task for task in swarm.live() if task.service_id in swarm.tables.services]
        doubled = [slot for slot, count in Counter(slot_of(swarm, task) for task in live).items() if count > 1]
        assert all(self.may_double[service_id] for service_id, _ in doubled), doubled
        self._check_addresses(swarm)
        for task in swarm.tasks():
            state, desired = self.states.get(task.id, (TaskState.NEW, TaskState.NEW))
            assert task.state >= state
            assert task.desired_state >= desired
            self.states[task.id] = (task.state, task.desired_state)

    def _check_addresses(self, swarm: VirtualSwarm) -> None:
        """No address belongs to two; every placed task has one; and the index knows exactly who holds which."""
        held = [task.attachments for task in swarm.tasks() if task.holds_addresses]
        held += [service.virtual_ips for service in swarm.tables.services.values()]
        every = [address for one in held for address in one]
        assert len(every) == len(dict.fromkeys(every))
        for task in swarm.tasks():
            is_placed = TaskState.ASSIGNED <= task.state <= TaskState.RUNNING
            networks = len(task.spec.get("Networks") or ()) if is_placed else 0
            assert len(task.attachments) >= networks
        assert swarm.tables.indexes.addresses_by_network == indexes_of(swarm.tables).addresses_by_network


def max_replicas_holds(swarm: VirtualSwarm) -> None:
    """Placed tasks of a template never exceed that template's own limit per node."""
    counts = Counter(
        (task.service_id, task.node_id, task.spec_version)
        for task in swarm.live()
        if task.state >= TaskState.ASSIGNED and not task.has_ended
    )
    for task in swarm.live():
        limit = dig(task.spec, "Placement", "MaxReplicas")
        assert not limit or counts[task.service_id, task.node_id, task.spec_version] <= limit


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events(), min_size=1, max_size=25))
def test_whatever_happens_no_slot_doubles_no_state_falls_and_no_limit_breaks(story: list[tuple[Any, ...]]) -> None:
    swarm = a_swarm(nodes=2, check=Safety())
    swarm.exits = lambda task: 1 if task.spec["ContainerSpec"]["Image"] == "bad:1" else None
    for event in story:
        play(swarm, event)
        swarm.settle()
        max_replicas_holds(swarm)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events(), min_size=1, max_size=15))
def test_when_trouble_ends_every_service_gets_what_it_asks_for(story: list[tuple[Any, ...]]) -> None:
    swarm = a_swarm(nodes=2, check=Safety())
    swarm.exits = lambda task: 1 if task.spec["ContainerSpec"]["Image"] == "bad:1" else None
    for event in story:
        play(swarm, event)
    for hostname in list(swarm.deaf):
        swarm.find_node(hostname)
    swarm.exits = lambda _task: None
    for hostname in swarm.tables.nodes:
        swarm.set_node(hostname, Availability="active", Labels={"disk": "ssd"}, Role="manager")
    swarm.advance(120)
    for service in list(swarm.tables.services.values()):
        template = {"ContainerSpec": {"Image": "good:1"}, "RestartPolicy": {"Condition": "any", "Delay": 0}}
        swarm.update(service.id, {**service.spec, "TaskTemplate": template, "EndpointSpec": {}})
    swarm.rest()

    for service in swarm.tables.services.values():
        running = swarm.running(service.id)
        assert {task.spec["ContainerSpec"]["Image"] for task in running} <= {"good:1"}
        if service.is_global:
            assert {task.node_id for task in running} == set(swarm.tables.nodes)
        else:
            assert len(running) == service.spec["Mode"]["Replicated"]["Replicas"]
        assert len(running) == len(swarm.live(service.id))
    decision = decide(swarm.tables, swarm.now, swarm.new_id)
    assert (decision.commands, decision.wake_at) == ((), None)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events(), min_size=1, max_size=15))
def test_the_same_story_ends_in_the_same_tables(story: list[tuple[Any, ...]]) -> None:
    def told() -> Any:
        swarm = a_swarm(nodes=3)
        for event in story:
            play(swarm, event)
        swarm.advance(10)
        return swarm.tables

    assert told() == told()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events(), min_size=1, max_size=15))
def test_every_command_that_the_brain_gives_is_one_the_store_takes(story: list[tuple[Any, ...]]) -> None:
    """A command may only be refused because an earlier one of the same pass has made it stale."""
    swarm = a_swarm(nodes=2)
    for event in story:
        play(swarm, event)
        decision = decide(swarm.tables, swarm.now, swarm.new_id)
        if decision.commands:
            assert isinstance(swarm.try_(decision.commands[0]), Applied)


def told_apart(command: Command) -> list[Command]:
    """Return a command about many tasks as commands about one each, new tasks without their ids."""
    at = command.at
    match command:
        case CreateTasks(service_id=service_id, spec_version=version, desired_state=desired):
            head: dict[str, Any] = {"service_id": service_id, "spec_version": version, "desired_state": desired}
            return [CreateTask(at=at, id="", slot=slot, node_id=node, **head) for _, slot, node in command.tasks]
        case CreateTask():
            return [replace(command, id="")]
        case AssignTasks(message=text):
            return [AssignTask(at=at, task_id=one, node_id=node, message=text) for one, node in command.places]
        case ExplainTasks(err=err):
            return [ExplainTask(at=at, task_id=one, err=err) for one in command.task_ids]
        case SetDesiredStates(desired_state=desired):
            return [SetDesiredState(at=at, task_id=one, desired_state=desired) for one in command.task_ids]
        case RemoveTasks():
            return [RemoveTask(at=at, task_id=one) for one in command.task_ids]
    return [command]


def in_no_order(decision: Decision) -> list[str]:
    return sorted(repr(one) for command in decision.commands for one in told_apart(command))


class Forgetful(VirtualSwarm):
    """Compares each decision with that of a brain that remembers nothing, but for the failures of nodes."""

    def settle(self) -> datetime | None:
        for _ in range(500):
            fresh = Brain(self.tables)
            fresh.scheduler.loads.failures = copy.deepcopy(self.brain.scheduler.loads.failures)
            expected = fresh.decide(self.now, lambda: "")
            decision = self.brain.decide(self.now, self.new_id)
            assert in_no_order(decision) == in_no_order(expected)
            if expected.wake_at is not None:  # to wake too early is no harm
                assert decision.wake_at is not None
                assert decision.wake_at <= expected.wake_at
            outcomes = [self.try_(command) for command in decision.commands]
            moved = any(isinstance(outcome, Applied) for outcome in outcomes)
            if not (self._obey() or moved):
                return decision.wake_at
        raise AssertionError("the swarm does not come to rest")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events(), min_size=1, max_size=20))
def test_a_brain_that_remembers_decides_like_one_that_looks_at_everything(story: list[tuple[Any, ...]]) -> None:
    swarm = a_swarm(nodes=3, kind=Forgetful)
    swarm.exits = lambda task: 1 if task.spec["ContainerSpec"]["Image"] == "bad:1" else None
    for event in story:
        play(swarm, event)
        swarm.settle()


class Deaf(VirtualSwarm):
    """Its leader never hears what came of its commands in time, and decides once more: both decisions are applied."""

    def settle(self) -> datetime | None:
        for _ in range(500):
            first, second = (Brain(self.tables).decide(self.now, self.new_id) for _ in range(2))
            outcomes = [self.try_(command) for command in (*first.commands, *second.commands)]
            moved = any(isinstance(outcome, Applied) for outcome in outcomes)
            if not (self._obey() or moved):
                return first.wake_at
        raise AssertionError("the swarm does not come to rest")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events(), min_size=1, max_size=15))
def test_a_decision_that_is_in_the_log_twice_makes_no_second_task_in_a_slot(story: list[tuple[Any, ...]]) -> None:
    swarm = a_swarm(nodes=2, kind=Deaf, check=Safety())
    swarm.exits = lambda task: 1 if task.spec["ContainerSpec"]["Image"] == "bad:1" else None
    for event in story:
        play(swarm, event)
        swarm.settle()
    for service in swarm.tables.services.values():
        live = [task for task in swarm.live(service.id) if task.spec_version == service.spec_version]
        assert len(live) == len({slot_of(swarm, task) for task in live})
