"""Stories of jobs."""

from __future__ import annotations

from typing import Any

from reconciler.model.commands import RollBackService
from reconciler.model.json import JsonObject
from reconciler.model.tasks import TaskState
from tests.fakes.virtual_swarm import SECOND, VirtualSwarm, service_spec


def job(mode: JsonObject, **task: Any) -> JsonObject:
    return {**service_spec("job", task=task), "Mode": mode}


def test_a_replicated_job_runs_so_many_tasks_to_completion_some_at_a_time() -> None:
    most: list[int] = []

    def check(swarm: VirtualSwarm) -> None:
        most.append(sum(1 for task in swarm.live() if not task.has_ended))

    swarm = VirtualSwarm(check=check)
    swarm.exits = lambda _task: 0
    job_id = swarm.create(job({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 5}}))
    swarm.rest()
    assert [task.state for task in swarm.tasks(job_id)] == [TaskState.COMPLETE] * 5
    assert sorted(task.slot for task in swarm.tasks(job_id)) == [0, 1, 2, 3, 4]
    assert max(most) == 2


def test_a_global_job_runs_once_on_every_node() -> None:
    swarm = VirtualSwarm(nodes=3)
    swarm.exits = lambda _task: 0
    job_id = swarm.create(job({"GlobalJob": {}}))
    swarm.rest()
    assert sorted(task.node_id for task in swarm.tasks(job_id)) == ["node1", "node2", "node3"]
    assert {task.state for task in swarm.tasks(job_id)} == {TaskState.COMPLETE}


def test_a_failed_task_of_a_job_is_tried_again_until_it_completes() -> None:
    swarm = VirtualSwarm()
    tries: list[str] = []

    def exits(task: Any) -> int:
        tries.append(task.id)
        return 0 if len(tries) == 3 else 1

    swarm.exits = exits
    job_id = swarm.create(job({"ReplicatedJob": {}}, RestartPolicy={"Delay": SECOND}))
    swarm.rest()
    states = [task.state for task in swarm.tasks(job_id)]
    assert states == [TaskState.FAILED, TaskState.FAILED, TaskState.COMPLETE]


def test_a_job_gives_up_after_its_attempts() -> None:
    swarm = VirtualSwarm()
    swarm.exits = lambda _task: 1
    job_id = swarm.create(job({"ReplicatedJob": {}}, RestartPolicy={"Delay": SECOND, "MaxAttempts": 1}))
    swarm.rest()
    assert [task.state for task in swarm.tasks(job_id)] == [TaskState.FAILED, TaskState.FAILED]
    assert swarm.live(job_id) == []


def test_an_update_runs_the_job_again() -> None:
    swarm = VirtualSwarm()
    swarm.exits = lambda _task: 0
    spec = job({"ReplicatedJob": {}})
    job_id = swarm.create(spec)
    swarm.rest()
    swarm.update(job_id, spec)
    swarm.rest()
    assert swarm.service(job_id).job_iteration == 1
    assert [(task.state, task.job_iteration) for task in swarm.tasks(job_id)] == [
        (TaskState.COMPLETE, 0),
        (TaskState.COMPLETE, 1),
    ]


def test_a_job_that_is_rolled_back_runs_again() -> None:
    swarm = VirtualSwarm()
    swarm.exits = lambda _task: 0
    job_id = swarm.create(job({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}}))
    swarm.rest()
    swarm.update(job_id, job({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 2}}))
    swarm.rest()
    version = swarm.service(job_id).version
    swarm.do(RollBackService(at=swarm.now, id=job_id, version=version, message="asked for", by_hand=True))
    swarm.rest()
    assert [task.job_iteration for task in swarm.tasks(job_id)].count(2) == 3
    assert {task.state for task in swarm.tasks(job_id)} == {TaskState.COMPLETE}


def test_an_update_of_a_global_job_leaves_no_task_of_the_old_iteration() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.exits = lambda _task: 0
    job_id = swarm.create(job({"GlobalJob": {}}))
    swarm.rest()
    swarm.update(job_id, job({"GlobalJob": {}}))
    swarm.rest()
    assert [(task.state, task.job_iteration) for task in swarm.tasks(job_id)] == [(TaskState.COMPLETE, 1)] * 2


def test_a_drained_node_loses_its_task_of_a_global_job_and_has_another_when_it_is_back() -> None:
    swarm = VirtualSwarm(nodes=2)
    job_id = swarm.create(job({"GlobalJob": {}}))
    swarm.settle()
    swarm.set_node("node2", Availability="drain")
    swarm.rest()
    assert [(task.node_id, task.state) for task in swarm.tasks(job_id)] == [
        ("node1", TaskState.RUNNING),
        ("node2", TaskState.SHUTDOWN),
    ]
    swarm.set_node("node2", Availability="active")
    swarm.exits = lambda _task: 0
    swarm.rest()
    assert sorted(task.node_id for task in swarm.running(job_id)) == ["node1"]
    assert [task.node_id for task in swarm.tasks(job_id) if task.state is TaskState.COMPLETE] == ["node2"]


def test_a_global_job_that_completed_on_a_node_is_not_run_there_again() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.exits = lambda _task: 0
    job_id = swarm.create(job({"GlobalJob": {}}))
    swarm.rest()
    for availability in ("drain", "active"):
        swarm.set_node("node2", Availability=availability)
        swarm.rest()
    assert [task.state for task in swarm.tasks(job_id)] == [TaskState.COMPLETE] * 2
