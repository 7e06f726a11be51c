"""Stories of jobs."""

from __future__ import annotations

from typing import Any

import pytest

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


def states(swarm: VirtualSwarm, job_id: str) -> list[tuple[str, TaskState]]:
    return sorted((task.node_id, task.state) for task in swarm.tasks(job_id))


@pytest.mark.parametrize("availability", ["drain", "pause"])
@pytest.mark.parametrize("mode", [{"GlobalJob": {}}, {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 2}}])
def test_tasks_of_a_job_run_on_where_their_node_is_drained_or_paused(mode: JsonObject, availability: str) -> None:
    swarm = VirtualSwarm(nodes=2)
    job_id = swarm.create(job(mode))
    swarm.settle()
    for seen in (availability, "active"):
        swarm.set_node("node2", Availability=seen)
        swarm.advance(60)
        assert states(swarm, job_id) == [("node1", TaskState.RUNNING), ("node2", TaskState.RUNNING)]


def test_a_global_job_leaves_a_drained_node_and_comes_to_an_active_one_once_a_task_of_it_has_ended() -> None:
    """Seen on an engine: it looks at the nodes when the job has changed, and not when they have."""
    swarm = VirtualSwarm(nodes=3)
    job_id = swarm.create(job({"GlobalJob": {}}, RestartPolicy={"Delay": 0}))
    swarm.settle()
    swarm.set_node("node2", Availability="drain")
    swarm.settle()
    swarm.exit(next(task for task in swarm.running(job_id) if task.node_id == "node3"))
    swarm.rest()
    left = [("node1", TaskState.RUNNING), ("node2", TaskState.SHUTDOWN), ("node3", TaskState.RUNNING)]
    assert states(swarm, job_id) == [*left, ("node3", TaskState.FAILED)]
    swarm.set_node("node2", Availability="active")
    swarm.advance(60)
    assert sorted(task.node_id for task in swarm.running(job_id)) == ["node1", "node3"]
    swarm.exit(next(task for task in swarm.running(job_id) if task.node_id == "node1"), 0)
    swarm.rest()
    assert sorted(task.node_id for task in swarm.running(job_id)) == ["node2", "node3"]


def test_an_update_of_a_global_job_comes_to_the_nodes_that_are_there_then() -> None:
    swarm = VirtualSwarm(nodes=2)
    job_id = swarm.create(job({"GlobalJob": {}}))
    swarm.settle()
    swarm.add_node("node3")
    swarm.set_node("node2", Availability="drain")
    swarm.advance(60)
    assert sorted(task.node_id for task in swarm.running(job_id)) == ["node1", "node2"]
    swarm.update(job_id, job({"GlobalJob": {}}))
    swarm.rest()
    assert sorted(task.node_id for task in swarm.running(job_id)) == ["node1", "node3"]


def test_a_global_job_that_found_no_node_begins_on_the_first_that_comes() -> None:
    swarm = VirtualSwarm(nodes=1)
    swarm.set_node("node1", Availability="drain")
    job_id = swarm.create(job({"GlobalJob": {}}))
    swarm.settle()
    assert swarm.tasks(job_id) == []
    swarm.set_node("node1", Availability="active")
    swarm.settle()
    assert [task.node_id for task in swarm.running(job_id)] == ["node1"]


def test_a_task_of_a_global_job_that_fails_on_a_paused_node_is_tried_again_when_that_is_active() -> None:
    swarm = VirtualSwarm(nodes=1)
    job_id = swarm.create(job({"GlobalJob": {}}, RestartPolicy={"Delay": 0}))
    swarm.settle()
    swarm.set_node("node1", Availability="pause")
    swarm.exit(swarm.running(job_id)[0])
    swarm.rest()
    (waiting,) = swarm.live(job_id)
    assert (waiting.state, waiting.status.err) == (TaskState.PENDING, "1 node not available for new tasks")
    swarm.set_node("node1", Availability="active")
    swarm.settle()
    assert [task.id for task in swarm.running(job_id)] == [waiting.id]


def test_a_task_of_a_global_job_whose_node_loses_a_label_waits_there_until_it_has_it_again() -> None:
    swarm = VirtualSwarm(nodes=1)
    swarm.set_node("node1", Labels={"disk": "ssd"})
    placement = {"Constraints": ["node.labels.disk==ssd"]}
    job_id = swarm.create(job({"GlobalJob": {}}, RestartPolicy={"Delay": 0}, Placement=placement))
    swarm.settle()
    swarm.set_node("node1", Labels={})
    swarm.rest()
    (waiting,) = swarm.live(job_id)
    assert waiting.status.err == "scheduling constraints not satisfied on 1 node"
    assert waiting.state is TaskState.PENDING
    swarm.set_node("node1", Labels={"disk": "ssd"})
    swarm.settle()
    assert [task.id for task in swarm.running(job_id)] == [waiting.id]


def test_a_job_stops_when_all_that_may_run_at_once_are_given_up() -> None:
    """Seen on an engine, for one at a time: 1 of 3 is tried, and the others never."""
    swarm = VirtualSwarm()
    swarm.exits = lambda task: 0 if task.slot == 1 else 1
    mode = {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 9}}
    job_id = swarm.create(job(mode, RestartPolicy={"Condition": "none"}))
    swarm.rest()
    assert sorted((task.slot, task.state) for task in swarm.tasks(job_id)) == [
        (0, TaskState.FAILED),
        (1, TaskState.COMPLETE),
        (2, TaskState.FAILED),
    ]


def test_attempts_of_older_iterations_are_kept_as_long_as_other_history() -> None:
    """Five, the limit of the swarm, and not the attempts that the policy allows."""
    swarm = VirtualSwarm()
    swarm.exits = lambda _task: 1
    spec = job({"ReplicatedJob": {}}, RestartPolicy={"Delay": 0, "MaxAttempts": 1})
    job_id = swarm.create(spec)
    for kept in (2, 4, 5, 5):
        swarm.rest()
        assert [task.state for task in swarm.tasks(job_id)] == [TaskState.FAILED] * kept
        swarm.update(job_id, spec)


def test_a_global_job_that_completed_on_a_node_is_not_run_there_again() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.exits = lambda _task: 0
    job_id = swarm.create(job({"GlobalJob": {}}))
    swarm.rest()
    for availability in ("drain", "active"):
        swarm.set_node("node2", Availability=availability)
        swarm.rest()
    assert [task.state for task in swarm.tasks(job_id)] == [TaskState.COMPLETE] * 2
