"""Nodes that stay away: their tasks are given up after a day."""

from __future__ import annotations

from datetime import timedelta

from reconciler.model.commands import SetNodeState
from reconciler.model.nodes import NodeState
from reconciler.model.tasks import TaskState
from reconciler.orchestration.brain import Brain
from tests.fakes.virtual_swarm import VirtualSwarm, service_spec

DAY_S = 24 * 3600


def test_tasks_of_a_node_that_is_down_for_a_day_are_orphaned() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    (old,) = [task for task in swarm.running(web) if task.node_id == "node2"]
    swarm.lose_node("node2")
    swarm.advance(DAY_S - 1)
    shown = swarm.tables.tasks[old.id]
    assert (shown.state, shown.desired_state) == (TaskState.RUNNING, TaskState.SHUTDOWN)
    swarm.advance(1)
    assert swarm.tables.tasks[old.id].state is TaskState.ORPHANED
    assert len(swarm.running(web)) == 2


def test_a_node_that_is_back_in_time_reports_for_itself() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    (old,) = [task for task in swarm.running(web) if task.node_id == "node2"]
    swarm.lose_node("node2")
    swarm.advance(DAY_S - 60)
    swarm.find_node("node2")
    swarm.advance(120)
    assert swarm.tables.tasks[old.id].state is TaskState.SHUTDOWN


def test_the_day_counts_from_when_it_went_down_and_survives_a_new_leader() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.create(service_spec(replicas=2))
    swarm.settle()
    swarm.lose_node("node2")
    down_at = swarm.now
    swarm.advance(3600)
    swarm.do(SetNodeState(at=swarm.now, id="node2", state=NodeState.DOWN, message="told again"))
    swarm.set_node("node2", Labels={"a": "b"})
    assert Brain(swarm.tables).decide(swarm.now, swarm.new_id).wake_at == down_at + timedelta(days=1)


def test_the_task_of_a_job_is_freed_by_its_end() -> None:
    """The only way in which Swarm replaces a job's task whose node is gone."""
    swarm = VirtualSwarm(nodes=2)
    job = {"Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}}
    spec = service_spec(task={"Placement": {"Constraints": ["node.hostname == node2"]}}) | job
    web = swarm.create(spec)
    swarm.settle()
    swarm.lose_node("node2")
    swarm.advance(DAY_S - 1)
    assert len(swarm.running(web)) == 1
    swarm.advance(30)
    assert [task.state for task in swarm.tasks(web)] == [TaskState.ORPHANED, TaskState.PENDING]


def test_unknown_and_disconnected_nodes_keep_their_tasks_and_take_no_new_ones() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    before = {task.id for task in swarm.running(web)}
    for state in (NodeState.UNKNOWN, NodeState.DISCONNECTED):
        swarm.do(SetNodeState(at=swarm.now, id="node2", state=state, message=""))
        swarm.rest()
        assert {task.id for task in swarm.running(web)} == before
    swarm.update(web, service_spec(replicas=4))
    swarm.rest()
    assert [task.node_id for task in swarm.running(web) if task.id not in before] == ["node1", "node1"]
