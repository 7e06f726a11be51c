"""Stories of replicated services: slots, scale, spread."""

from __future__ import annotations

from collections import Counter

from reconciler.model.commands import RemoveService
from reconciler.model.tasks import TaskState
from reconciler.orchestration.decide import decide
from tests.fakes.virtual_swarm import VirtualSwarm, service_spec


def slots(swarm: VirtualSwarm, service_id: str) -> list[int]:
    return sorted(task.slot for task in swarm.live(service_id))


def test_replicas_run_in_slots_from_one_and_spread_over_the_nodes() -> None:
    swarm = VirtualSwarm(nodes=3)
    web = swarm.create(service_spec(replicas=6))
    swarm.settle()
    assert slots(swarm, web) == [1, 2, 3, 4, 5, 6]
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 2, "node2": 2, "node3": 2}


def test_a_converged_swarm_decides_nothing() -> None:
    swarm = VirtualSwarm()
    swarm.create(service_spec("web", replicas=5))
    swarm.create(service_spec("agent", replicas=None))
    swarm.rest()
    decision = decide(swarm.tables, swarm.now, swarm.new_id)
    assert (decision.commands, decision.wake_at) == ((), None)


def test_scaling_up_fills_the_lowest_free_slots_and_leaves_running_tasks_alone() -> None:
    swarm = VirtualSwarm()
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    before = {task.id for task in swarm.live(web)}
    swarm.update(web, service_spec(replicas=4))
    swarm.settle()
    assert slots(swarm, web) == [1, 2, 3, 4]
    assert before < {task.id for task in swarm.live(web)}


def test_scaling_down_takes_from_the_fullest_node_first_and_leaves_no_trace() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.set_node("node2", Availability="drain")
    web = swarm.create(service_spec(replicas=3))
    swarm.settle()
    swarm.set_node("node2", Availability="active")
    swarm.update(web, service_spec(replicas=4))
    swarm.settle()
    assert Counter(task.node_id for task in swarm.live(web)) == {"node1": 3, "node2": 1}

    swarm.update(web, service_spec(replicas=2))
    swarm.settle()
    assert Counter(task.node_id for task in swarm.live(web)) == {"node1": 1, "node2": 1}
    assert slots(swarm, web) == [1, 4]
    assert len(swarm.tasks(web)) == 2


def test_scaling_down_takes_tasks_that_have_no_node_first() -> None:
    swarm = VirtualSwarm(nodes=1)
    web = swarm.create(service_spec(replicas=4, task={"Placement": {"MaxReplicas": 2}}))
    swarm.settle()
    waiting = [task.slot for task in swarm.live(web) if task.state is TaskState.PENDING]
    swarm.update(web, service_spec(replicas=2, task={"Placement": {"MaxReplicas": 2}}))
    swarm.settle()
    assert waiting == [3, 4]
    assert slots(swarm, web) == [1, 2]


def test_scaling_to_zero_and_back_starts_afresh() -> None:
    swarm = VirtualSwarm()
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    swarm.update(web, service_spec(replicas=0))
    swarm.settle()
    assert swarm.tasks(web) == []
    swarm.update(web, service_spec(replicas=2))
    swarm.settle()
    assert slots(swarm, web) == [1, 2]


def test_a_slot_that_is_given_up_takes_its_history_along() -> None:
    swarm = VirtualSwarm()
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    for _ in range(2):
        for task in swarm.running(web):
            swarm.exit(task)
        swarm.advance(10)
    assert len(swarm.tasks(web)) == 6
    swarm.update(web, service_spec(replicas=1))
    swarm.rest()
    assert {task.slot for task in swarm.tasks(web)} == {1}
    assert len(swarm.tasks(web)) == 3


def test_tasks_of_a_removed_service_are_ended_then_forgotten() -> None:
    swarm = VirtualSwarm()
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    swarm.do(RemoveService(at=swarm.now, id=web))
    assert {task.desired_state for task in swarm.tasks()} == {TaskState.REMOVE}
    swarm.settle()
    assert swarm.tasks() == []


def test_a_removed_service_waits_for_a_lost_node_to_confirm() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    swarm.lose_node("node2")
    swarm.do(RemoveService(at=swarm.now, id=web))
    swarm.advance(3600)
    assert [task.node_id for task in swarm.tasks()] == ["node2"]
    swarm.find_node("node2")
    swarm.settle()
    assert swarm.tasks() == []


def test_tasks_of_a_drained_node_move_at_once_and_stay_away() -> None:
    swarm = VirtualSwarm(nodes=3)
    web = swarm.create(service_spec(replicas=3))
    swarm.settle()
    swarm.set_node("node3", Availability="drain")
    swarm.settle()
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 2, "node2": 1}
    assert slots(swarm, web) == [1, 2, 3]
    swarm.set_node("node3", Availability="active")
    swarm.rest()
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 2, "node2": 1}


def test_a_paused_node_keeps_its_tasks_and_gets_no_new_ones() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    swarm.set_node("node2", Availability="pause")
    swarm.update(web, service_spec(replicas=4))
    swarm.settle()
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 3, "node2": 1}


def test_tasks_of_a_lost_node_run_elsewhere_after_the_delay() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    swarm.lose_node("node2")
    swarm.advance(4.9)
    assert len(swarm.running(web)) == 1
    swarm.advance(0.2)
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 2}


def test_tasks_of_a_removed_node_are_orphaned_and_replaced() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=2))
    swarm.settle()
    swarm.remove_node("node2")
    swarm.rest()
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 2}
    assert [task.state for task in swarm.tasks(web) if task.node_id == "node2"] == [TaskState.ORPHANED]


def test_a_changed_label_moves_tasks_whose_constraint_it_breaks() -> None:
    swarm = VirtualSwarm(nodes=2)
    for hostname in ("node1", "node2"):
        swarm.set_node(hostname, Labels={"disk": "ssd"})
    web = swarm.create(service_spec(replicas=2, task={"Placement": {"Constraints": ["node.labels.disk==ssd"]}}))
    swarm.settle()
    swarm.set_node("node2", Labels={})
    swarm.rest()
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 2}
    rejected = [task for task in swarm.tasks(web) if task.state is TaskState.REJECTED]
    assert [task.status.err for task in rejected] == ["assigned node no longer meets constraints"]


def test_a_changed_label_moves_a_task_of_an_older_template_too() -> None:
    """Its service's constraints of now count; and it was clean, since its node met those when they were new."""
    swarm = VirtualSwarm(nodes=2)
    for hostname in ("node1", "node2"):
        swarm.set_node(hostname, Labels={"zone": "a"})
    web = swarm.create(service_spec(replicas=1))
    swarm.settle()
    (task,) = swarm.running(web)
    swarm.update(web, service_spec(replicas=1, task={"Placement": {"Constraints": ["node.labels.zone == a"]}}))
    swarm.rest()
    assert swarm.running(web) == [task]
    swarm.set_node(task.node_id, Labels={})
    swarm.rest()
    assert swarm.tables.tasks[task.id].status.err == "assigned node no longer meets constraints"
    assert [one.node_id for one in swarm.running(web)] == [{"node1": "node2", "node2": "node1"}[task.node_id]]
