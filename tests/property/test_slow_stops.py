"""Tasks that take their time to end: however fast services change, no slot ever runs two of them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model.nodes import Availability
from reconciler.model.tables import TaskRecord
from reconciler.model.tasks import TaskState
from tests.fakes.virtual_swarm import VirtualSwarm, service_spec
from tests.property.test_orchestration_safety import play, slot_of

STOPS_IN = timedelta(seconds=2)
HOSTNAMES = ("node1", "node2")


class Slow(VirtualSwarm):
    """A swarm whose running tasks need STOPS_IN to end when they are told to."""

    def __init__(self, nodes: int) -> None:
        self.told: dict[str, datetime] = {}
        super().__init__(nodes)

    def _obey_one(self, task: TaskRecord) -> bool:
        told = self.told.setdefault(task.id, self.now) if not task.is_live else self.now
        if task.state is TaskState.RUNNING and not task.is_live and self.now < told + STOPS_IN:
            return False
        return super()._obey_one(task)

    def crowded(self) -> list[Any]:
        """Return the slots in which two tasks run."""
        runs = [task for task in self.tasks() if TaskState.STARTING <= task.state <= TaskState.RUNNING]
        return [slot for slot, count in Counter(slot_of(self, task) for task in runs).items() if count > 1]


@st.composite
def changes(draw: st.DrawFn) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(["put", "put", "put", "node", "exit", "wait"]))
    if kind == "put":
        name = draw(st.sampled_from(["a", "c"]))
        replicas = None if name == "c" else draw(st.integers(0, 3))
        image = draw(st.sampled_from(["app:1", "app:2", "bad:1"]))
        update = {"Parallelism": 0, "Monitor": 0, "FailureAction": draw(st.sampled_from(["pause", "continue"]))}
        task = {"RestartPolicy": {"Condition": "any", "Delay": draw(st.sampled_from([0, 10**9]))}}
        return kind, name, service_spec(name, replicas=replicas, image=image, task=task, UpdateConfig=update)
    if kind == "node":
        return kind, draw(st.sampled_from(HOSTNAMES)), {"Availability": draw(st.sampled_from(list(Availability)))}
    if kind == "exit":
        return kind, draw(st.integers(0, 20)), 1
    return kind, draw(st.sampled_from([0.5, 1, 3]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(changes(), min_size=2, max_size=15))
def test_no_slot_runs_two_tasks_while_one_takes_its_time_to_end(story: list[tuple[Any, ...]]) -> None:
    swarm = Slow(nodes=2)
    swarm.exits = lambda task: 1 if task.spec["ContainerSpec"]["Image"] == "bad:1" else None
    for event in story:
        play(swarm, event)
        swarm.settle()
        assert swarm.crowded() == []
    swarm.exits = lambda _task: None
    for _ in range(30):
        swarm.advance(3)
        assert swarm.crowded() == []
    waiting = [task for task in swarm.live() if task.state is TaskState.READY and task.desired_state <= TaskState.READY]
    assert waiting == []  # nobody waits for what has ended
