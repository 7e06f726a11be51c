"""What a plan says of tasks is what then happens to them, on a real swarm, for every field of a ServiceSpec.

One service for each field (effect_cases.py), all created at once and updated at once; a change of nothing but a field
shows which tasks Swarm replaces for it. The prediction is the plan's; what happened is told by task ids alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.docker.cluster import DockerCluster, connect
from reconciler.adapters.schema_files import read_schemas
from reconciler.controller.write import with_ids
from reconciler.manifests.load import LoadInputs, load_stack_file
from reconciler.model import modes
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
from tests.e2e.effect_cases import (
    IMAGE,
    LABEL,
    TEMPLATE,
    Case,
    case,
    ended_cases,
    every_key_cases,
    mode,
    put,
    raw_cases,
    running_cases,
    service,
)
from tests.e2e.test_field_walk import STACK
from tests.lab.lab import Lab
from tests.lab.swept import sweep

HERE = Place("stacks/effects.yaml", 1, 1, "services")
START_WAIT_S = 120.0
EFFECT_WAIT_S = 60.0
POLL_S = 0.2
CONTROL = "zzz-control"
"""The service that is updated last: once its task is replaced, Swarm has looked at all the others as well."""


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


class Swarm:
    """The walk's way to a real swarm: create, plan, write and look, all services together.

    The node `paused` takes no new tasks from the moment on that all is created.
    """

    def __init__(self, cluster: DockerCluster, cases: list[Case], paused: str | None = None) -> None:
        self.cluster = cluster
        self.paused = paused
        self.cases = [*cases, case(CONTROL, service(""), IMAGE)]
        self.seen = {one.name: Seen() for one in self.cases}

    async def walk(self) -> dict[str, Seen]:
        await self._create()
        actual = await self._until(self._is_ready, START_WAIT_S)
        if self.paused:
            node = actual.by_name(Kind.NODE)[self.paused]
            await self.cluster.update(Kind.NODE, node.id, node.version, {**node.spec, "Availability": "pause"})
            actual = await self.cluster.observe()
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
            is_job = modes.is_job(found.spec)
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


def walked(host: str, cases: list[Case], paused: str | None = None) -> dict[str, Seen]:
    async def walk() -> dict[str, Seen]:
        cluster = await connect(EndpointSettings(host=host))
        try:
            return await Swarm(cluster, cases, paused).walk()
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
    touched = sum(1 for one in tried.values() if any(numbers(one.predicted)))
    summary += f"; {touched} of them touch tasks, {len(tried) - touched} touch none"
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


@pytest.mark.engine
def test_the_predicted_effect_is_what_happens_beside_a_paused_node(swept: Lab, record_property):
    everywhere = mode(Global={})
    worker = put(f"{TEMPLATE}Placement", {"Constraints": ["node.role == worker"]})
    cases = [
        case("paused-global-image", everywhere, IMAGE, tasks=3),
        case("paused-global-label", everywhere, LABEL, tasks=3),
        case("paused-global-fewer-nodes", everywhere, worker, IMAGE, tasks=3),
        case("paused-replicated-image", service("", replicas=4), IMAGE, tasks=4),
    ]
    judged(walked(swept.manager.host, cases, paused="node3"), record_property)


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_the_embedded_swarm_does_what_is_predicted_as_well(backend: Backend, record_property):
    backend.engine.create_network("effects-net", driver="overlay", attachable=True)
    seen = walked(backend.host, [*running_cases(), *ended_cases()])
    tried, _ = judged(seen, record_property)
    assert tried >= 20
