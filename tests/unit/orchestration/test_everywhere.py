"""Stories of global services."""

from __future__ import annotations

from reconciler.model.tasks import TaskState
from tests.fakes.virtual_swarm import VirtualSwarm, service_spec


def nodes(swarm: VirtualSwarm, service_id: str) -> list[str]:
    return sorted(task.node_id for task in swarm.running(service_id))


def test_every_node_gets_one_task_and_a_new_node_too() -> None:
    swarm = VirtualSwarm(nodes=2)
    agent = swarm.create(service_spec("agent", replicas=None))
    swarm.settle()
    assert nodes(swarm, agent) == ["node1", "node2"]
    swarm.add_node("node3")
    swarm.settle()
    assert nodes(swarm, agent) == ["node1", "node2", "node3"]
    assert {task.slot for task in swarm.running(agent)} == {0}


def test_only_nodes_that_meet_the_constraints_have_a_task() -> None:
    swarm = VirtualSwarm(nodes=3)
    spec = service_spec("agent", replicas=None, task={"Placement": {"Constraints": ["node.role == worker"]}})
    agent = swarm.create(spec)
    swarm.settle()
    assert nodes(swarm, agent) == ["node2", "node3"]
    swarm.set_node("node2", Role="manager")
    swarm.rest()
    assert nodes(swarm, agent) == ["node3"]


def test_a_drained_node_loses_its_task_and_gets_one_again_when_active() -> None:
    swarm = VirtualSwarm(nodes=2)
    agent = swarm.create(service_spec("agent", replicas=None))
    swarm.settle()
    swarm.set_node("node2", Availability="drain")
    swarm.rest()
    assert nodes(swarm, agent) == ["node1"]
    swarm.set_node("node2", Availability="active")
    swarm.rest()
    assert nodes(swarm, agent) == ["node1", "node2"]


def test_a_paused_node_keeps_its_task_but_does_not_restart_it() -> None:
    swarm = VirtualSwarm(nodes=2)
    agent = swarm.create(service_spec("agent", replicas=None))
    swarm.settle()
    swarm.set_node("node2", Availability="pause")
    swarm.rest()
    assert nodes(swarm, agent) == ["node1", "node2"]
    swarm.exit(next(task for task in swarm.running(agent) if task.node_id == "node2"))
    swarm.rest()
    assert nodes(swarm, agent) == ["node1"]


def test_a_task_that_does_not_fit_its_node_says_why() -> None:
    swarm = VirtualSwarm(nodes=1)
    reservations = {"Resources": {"Reservations": {"NanoCPUs": 64_000_000_000}}}
    agent = swarm.create(service_spec("agent", replicas=None, task=reservations))
    swarm.settle()
    (task,) = swarm.live(agent)
    assert (task.state, task.status.err) == (TaskState.PENDING, "insufficient resources on 1 node")


def test_tasks_of_a_removed_node_are_gone() -> None:
    swarm = VirtualSwarm(nodes=2)
    agent = swarm.create(service_spec("agent", replicas=None))
    swarm.settle()
    swarm.remove_node("node2")
    swarm.rest()
    assert [task.node_id for task in swarm.tasks(agent)] == ["node1"]


def test_a_task_whose_node_meets_the_constraints_no_more_is_rejected_and_not_replaced() -> None:
    swarm = VirtualSwarm(nodes=2)
    placement = {"Placement": {"Constraints": ["node.labels.zone == a"]}}
    agent = swarm.create(service_spec("agent", replicas=None, task=placement))
    swarm.set_node("node2", Labels={"zone": "a"})
    swarm.settle()
    (task,) = swarm.running(agent)
    swarm.set_node("node2", Labels={})
    swarm.rest()
    (ended,) = swarm.tasks(agent)
    assert (ended.id, ended.state, ended.desired_state) == (task.id, TaskState.REJECTED, TaskState.SHUTDOWN)
    assert ended.status.err == "assigned node no longer meets constraints"
    swarm.set_node("node2", Labels={"zone": "a"})
    swarm.rest()
    assert nodes(swarm, agent) == ["node2"]


def test_a_new_constraint_ends_a_task_without_a_word() -> None:
    swarm = VirtualSwarm(nodes=2)
    agent = swarm.create(service_spec("agent", replicas=None))
    swarm.settle()
    only_workers = {"Placement": {"Constraints": ["node.role == worker"]}}
    swarm.update(agent, service_spec("agent", replicas=None, task=only_workers))
    swarm.rest()
    (ended,) = [task for task in swarm.tasks(agent) if task.node_id == "node1"]
    assert (ended.state, ended.status.err) == (TaskState.SHUTDOWN, "")
    assert nodes(swarm, agent) == ["node2"]
