"""Stories of tasks that end: restart conditions, delays, attempts, history."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from reconciler.model.json import JsonObject
from reconciler.model.tables import UpdateState
from reconciler.model.tasks import TaskState
from tests.fakes.virtual_swarm import SECOND, VirtualSwarm, service_spec


def policy(**fields: Any) -> JsonObject:
    return service_spec(task={"RestartPolicy": fields})


def started(spec: JsonObject) -> tuple[VirtualSwarm, str]:
    swarm = VirtualSwarm()
    service_id = swarm.create(spec)
    swarm.settle()
    return swarm, service_id


def test_a_failed_task_is_replaced_in_its_slot_after_five_seconds() -> None:
    swarm, web = started(service_spec())
    (first,) = swarm.running(web)
    swarm.exit(first)
    swarm.advance(4.9)
    (second,) = swarm.live(web)
    assert (second.state, second.desired_state) == (TaskState.READY, TaskState.READY)
    swarm.advance(0.2)
    (second,) = swarm.running(web)
    assert (second.slot, second.id != first.id) == (first.slot, True)
    ended = swarm.tables.tasks[first.id]
    assert (ended.state, ended.desired_state, ended.status.err) == (
        TaskState.FAILED,
        TaskState.SHUTDOWN,
        "task: non-zero exit (1)",
    )


def test_a_delay_of_zero_restarts_at_once() -> None:
    swarm, web = started(policy(Delay=0))
    swarm.advance(10)
    swarm.exit(swarm.running(web)[0])
    swarm.settle()
    assert len(swarm.running(web)) == 1


def test_a_delay_of_zero_is_no_tight_loop_for_a_task_that_ends_at_once() -> None:
    swarm = VirtualSwarm()
    swarm.exits = lambda _task: 1
    web = swarm.create(policy(Delay=0))
    swarm.advance(1)
    starts = sorted(task.running_at for task in swarm.tasks(web) if task.running_at)
    assert [(later - earlier).total_seconds() for earlier, later in pairwise(starts)] == [0.1] * (len(starts) - 1)


@pytest.mark.parametrize(
    ("condition", "exit_code", "restarts"),
    [
        ("any", 0, True),
        ("any", 1, True),
        ("on-failure", 0, False),
        ("on-failure", 1, True),
        ("none", 0, False),
        ("none", 1, False),
    ],
)
def test_the_condition_decides_about_a_restart(condition: str, exit_code: int, restarts: bool) -> None:
    swarm, web = started(policy(Condition=condition, Delay=SECOND))
    swarm.exit(swarm.running(web)[0], exit_code)
    swarm.rest()
    assert bool(swarm.running(web)) is restarts
    assert len(swarm.tasks(web)) == (2 if restarts else 1)


def test_a_task_that_must_not_restart_runs_again_only_when_its_template_changes() -> None:
    swarm, web = started(policy(Condition="none"))
    swarm.exit(swarm.running(web)[0], 0)
    swarm.rest()
    assert swarm.live(web) == []
    swarm.update(web, {**policy(Condition="none"), "Labels": {"a": "b"}})
    swarm.rest()
    assert swarm.live(web) == []
    swarm.update(web, service_spec(image="app:2", task={"RestartPolicy": {"Condition": "none"}}))
    swarm.rest()
    assert len(swarm.running(web)) == 1


def test_after_max_attempts_a_task_stays_dead() -> None:
    swarm, web = started(policy(Delay=SECOND, MaxAttempts=2))
    for _ in range(3):
        swarm.exit(swarm.running(web)[0])
        swarm.advance(2)
    swarm.advance(1000)
    assert swarm.live(web) == []
    assert len(swarm.tasks(web)) == 3


@pytest.mark.parametrize("before", [{"Condition": "none"}, {"Condition": "any", "MaxAttempts": 1}])
def test_a_slot_that_was_given_up_is_begun_anew_by_the_update_of_its_template(before: JsonObject) -> None:
    """Seen on an engine: what may be restarted by the new policy alone is not, and the update tells how it went."""
    swarm = VirtualSwarm()
    swarm.exits = lambda _task: 1
    spec = {"Name": "web", "Mode": {"Replicated": {"Replicas": 2}}, "UpdateConfig": {"Parallelism": 1}}
    web = swarm.create({**service_spec(task={"RestartPolicy": {"Delay": 0, **before}}), **spec})
    swarm.rest()
    after = {"RestartPolicy": {"Delay": 0, "Condition": "any", "MaxAttempts": 1}}
    swarm.update(web, {**service_spec(image="app:2", task=after), **spec})
    swarm.rest()
    update = swarm.service(web).update
    assert update is not None
    assert update.state is UpdateState.PAUSED
    begun = [task for task in swarm.tasks(web) if task.spec_version == swarm.service(web).spec_version]
    assert len(begun) == 2 == len({task.slot for task in begun}) + 1  # one slot at a time, and the first has failed


def test_attempts_outside_of_the_window_do_not_count() -> None:
    swarm, web = started(policy(Delay=SECOND, MaxAttempts=1, Window=60 * SECOND))
    for _ in range(5):
        swarm.exit(swarm.running(web)[0])
        swarm.advance(100)
    assert len(swarm.running(web)) == 1
    swarm.exit(swarm.running(web)[0])
    swarm.advance(2)
    swarm.exit(swarm.running(web)[0])
    swarm.advance(1000)
    assert swarm.live(web) == []


def test_history_keeps_five_tasks_a_slot() -> None:
    swarm, web = started(policy(Delay=0))
    for _ in range(9):
        swarm.exit(swarm.running(web)[0])
        swarm.advance(1)
    assert len(swarm.tasks(web)) == 5
    assert len(swarm.running(web)) == 1


def test_a_task_that_ends_within_its_own_delay_waits_for_the_rest_of_it() -> None:
    swarm, web = started(policy(Delay=10 * SECOND))
    swarm.exit(swarm.running(web)[0])
    swarm.advance(1)
    (waiting,) = swarm.live(web)
    swarm.exit(waiting)
    swarm.advance(8)
    assert [task.id for task in swarm.live(web)] == [waiting.id]
    swarm.advance(1.5)
    assert [task.id for task in swarm.live(web)] != [waiting.id]


def test_a_crash_loop_goes_on_for_ever_at_the_pace_of_the_delay() -> None:
    swarm = VirtualSwarm()
    swarm.exits = lambda _task: 1
    web = swarm.create(service_spec())
    swarm.advance(60)
    newest = max(task.created_index for task in swarm.tasks(web))
    swarm.advance(5)
    assert max(task.created_index for task in swarm.tasks(web)) > newest
    assert len(swarm.tasks(web)) == 5


def test_a_replacement_waits_for_a_slow_predecessor_but_not_for_ever() -> None:
    swarm, web = started(service_spec())
    (old,) = swarm.running(web)
    swarm.stubborn.append(old.id)
    swarm.update(web, service_spec(image="app:2"))
    swarm.advance(59)
    assert swarm.tables.tasks[old.id].desired_state is TaskState.SHUTDOWN
    (new,) = swarm.live(web)
    assert new.state is TaskState.READY
    swarm.advance(2)
    assert [task.id for task in swarm.running(web)] == [new.id]
