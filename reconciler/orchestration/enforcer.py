"""The constraint enforcer: ends tasks whose node no longer meets what their service asks for."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.model.commands import ReportTask
from reconciler.model.constraints import constraints_hold
from reconciler.model.json import dig
from reconciler.model.tables import Availability, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.turn import Turn


def enforce_constraints(turn: Turn) -> None:
    """Reject the tasks on active nodes that constraints have come to exclude; they are then placed anew.

    Global services see to this by themselves.
    """
    for service in turn.tables.services.values():
        constraints = dig(service.task_spec, "Placement", "Constraints") or ()
        if not constraints or service.is_global:
            continue
        for task in turn.tasks_by_service[service.id]:
            node = turn.tables.nodes.get(task.node_id)
            if node is None or not _is_enforced(task) or node.availability is not Availability.ACTIVE:
                continue
            # A task of an older template keeps its node until the rolling update comes to it.
            if task.spec_version == service.spec_version and not constraints_hold(constraints, node):
                _reject(turn, task)


def _is_enforced(task: TaskRecord) -> bool:
    wanted = TaskState.ASSIGNED <= task.desired_state <= TaskState.COMPLETE
    return wanted and TaskState.ASSIGNED <= task.state < TaskState.COMPLETE


def _reject(turn: Turn, task: TaskRecord) -> None:
    status = replace(
        task.status,
        state=TaskState.REJECTED,
        message="task rejected by constraint enforcer",
        err="assigned node no longer meets constraints",
        timestamp=turn.now,
    )
    turn.emit(ReportTask(at=turn.now, task_id=task.id, node_id="", status=status))
