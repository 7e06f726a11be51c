"""Jobs: tasks that run to completion, so many in all or one a node, anew at each update of the service."""

from __future__ import annotations

from itertools import count

from reconciler.model.tables import ServiceRecord, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.everywhere import by_node, eligible_nodes
from reconciler.orchestration.replicated import by_slot
from reconciler.orchestration.restart import restart_ended, start_waiting
from reconciler.orchestration.turn import Replacement, SlotKey, Turn, is_usable


def reconcile_job(turn: Turn, service: ServiceRecord) -> None:
    """Bring one job on; tasks of an older iteration are removed, but for those of a replicated job that have ended.

    Jobs don't follow nodes, as in swarmkit: a task goes on where its node is drained, paused or down. Only once the job
    itself has changed after its nodes, by an update or a task that ended, are the tasks of a global job ended on nodes
    that are drained or down, and others begun on nodes that have come.

    Source: seen on an engine, also what its `service ps` shows of older iterations.
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
    """Start a task on each node that has had none to its end, and end those on nodes that are down, drained or gone.

    On a node that meets the constraints no more the enforcer has ended them; one in their place waits for better times.
    """
    all_tasks = turn.tasks_of(service.id)
    changed = max((task.version for task in all_tasks if task.has_ended), default=0)
    changed = max(changed, service.version) if all_tasks else turn.tables.index
    for node_id, tasks in nodes.items():
        node = turn.tables.nodes.get(str(node_id))
        if node is None or (node.version <= changed and not is_usable(node)):
            for task in tasks:
                if not task.has_ended:
                    turn.desire(task, TaskState.SHUTDOWN)
    for node in eligible_nodes(turn.tables, service).values():
        if node.takes_tasks and node.version <= changed and not any(_counts(task) for task in nodes.get(node.id, ())):
            turn.create(service, Replacement(slot=0, node_id=node.id, desired_state=TaskState.COMPLETE))


def _counts(task: TaskRecord) -> bool:
    """Return whether a node has its task: one that shall run, or ran to its end, or is still to be stopped."""
    return task.is_live or task.state not in (TaskState.SHUTDOWN, TaskState.ORPHANED)


def _is_or_was_well(task: TaskRecord) -> bool:
    return task.is_live or task.state is TaskState.COMPLETE


def _fill_slots(turn: Turn, service: ServiceRecord, slots: dict[SlotKey, list[TaskRecord]]) -> None:
    """Start as many as may run at once. Slots count from 0, sic.

    One whose attempts are used up is not tried again, and keeps its place among those that may run at once: a job whose
    tasks all fail stops, however many more there were to be. (seen on an engine, for one task at a time; with more, the
    others' reports make it try such slots again without end)
    """
    job = service.spec["Mode"]["ReplicatedJob"]
    total, concurrent = int(job["TotalCompletions"]), int(job["MaxConcurrent"])
    running = sum(1 for tasks in slots.values() if any(task.is_live and not task.has_ended for task in tasks))
    given_up = sum(1 for tasks in slots.values() if not any(_is_or_was_well(task) for task in tasks))
    new = min(concurrent - running - given_up, total - len(slots))
    free = (number for number in count() if number not in slots)
    for _ in range(new):
        turn.create(service, Replacement(slot=next(free), node_id="", desired_state=TaskState.COMPLETE))
