"""What a plan says of tasks is what then happens to them, on a real swarm, for every field of a ServiceSpec.

One service for each field, all created at once and updated at once; a change of nothing but a field shows which tasks
Swarm replaces for it. Three walks:

- `running`: services whose tasks run, each with a field more or another value;
- `every key`: the stack of the field walk, each stored value changed in turn. No node fits its tasks, as not every
  machine could run them; Swarm replaces a waiting task by the same rule as a running one;
- `raw`: bodies written past the planner, with empty objects and noughts in the place of nothing: the line between what
  Swarm tells apart and what it does not.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.docker import DockerCluster, connect
from reconciler.adapters.schema_files import read_schemas
from reconciler.controller.write import with_ids
from reconciler.manifests.load import LoadInputs, load_stack_file
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredObject, DesiredState, Policy
from reconciler.model.errors import Place, SwarmctlError
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import TaskCounts
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning import effects
from reconciler.planning.context import Context, Draft
from reconciler.planning.plan import plan
from reconciler.planning.preflight.rooms import planned_rooms
from reconciler.settings import EndpointSettings
from tests.e2e.conftest import Backend
from tests.e2e.test_field_walk import ADDED, STACK, Steps, another, at, leaves
from tests.lab.lab import Lab
from tests.lab.swept import sweep

HERE = Place("stacks/effects.yaml", 1, 1, "services")
START_WAIT_S = 120.0
EFFECT_WAIT_S = 60.0
POLL_S = 0.2
CONTROL = "zzz-control"
"""The service that is updated last: once its task is replaced, Swarm has looked at all the others as well."""

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Case:
    """A service, what it is changed to, and when it is ready to be changed: so many tasks of one of these states."""

    name: str
    before: dict[str, Any]
    after: dict[str, Any]
    tasks: int = 1
    ready: frozenset[TaskState] = frozenset({TaskState.RUNNING})
    raw: bool = False


@dataclass
class Seen:
    """What came of a case. `refused` is what the engine said to the update, where it wanted none of it."""

    text: str = "no change"
    predicted: TaskCounts = field(default_factory=TaskCounts)
    observed: TaskCounts = field(default_factory=TaskCounts)
    refused: str = ""
    before: list[ObservedTask] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return numbers(self.predicted) == numbers(self.observed)


def numbers(counts: TaskCounts) -> tuple[int, int, int]:
    return counts.restart, counts.start, counts.stop


def service(name: str, *, replicas: int = 1, **template: Any) -> dict[str, Any]:
    """A service that starts and stops as fast as Swarm can, and whose update is over at once."""
    return {
        "Name": name,
        "Labels": {},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "swarmctl-test:1",
                "Command": ["sleep"],
                "Args": ["3600"],
                "StopGracePeriod": 1_000_000,
                "StopSignal": "SIGKILL",
            },
            "RestartPolicy": {"Condition": "any", "Delay": 200_000_000},
            "Placement": {},
            "Resources": {},
            **template,
        },
        "UpdateConfig": {"Parallelism": 0, "Monitor": 1, "FailureAction": "continue"},
        "EndpointSpec": {"Mode": "vip"},
    }


def put(path: str, value: Any) -> Change:
    """A change that sets what is at a dotted path."""

    def change(spec: dict[str, Any]) -> None:
        *steps, last = path.split(".")
        parent = spec
        for step in steps:
            parent[step] = parent.get(step) or {}
            parent = parent[step]
        parent[last] = value

    return change


def case(name: str, before: dict[str, Any], *changes: Change, **fields: Any) -> Case:
    after = copy.deepcopy(before)
    for change in changes:
        change(after)
    return Case(name, {**before, "Name": name}, {**after, "Name": name}, **fields)


TEMPLATE, CONTAINER = "TaskTemplate.", "TaskTemplate.ContainerSpec."
IMAGE = put(f"{CONTAINER}Image", "swarmctl-test:2")
LABEL = put("Labels", {"a": "b"})
ENDED = frozenset({TaskState.COMPLETE, TaskState.FAILED})
PENDING = frozenset({TaskState.PENDING})
NOWHERE = {"Constraints": ["node.hostname == nowhere"]}

MORE: list[tuple[str, Any]] = [
    ("UpdateConfig.Delay", 1),
    ("UpdateConfig.Order", "start-first"),
    ("UpdateConfig.FailureAction", "pause"),
    ("RollbackConfig", {"Parallelism": 2, "Order": "start-first"}),
    ("EndpointSpec.Mode", "dnsrr"),
    ("EndpointSpec.Ports", [{"TargetPort": 82, "PublishedPort": 8282, "Protocol": "tcp", "PublishMode": "ingress"}]),
    (f"{CONTAINER}Image", "swarmctl-test:2"),
    (f"{CONTAINER}Args", ["3601"]),
    (f"{CONTAINER}StopGracePeriod", 2_000_000),
    (f"{CONTAINER}Healthcheck", {"Test": ["CMD", "true"], "Interval": 1_000_000_000}),
    (f"{CONTAINER}Privileges", {"NoNewPrivileges": True}),
    (f"{TEMPLATE}Runtime", "container"),
    (f"{TEMPLATE}RestartPolicy.Window", 1_000_000_000),
    (f"{TEMPLATE}RestartPolicy.Condition", "on-failure"),
    (f"{TEMPLATE}RestartPolicy.MaxAttempts", 3),
    (f"{TEMPLATE}Placement.Preferences", [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]),
    (f"{TEMPLATE}Placement.Constraints", ["node.hostname != nowhere"]),
    (f"{TEMPLATE}Placement.Platforms", [{"OS": "windows"}]),
    (f"{TEMPLATE}Networks", [{"Target": "effects-net"}]),
    ("Mode.Replicated.Replicas", 0),
]
"""Fields that the field walk adds with another value or not at all."""


def mode(**fields: Any) -> dict[str, Any]:
    """A service in another mode; jobs have no update settings and are not started again."""
    spec = service("")
    spec["Mode"] = fields
    if next(iter(fields)).endswith("Job"):
        del spec["UpdateConfig"]
        spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
    return spec


def ending(spec: dict[str, Any], condition: str, command: str = "true") -> dict[str, Any]:
    """The service with a program that ends at once, started again or not."""
    spec["TaskTemplate"]["ContainerSpec"] |= {"Command": [command], "Args": []}
    spec["TaskTemplate"]["RestartPolicy"] = {"Condition": condition}
    return spec


def running_cases() -> Iterator[Case]:
    for number, (path, value) in enumerate([*ADDED, *MORE]):
        name = path.replace("TaskTemplate.", "").replace("ContainerSpec.", "").replace(".", "-")
        yield case(f"run-{number}-{name}", service(""), put(path, value))
    two, worker = service("", replicas=2), {"Constraints": ["node.role == worker"]}
    three = service("", replicas=3)
    replicas = "Mode.Replicated.Replicas"
    yield case("scale-up", two, put(replicas, 4), tasks=2)
    yield case("scale-up-image", two, put(replicas, 3), IMAGE, tasks=2)
    yield case("scale-down", three, put(replicas, 2), tasks=3)
    yield case("scale-down-image", three, put(replicas, 1), IMAGE, tasks=3)
    yield case("scale-from-0-image", service("", replicas=0), put(replicas, 1), IMAGE, tasks=0)
    yield case("at-0-image", service("", replicas=0), IMAGE, tasks=0)
    yield case("move-some", three, put(f"{TEMPLATE}Placement", worker), tasks=3)
    yield case("move-none", service("", replicas=2, Placement=worker), put(f"{TEMPLATE}Placement", {}), tasks=2)
    yield case("move-and-label", three, put(f"{TEMPLATE}Placement", worker), LABEL, tasks=3)
    yield case("start-first", {**two, "UpdateConfig": {**two["UpdateConfig"], "Order": "start-first"}}, IMAGE, tasks=2)
    everywhere = mode(Global={})
    yield case("global-image", everywhere, IMAGE, tasks=3)
    yield case("global-label", everywhere, LABEL, tasks=3)
    yield case("global-fewer-nodes", everywhere, put(f"{TEMPLATE}Placement", worker), tasks=3)
    workers = mode(Global={})
    workers["TaskTemplate"]["Placement"] = worker
    yield case("global-more-nodes", workers, put(f"{TEMPLATE}Placement", {}), tasks=2)
    others = {"Constraints": ["node.hostname != node3"]}
    yield case("global-other-nodes-image", workers, put(f"{TEMPLATE}Placement", others), IMAGE, tasks=2)
    yield case("global-platform", everywhere, put(f"{TEMPLATE}Placement.Platforms", [{"OS": "windows"}]), tasks=3)


def ended_cases() -> Iterator[Case]:
    """Jobs, tasks that ended for good, and tasks that no node takes."""
    job = {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}}
    total = "Mode.ReplicatedJob.TotalCompletions"
    yield case("job-label", ending(mode(**job), "none"), LABEL, tasks=3, ready=ENDED)
    yield case("job-image", ending(mode(**job), "none"), IMAGE, tasks=3, ready=ENDED)
    yield case("job-total", ending(mode(**job), "none"), put(total, 4), tasks=3, ready=ENDED)
    # An engine of 20.10 goes on running a job that is removed while it runs; changed to this one it comes to an end.
    running = mode(ReplicatedJob={"MaxConcurrent": 2, "TotalCompletions": 2})
    yield case("job-running-command", running, put(f"{CONTAINER}Command", ["true"]), tasks=2)
    yield case("global-job-label", ending(mode(GlobalJob={}), "none"), LABEL, tasks=3, ready=ENDED)
    for condition, command in (("none", "true"), ("none", "false"), ("on-failure", "true")):
        spec = ending(service("", replicas=2), condition, command)
        yield case(f"ended-{condition}-{command}-image", spec, IMAGE, tasks=2, ready=ENDED)
        yield case(f"ended-{condition}-{command}-label", spec, LABEL, tasks=2, ready=ENDED)
        yield case(f"ended-{condition}-{command}-scale", spec, put("Mode.Replicated.Replicas", 3), tasks=2, ready=ENDED)
    moved = put(f"{TEMPLATE}Placement", NOWHERE)
    yield case("ended-placement", ending(service("", replicas=2), "none"), moved, tasks=2, ready=ENDED)
    waiting = service("", replicas=2, Placement=NOWHERE)
    yield case("waiting-image", waiting, IMAGE, tasks=2, ready=PENDING)
    yield case("waiting-label", waiting, LABEL, tasks=2, ready=PENDING)
    yield case("waiting-placement", waiting, put(f"{TEMPLATE}Placement", {}), tasks=2, ready=PENDING)


RAW: list[tuple[str, Any, str, Any]] = [
    ("TaskTemplate.Resources", None, "TaskTemplate.Resources", {}),
    ("TaskTemplate.Resources", {}, "TaskTemplate.Resources", {"Limits": {}}),
    ("TaskTemplate.Resources", {"Limits": {}}, "TaskTemplate.Resources", {"Limits": {"NanoCPUs": 0}}),
    ("TaskTemplate.RestartPolicy", None, "TaskTemplate.RestartPolicy", {}),
    ("TaskTemplate.RestartPolicy", {}, "TaskTemplate.RestartPolicy", {"Condition": "any", "MaxAttempts": 0}),
    ("TaskTemplate.RestartPolicy", {}, "TaskTemplate.RestartPolicy", {"Delay": 0}),
    ("TaskTemplate.RestartPolicy", {}, "TaskTemplate.RestartPolicy", {"Window": 0}),
    ("TaskTemplate.LogDriver", None, "TaskTemplate.LogDriver", {}),
    ("TaskTemplate.Runtime", "", "TaskTemplate.Runtime", "container"),
    ("TaskTemplate.ForceUpdate", 0, "TaskTemplate.ForceUpdate", 1),
    ("TaskTemplate.Networks", None, "TaskTemplate.Networks", []),
    (f"{CONTAINER}DNSConfig", None, f"{CONTAINER}DNSConfig", {}),
    (f"{CONTAINER}DNSConfig", {}, f"{CONTAINER}DNSConfig", {"Options": []}),
    (f"{CONTAINER}Healthcheck", None, f"{CONTAINER}Healthcheck", {}),
    (f"{CONTAINER}Healthcheck", {"Test": ["NONE"]}, f"{CONTAINER}Healthcheck", {"Test": ["NONE"], "Interval": 0}),
    (f"{CONTAINER}Privileges", None, f"{CONTAINER}Privileges", {}),
    (f"{CONTAINER}Privileges", {}, f"{CONTAINER}Privileges", {"SELinuxContext": {}}),
    (f"{CONTAINER}Privileges", {}, f"{CONTAINER}Privileges", {"NoNewPrivileges": False}),
    (f"{CONTAINER}Init", None, f"{CONTAINER}Init", False),
    (f"{CONTAINER}TTY", None, f"{CONTAINER}TTY", False),
    (f"{CONTAINER}StopGracePeriod", None, f"{CONTAINER}StopGracePeriod", 0),
    (f"{CONTAINER}Isolation", "", f"{CONTAINER}Isolation", "default"),
    (f"{CONTAINER}Env", None, f"{CONTAINER}Env", []),
    (f"{CONTAINER}Env", ["A=1", "B=2"], f"{CONTAINER}Env", ["B=2", "A=1"]),
    (f"{CONTAINER}Labels", {"a": ""}, f"{CONTAINER}Labels", {}),
    (f"{CONTAINER}Sysctls", None, f"{CONTAINER}Sysctls", {}),
    (f"{CONTAINER}Mounts", [{"Type": "tmpfs", "Target": "/t"}],
     f"{CONTAINER}Mounts", [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {}}]),
    (f"{CONTAINER}Mounts", [{"Type": "volume", "Source": "v", "Target": "/t"}],
     f"{CONTAINER}Mounts", [{"Type": "volume", "Source": "v", "Target": "/t", "VolumeOptions": {}}]),
    (f"{CONTAINER}Mounts", [{"Type": "volume", "Source": "v", "Target": "/t"}],
     f"{CONTAINER}Mounts", [{"Type": "volume", "Source": "v", "Target": "/t", "Consistency": "cached"}]),
    (f"{CONTAINER}Mounts", [{"Type": "bind", "Source": "/tmp", "Target": "/t"}],
     f"{CONTAINER}Mounts", [{"Type": "bind", "Source": "/tmp", "Target": "/t", "BindOptions": {}}]),
    ("EndpointSpec", None, "EndpointSpec", {}),
    ("EndpointSpec", {}, "EndpointSpec", {"Mode": "vip", "Ports": []}),
    ("EndpointSpec", {"Ports": [{"TargetPort": 85}]},
     "EndpointSpec", {"Ports": [{"TargetPort": 85, "Protocol": "tcp"}]}),
    ("UpdateConfig", {"Parallelism": 0, "Monitor": 1}, "UpdateConfig", None),
    ("TaskTemplate.Placement", NOWHERE, "TaskTemplate.Placement", None),
]  # fmt: skip


def raw_cases() -> Iterator[Case]:
    for number, (path, old, changed_path, new) in enumerate(RAW):
        before = service("", Placement=NOWHERE)
        put(path, old)(before)
        name = f"raw-{number}-{path.rpartition('.')[2]}"
        yield case(name, before, put(changed_path, new), ready=PENDING, raw=True)


def every_key_cases(spec: dict[str, Any]) -> Iterator[Case]:
    before = copy.deepcopy(spec)
    before["Mode"]["Replicated"]["Replicas"] = 1
    before["TaskTemplate"]["Placement"]["Constraints"] = NOWHERE["Constraints"]
    for number, steps in enumerate(list(leaves(before))):

        def change(after: dict[str, Any], steps: Steps = steps) -> None:
            parent = at(after, steps[:-1])
            parent[steps[-1]] = another(parent[steps[-1]])

        name = f"key-{number}-{'-'.join(str(step) for step in steps if step not in ('TaskTemplate', 'ContainerSpec'))}"
        yield case("".join(letter if letter.isalnum() else "-" for letter in name)[:60].rstrip("-"), before, change,
                   ready=PENDING)  # fmt: skip


class Swarm:
    """The walk's way to a real swarm: create, plan, write and look, all services together."""

    def __init__(self, cluster: DockerCluster, cases: list[Case]) -> None:
        self.cluster = cluster
        self.cases = [*cases, case(CONTROL, service(""), IMAGE)]
        self.seen = {one.name: Seen() for one in self.cases}

    async def walk(self) -> dict[str, Seen]:
        await self._create()
        actual = await self._until(self._is_ready, START_WAIT_S)
        ids = {(kind, found.name): found.id for kind in Kind for found in actual.of_kind(kind)}
        for name, (found, body) in self._bodies(actual).items():
            try:
                await self._send(found, with_ids(body, ids))
            except SwarmctlError as error:
                self.seen[name].refused = error.problems[0].why or error.problems[0].what
                self.seen[name].predicted = TaskCounts()
        await self._until(lambda now: self._happened(now)[CONTROL].is_right, EFFECT_WAIT_S)
        last = await self._until(lambda now: all(one.is_right for one in self._happened(now).values()), EFFECT_WAIT_S)
        return self._happened(last)

    async def _create(self) -> None:
        actual = await self.cluster.observe()
        ids = {(kind, found.name): found.id for kind in Kind for found in actual.of_kind(kind)}
        for one in self.cases:
            await self.cluster.create(Kind.SERVICE, with_ids(one.before, ids))

    async def _send(self, found: ObservedObject, body: dict[str, Any]) -> None:
        """Send an update; again where only the swarm itself has written to the service meanwhile."""
        try:
            await self.cluster.update(Kind.SERVICE, found.id, found.version, body)
        except SwarmctlError:
            now = await self.cluster.get(Kind.SERVICE, found.id)
            if now.version == found.version or now.spec != found.spec:
                raise
            await self.cluster.update(Kind.SERVICE, found.id, now.version, body)

    async def _until(self, condition: Callable[[ActualState], bool], wait_s: float) -> ActualState:
        """Look until `condition` holds or the time is up; return what was seen last."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            actual = await self.cluster.observe()
            if condition(actual) or asyncio.get_running_loop().time() > deadline:
                return actual
            await asyncio.sleep(POLL_S)

    def _is_ready(self, actual: ActualState) -> bool:
        services = actual.by_name(Kind.SERVICE)
        ready = True
        for one in self.cases:
            tasks = [task for task in actual.tasks_of(services[one.name].id) if task.state in one.ready]
            self.seen[one.name].before = list(actual.tasks_of(services[one.name].id))
            ready = ready and len(tasks) == one.tasks
        return ready

    def _bodies(self, actual: ActualState) -> dict[str, tuple[ObservedObject, dict[str, Any]]]:
        """Predict, and return what to send: {service name: (the service, body)}, the control last."""
        wanted = tuple(
            DesiredObject(Kind.SERVICE, one.name, None, one.after, HERE) for one in self.cases if not one.raw
        )
        desired = DesiredState(
            cluster="", revision="test", commit=None, objects=wanted, stacks=(), policy=Policy(prune=False)
        )
        services = actual.by_name(Kind.SERVICE)
        bodies: dict[str, tuple[ObservedObject, dict[str, Any]]] = {}
        made = plan(desired, actual)
        assert made.blocked == ()
        for action in made.actions:
            assert action.tasks is not None
            assert action.spec is not None
            self.seen[action.name].text, self.seen[action.name].predicted = action.effect_text, action.tasks
            bodies[action.name] = (services[action.name], action.spec)
        context = Context.of(desired, actual)
        rooms = planned_rooms(context, Draft()).by_id
        for one in self.cases:
            if one.raw:
                found = services[one.name]
                tasks = tuple(actual.tasks_of(found.id))
                effect = effects.of_update(effects.Update(found, one.after, (), tasks, rooms, context.id_names))
                self.seen[one.name].text, self.seen[one.name].predicted = effect.text, effect.tasks
                bodies[one.name] = (found, one.after)
        return dict(sorted(bodies.items()))

    def _happened(self, actual: ActualState) -> dict[str, Seen]:
        services = actual.by_name(Kind.SERVICE)
        for name, seen in self.seen.items():
            found = services[name]
            is_job = effects.mode_of(found.spec).endswith("Job")
            seen.observed = between(seen.before, list(actual.tasks_of(found.id)), is_job=is_job)
        return self.seen


def between(before: list[ObservedTask], after: list[ObservedTask], *, is_job: bool) -> TaskCounts:
    """What happened to tasks from one look to another, told by their ids alone."""
    known = {task.id for task in before}
    live = {task.id for task in after if task.desired_state <= TaskState.COMPLETE}
    ended = {task.id for task in before if task.desired_state > TaskState.COMPLETE or task.state > TaskState.RUNNING}
    new = {slot_of(task) for task in after if task.id not in known and task.desired_state < TaskState.REMOVE}
    gone = {slot_of(task) for task in before if task.id not in live and task.id not in ended}
    if is_job:
        return TaskCounts(start=len(new), stop=len(gone))
    slots = {slot_of(task) for task in before}
    return TaskCounts(restart=len(new & slots), start=len(new - slots), stop=len(gone - new))


def slot_of(task: ObservedTask) -> str:
    return str(task.slot) if task.slot else task.node_id or task.id


def walked(host: str, cases: list[Case]) -> dict[str, Seen]:
    async def walk() -> dict[str, Seen]:
        cluster = await connect(EndpointSettings(host=host))
        try:
            return await Swarm(cluster, cases).walk()
        finally:
            await cluster.close()

    return asyncio.run(walk())


def judged(seen: dict[str, Seen], record: Callable[[str, object], None]) -> tuple[int, int]:
    """Say how many predictions were right, and fail with each that was not. Returns (right, refused)."""
    tried = {name: one for name, one in seen.items() if not one.refused}
    wrong = [
        f"{name}: said {one.text!r} {numbers(one.predicted)}, saw {numbers(one.observed)}"
        for name, one in tried.items()
        if not one.is_right
    ]
    summary = f"effects predicted: {len(tried) - len(wrong)} right of {len(tried)}, refused {len(seen) - len(tried)}"
    record("effects", summary)
    print(summary)
    assert not wrong, "\n".join(
        [summary, *wrong, *(f"refused {name}: {one.refused}" for name, one in seen.items() if one.refused)]
    )
    return len(tried), len(seen) - len(tried)


@pytest.fixture
def swept(lab: Lab) -> Iterator[Lab]:
    with lab.manager.client() as client:
        client.create_network("effects-net", driver="overlay", attachable=True)
    yield lab
    sweep(lab)


@pytest.mark.engine
def test_the_predicted_effect_is_what_happens_to_running_tasks(swept: Lab, record_property):
    seen = walked(swept.manager.host, [*running_cases(), *ended_cases(), *raw_cases()])
    tried, _ = judged(seen, record_property)
    assert tried >= 100


@pytest.mark.engine
def test_the_predicted_effect_is_what_happens_for_every_key_of_a_stack(swept: Lab, tmp_path: Path, record_property):
    (tmp_path / "w.yaml").write_text(STACK)
    (tmp_path / "app.ini").write_text("x = 1\n")
    inputs = LoadInputs(read_schemas(), {}, "/root", str(tmp_path))
    desired = load_stack_file(DirectoryRevision.open(str(tmp_path / "w.yaml")), "w.yaml", "w", inputs)
    full = next(one for one in desired.of_kind(Kind.SERVICE) if one.name == "w_full")

    async def make_what_it_uses() -> None:
        cluster = await connect(EndpointSettings(host=swept.manager.host))
        for kind in (Kind.NETWORK, Kind.SECRET, Kind.CONFIG):
            for one in desired.of_kind(kind):
                await cluster.create(kind, one.spec)
        await cluster.close()

    asyncio.run(make_what_it_uses())
    seen = walked(swept.manager.host, list(every_key_cases(full.spec)))
    tried, refused = judged(seen, record_property)
    assert tried >= 65, (tried, refused)


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_the_embedded_swarm_does_what_is_predicted_as_well(backend: Backend, record_property):
    seen = walked(backend.host, [*running_cases(), *ended_cases()])
    tried, _ = judged(seen, record_property)
    assert tried >= 20
