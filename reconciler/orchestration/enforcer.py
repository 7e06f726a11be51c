"""The constraint enforcer: ends tasks whose node no longer meets what their service asks for, and gives up for lost
those whose node has been down for long. (facts, swarmkit.md 2.7 and 2.8)"""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime, timedelta

from msgspec.structs import replace

from reconciler.model.commands import ReportTask
from reconciler.model.constraints import constraints_hold
from reconciler.model.json import dig
from reconciler.model.nodes import Availability, NodeRecord, NodeState
from reconciler.model.tables import ServiceRecord, TaskRecord
from reconciler.model.tasks import TaskState, is_enforced
from reconciler.orchestration.scheduler.load import Loads, NodeLoad
from reconciler.orchestration.turn import Turn

ORPHAN_AFTER = timedelta(hours=24)
"""How long a node may be down before its tasks are given up for lost (swarmkit's defaultNodeDownPeriod)."""


def enforce_on_node(turn: Turn, loads: Loads, node: NodeRecord) -> None:
    """Reject the tasks on an active node that constraints have come to exclude, or that it has no room for any more.

    Those of replicated services are then placed anew; a global service ends its task, which tells why it ended.
    """
    if node.availability is not Availability.ACTIVE:
        return
    room = NodeLoad.empty(node)
    for task in turn.tables.tasks_on_node(node.id):
        if not is_enforced(task.state, task.desired_state):
            continue
        service = turn.tables.services.get(task.service_id)
        if service is not None and _is_excluded(service, task, node):
            _reject(turn, task)
        elif _fits(loads, task, room):
            room.take(loads.demand(task), task.generic_resources)
        else:
            _reject(turn, task)


def enforce_on_service(turn: Turn, service: ServiceRecord, looked_at: Container[str]) -> None:
    """Reject the tasks of a service that its constraints have come to exclude, on nodes not `looked_at` just now."""
    for task in turn.tasks_of(service.id):
        node = turn.tables.nodes.get(task.node_id)
        if (
            node is None
            or node.id in looked_at
            or not is_enforced(task.state, task.desired_state)
            or node.availability is not Availability.ACTIVE
        ):
            continue
        if _is_excluded(service, task, node):
            _reject(turn, task)


def _is_excluded(service: ServiceRecord, task: TaskRecord, node: NodeRecord) -> bool:
    """Return whether what the service asks for now excludes the node.

    A task of an older template keeps its node until the rolling update comes to it, unless the node has changed since.
    """
    if task.spec_version != service.spec_version and node.version < service.version:
        return False
    return not constraints_hold(dig(service.task_spec, "Placement", "Constraints") or (), node)


def _fits(loads: Loads, task: TaskRecord, room: NodeLoad) -> bool:
    demand = loads.demand(task)
    if demand.nano_cpus > room.nano_cpus_free or demand.memory_bytes > room.memory_bytes_free:
        return False
    for kind, value in task.generic_resources:
        if isinstance(value, int) and value > room.counts.get(kind, 0):
            return False
        if isinstance(value, str) and value not in room.names.get(kind, ()):
            return False
    return True


def _reject(turn: Turn, task: TaskRecord) -> None:
    status = replace(
        task.status,
        state=TaskState.REJECTED,
        message="task rejected by constraint enforcer",
        err="assigned node no longer meets constraints",
        timestamp=turn.now,
    )
    turn.emit(ReportTask(at=turn.now, task_id=task.id, node_id="", status=status))


def lost_at(node: NodeRecord) -> datetime | None:
    """Return when the tasks of a node that is down are given up, None for a node that is not."""
    if node.state is not NodeState.DOWN:
        return None
    return (node.state_since or node.updated_at) + ORPHAN_AFTER


def orphan_tasks(turn: Turn, node: NodeRecord) -> None:
    """Give up the tasks of a node that has been down for too long."""
    for task in turn.tables.tasks_on_node(node.id):
        if TaskState.ASSIGNED <= task.state <= TaskState.RUNNING:
            status = replace(task.status, state=TaskState.ORPHANED, timestamp=turn.now)
            turn.emit(ReportTask(at=turn.now, task_id=task.id, node_id="", status=status))
