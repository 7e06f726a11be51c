"""Jobs: tasks that run to completion, so many in all or one a node, anew at each update of the service."""

from __future__ import annotations

from itertools import count

from reconciler.model.tables import Availability, NodeState, ServiceRecord, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.everywhere import by_node, eligible_nodes
from reconciler.orchestration.replicated import by_slot
from reconciler.orchestration.restart import restart_ended, start_waiting
from reconciler.orchestration.turn import Replacement, SlotKey, Turn


def reconcile_job(turn: Turn, service: ServiceRecord) -> None:
    """Bring one job on; tasks of an older iteration are removed, but for those of a replicated job that have ended.

    Source: seen on an engine, whose `service ps` shows them.
    """
    current: list[TaskRecord] = []
    for task in turn.tasks_of(service.id):
        if task.job_iteration == service.job_iteration:
            current.append(task)
        elif service.is_global or not task.has_ended:
            turn.desire(task, TaskState.REMOVE)
    start_waiting(turn, service, current)
    slots = by_node(current) if service.is_global else by_slot(current)
    if restart_ended(turn, service, slots):
        return
    if service.is_global:
        _fill_nodes(turn, service, slots)
    else:
        _fill_slots(turn, service, slots)


def _fill_nodes(turn: Turn, service: ServiceRecord, nodes: dict[SlotKey, list[TaskRecord]]) -> None:
    """Start a task on each node that has had none to its end, and end those on nodes that shall have none."""
    eligible = eligible_nodes(turn.tables, service)
    for node_id, tasks in nodes.items():
        if node_id not in eligible:
            for task in tasks:
                if not task.has_ended:
                    turn.desire(task, TaskState.SHUTDOWN)
    for node in eligible.values():
        takes_tasks = node.state is NodeState.READY and node.availability is Availability.ACTIVE
        if takes_tasks and not any(_counts(task) for task in nodes.get(node.id, ())):
            turn.create(service, Replacement(slot=0, node_id=node.id, desired_state=TaskState.COMPLETE))


def _counts(task: TaskRecord) -> bool:
    """Return whether a node has its task: one that shall run, or ran to its end, or is still to be stopped."""
    return task.is_live or task.state not in (TaskState.SHUTDOWN, TaskState.ORPHANED)


def _fill_slots(turn: Turn, service: ServiceRecord, slots: dict[SlotKey, list[TaskRecord]]) -> None:
    """Start as many as may run at once. Slots count from 0, sic; one whose attempts are used up is not tried again."""
    job = service.spec["Mode"]["ReplicatedJob"]
    total, concurrent = int(job["TotalCompletions"]), int(job["MaxConcurrent"])
    running = sum(1 for tasks in slots.values() if any(task.is_live and not task.has_ended for task in tasks))
    new = min(concurrent - running, total - len(slots))
    free = (number for number in count() if number not in slots)
    for _ in range(new):
        turn.create(service, Replacement(slot=next(free), node_id="", desired_state=TaskState.COMPLETE))
