"""Global services: one task on every node that meets the constraints."""

from __future__ import annotations

from reconciler.model.constraints import constraints_hold
from reconciler.model.json import dig
from reconciler.model.nodes import Availability, NodeRecord, NodeState
from reconciler.model.tables import ServiceRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.replicated import fillers
from reconciler.orchestration.restart import restart_ended, start_waiting
from reconciler.orchestration.rollout import begins_update, roll
from reconciler.orchestration.turn import Replacement, SlotKey, Turn, final_state, in_order, is_usable, leaving_slots


def is_eligible(service: ServiceRecord, node: NodeRecord) -> bool:
    """Return whether a node shall have a task of a global service: usable, and meeting its constraints."""
    return is_usable(node) and constraints_hold(dig(service.task_spec, "Placement", "Constraints") or (), node)


def eligible_nodes(tables: Tables, service: ServiceRecord) -> dict[str, NodeRecord]:
    """Return the nodes that shall have a task of a global service."""
    return {node.id: node for node in tables.nodes.values() if is_eligible(service, node)}


def by_node(tasks: list[TaskRecord]) -> dict[SlotKey, list[TaskRecord]]:
    """Return {node id: its tasks, oldest first} without those that are on their way out."""
    grouped: dict[SlotKey, list[TaskRecord]] = {}
    for task in in_order(tasks):
        if task.desired_state < TaskState.REMOVE:
            grouped.setdefault(task.node_id, []).append(task)
    return grouped


def reconcile_global(turn: Turn, service: ServiceRecord) -> None:
    """Give each eligible node its task and end the others. A paused node is left as it is."""
    if not restart_nodes(turn, service, turn.tasks_of(service.id)):
        fill(turn, service)


def restart_nodes(turn: Turn, service: ServiceRecord, all_tasks: list[TaskRecord]) -> bool:
    """End the tasks on nodes that shall have none, let waiting ones run and replace what has ended; return whether
    anything was replaced.

    `all_tasks` are all of the service on some nodes, oldest first.
    """
    leaving = leaving_slots(turn, service, all_tasks)
    here: dict[SlotKey, list[TaskRecord]] = {}
    for node_id, tasks in by_node(all_tasks).items():
        node = turn.tables.nodes.get(str(node_id))
        if node is not None and is_eligible(service, node):
            here[node_id] = tasks
            start_waiting(turn, service, tasks, leaving)
        else:
            for task in tasks:
                turn.desire(task, TaskState.SHUTDOWN)
    return restart_ended(turn, service, here)


def is_filled(turn: Turn, service: ServiceRecord, node_id: str, tasks: list[TaskRecord]) -> bool:
    """Return whether a node on which nothing is to be restarted is as it should be, whatever is on the others."""
    node = turn.tables.nodes.get(node_id)
    if node is None or node.availability is not Availability.ACTIVE or not is_eligible(service, node):
        return True
    filling = fillers(service, tasks)
    return bool(filling) and not begins_update(turn, service, filling)


def fill(turn: Turn, service: ServiceRecord) -> None:
    """Add a task where there is none, and roll."""
    tasks = turn.tasks_of(service.id)
    grouped, leaving = by_node(tasks), leaving_slots(turn, service, tasks)
    occupied: dict[SlotKey, list[TaskRecord]] = {}
    for node in eligible_nodes(turn.tables, service).values():
        if node.availability is not Availability.ACTIVE:
            continue
        filling = fillers(service, grouped.get(node.id, []))
        if filling:
            occupied[node.id] = filling
        elif node.state is NodeState.READY:
            desired = TaskState.READY if node.id in leaving else final_state(service)
            turn.create(service, Replacement(slot=0, node_id=node.id, desired_state=desired))
    roll(turn, service, occupied)
