"""Tasks: their states only grow, both the desired one and the one seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.model.commands import (
    Applied,
    AssignTask,
    CreateTask,
    ExplainTask,
    RemoveTask,
    ReportTask,
    SetDesiredState,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.tables import Tables, TaskRecord, TaskStatus
from reconciler.model.tasks import TaskState
from reconciler.store.refusal import Refusal, not_found, out_of_sequence


def _present(tables: Tables, task_id: str) -> TaskRecord:
    task = tables.tasks.get(task_id)
    if task is None:
        raise not_found("task", task_id)
    return task


def create(tables: Tables, command: CreateTask) -> Applied:
    """Add a pending task, and in the same step end those that it takes the place of."""
    service = tables.services.get(command.service_id)
    if service is None:
        raise not_found("service", command.service_id)
    if service.spec_version != command.spec_version:
        raise out_of_sequence()
    task = TaskRecord(
        id=command.id,
        version=tables.index,
        created_at=command.at,
        updated_at=command.at,
        created_index=tables.index,
        service_id=service.id,
        slot=command.slot,
        node_id=command.node_id,
        spec=service.task_spec,
        endpoint_spec=service.endpoint_spec,
        spec_version=service.spec_version,
        desired_state=command.desired_state,
        status=TaskStatus(TaskState.PENDING, "pending task scheduling", "", command.at),
        replaces=command.replaces,
        start_after=command.start_after,
        is_restart=command.is_restart,
        update_epoch=command.update_epoch,
        job_iteration=service.job_iteration,
    )
    for task_id in command.shut_down:
        if (ended := tables.tasks.get(task_id)) is not None:
            raise_desired(tables, ended, TaskState.SHUTDOWN, command.at)
    tables.tasks[task.id] = task
    return Applied(tables.index, task.id)


def raise_desired(tables: Tables, task: TaskRecord, desired: TaskState, at: datetime) -> None:
    """Raise the desired state of `task`. One that no node has yet is over at once."""
    if desired <= task.desired_state:
        return
    changed = replace(task, version=tables.index, updated_at=at, desired_state=desired)
    if desired >= TaskState.SHUTDOWN and task.state < TaskState.ASSIGNED:
        status = replace(task.status, state=TaskState.SHUTDOWN, message="shutdown", timestamp=at)
        changed = replace(changed, status=status)
    tables.tasks[task.id] = changed


def set_desired_state(tables: Tables, command: SetDesiredState) -> Applied:
    task = _present(tables, command.task_id)
    raise_desired(tables, task, command.desired_state, command.at)
    return Applied(tables.index, task.id)


def assign(tables: Tables, command: AssignTask) -> Applied:
    task = _present(tables, command.task_id)
    if command.node_id not in tables.nodes:
        raise not_found("node", command.node_id)
    if task.state is not TaskState.PENDING or not task.is_live:
        raise out_of_sequence()
    status = TaskStatus(TaskState.ASSIGNED, command.message, "", command.at)
    tables.tasks[task.id] = replace(
        task, version=tables.index, updated_at=command.at, node_id=command.node_id, status=status
    )
    return Applied(tables.index, task.id)


def explain(tables: Tables, command: ExplainTask) -> Applied:
    task = _present(tables, command.task_id)
    if task.state is not TaskState.PENDING:
        raise out_of_sequence()
    status = replace(task.status, err=command.err)
    tables.tasks[task.id] = replace(task, version=tables.index, updated_at=command.at, status=status)
    return Applied(tables.index, task.id)


def report(tables: Tables, command: ReportTask) -> Applied:
    """Take in what a node saw; what is older than what is known changes nothing."""
    task = _present(tables, command.task_id)
    if command.node_id and task.node_id != command.node_id:
        raise Refusal(ErrorCode.REQUEST_REFUSED, "cannot update a task not assigned this node", rpc="PermissionDenied")
    status = command.status
    if status.state < task.state or status == task.status:
        return Applied(tables.index, task.id)
    running_at = task.running_at
    if running_at is None and status.state is TaskState.RUNNING:
        running_at = command.at
    tables.tasks[task.id] = replace(
        task, version=tables.index, updated_at=command.at, status=status, running_at=running_at
    )
    return Applied(tables.index, task.id)


def remove(tables: Tables, command: RemoveTask) -> Applied:
    task = _present(tables, command.task_id)
    del tables.tasks[task.id]
    return Applied(tables.index, task.id)
