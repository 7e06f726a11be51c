"""Global services: one task on every node that meets the constraints."""

from __future__ import annotations

from reconciler.model.constraints import constraints_hold
from reconciler.model.json import dig
from reconciler.model.tables import Availability, NodeRecord, NodeState, ServiceRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.replicated import fillers
from reconciler.orchestration.restart import restart_ended, start_waiting
from reconciler.orchestration.rollout import roll
from reconciler.orchestration.turn import Replacement, SlotKey, Turn, final_state, in_order, is_usable


def eligible_nodes(tables: Tables, service: ServiceRecord) -> dict[str, NodeRecord]:
    """Return the nodes that shall have a task of a global service: usable, and meeting its constraints."""
    constraints = dig(service.task_spec, "Placement", "Constraints") or ()
    return {node.id: node for node in tables.nodes.values() if is_usable(node) and constraints_hold(constraints, node)}


def by_node(tasks: list[TaskRecord]) -> dict[SlotKey, list[TaskRecord]]:
    """Return {node id: its tasks, oldest first} without those that are on their way out."""
    grouped: dict[SlotKey, list[TaskRecord]] = {}
    for task in in_order(tasks):
        if task.desired_state < TaskState.REMOVE:
            grouped.setdefault(task.node_id, []).append(task)
    return grouped


def reconcile_global(turn: Turn, service: ServiceRecord) -> None:
    """Give each eligible node its task and end the others. A paused node is left as it is."""
    tasks = turn.tasks_of(service.id)
    eligible = eligible_nodes(turn.tables, service)
    grouped = by_node(tasks)
    start_waiting(turn, service, [task for task in tasks if task.node_id in eligible])
    for node_id, node_tasks in grouped.items():
        if node_id not in eligible:
            for task in node_tasks:
                turn.desire(task, TaskState.SHUTDOWN)
    here: dict[SlotKey, list[TaskRecord]] = {key: grouped[key] for key in grouped if key in eligible}
    if restart_ended(turn, service, here):
        return
    active = [node for node in eligible.values() if node.availability is Availability.ACTIVE]
    occupied: dict[SlotKey, list[TaskRecord]] = {}
    for node in active:
        filling = fillers(service, here.get(node.id, []))
        if filling:
            occupied[node.id] = filling
        elif node.state is NodeState.READY:
            turn.create(service, Replacement(slot=0, node_id=node.id, desired_state=final_state(service)))
    roll(turn, service, occupied)
