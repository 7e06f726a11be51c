"""Tasks: their states only grow, both the desired one and the one seen."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from reconciler.model.commands import (
    AllocateTasks,
    Applied,
    AssignTask,
    AssignTasks,
    CreateTask,
    CreateTasks,
    ExplainTask,
    ExplainTasks,
    RemoveTask,
    RemoveTasks,
    ReportTask,
    SetDesiredState,
    SetDesiredStates,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.tables import ServiceRecord, TaskRecord, TaskStatus
from reconciler.model.tasks import TaskState
from reconciler.store.addresses import Attacher, virtual_ips
from reconciler.store.draft import Draft
from reconciler.store.refusal import Refusal, check_new, not_found, out_of_sequence

PENDING = "pending task scheduling"
NO_ADDRESS = "no free address in a network of the service"
"""Why a task stays new. Swarm leaves users to guess (moby #35849)."""


def _present(draft: Draft, task_id: str) -> TaskRecord:
    task = draft.tasks.get(task_id)
    if task is None:
        raise not_found("task", task_id)
    return task


def create(draft: Draft, command: CreateTask) -> Applied:
    """Add a task, and in the same step end those that it takes the place of."""
    service = _service(draft, command)
    _check_needed(draft, service, command)
    attacher = Attacher(draft, service)
    task = replace(
        _attached(_template(draft, service, command), attacher),
        id=_checked_new(draft, command.id),
        slot=command.slot,
        node_id=command.node_id,
        replaces=command.replaces,
        start_after=command.start_after,
        is_restart=command.is_restart,
        update_epoch=command.update_epoch,
    )
    for task_id in command.shut_down:
        if (ended := draft.tasks.get(task_id)) is not None:
            raise_desired(draft, ended, TaskState.SHUTDOWN, command.at)
    draft.tasks[task.id] = task
    attacher.close()
    return Applied(draft.index, task.id)


def create_many(draft: Draft, command: CreateTasks) -> Applied:
    """Add tasks of one template that take nobody's place. A slot that was filled meanwhile is left out."""
    service = _service(draft, command)
    taken = _taken_slots(draft, service)
    template, attacher = _template(draft, service, command), Attacher(draft, service)
    for task_id, slot, node_id in command.tasks:
        check_new(draft.tasks, task_id)
        if (slot, node_id) in taken:
            continue
        taken[slot, node_id] = None
        new = _attached(template, attacher)
        draft.tasks[task_id] = replace(new, id=task_id, slot=slot, node_id=node_id)
    attacher.close()
    return Applied(draft.index, "")


def _attached(task: TaskRecord, attacher: Attacher) -> TaskRecord:
    """Return a task with its addresses and ready to be placed; or new still, where there are none left for it."""
    attachments = attacher.next()
    if attachments is None:
        status = TaskStatus(TaskState.NEW, "created", NO_ADDRESS, task.status.timestamp)
        return task if task.status == status else replace(task, status=status)
    return replace(task, attachments=attachments) if attachments else task


def _service(draft: Draft, command: CreateTask | CreateTasks) -> ServiceRecord:
    service = draft.services.get(command.service_id)
    if service is None:
        raise not_found("service", command.service_id)
    if service.spec_version != command.spec_version:
        raise out_of_sequence()
    return service


def _taken_slots(draft: Draft, service: ServiceRecord) -> dict[tuple[int, str], None]:
    """Return the slots that have a wanted task of the service's present template: (number, ""), or (0, node id).

    A job that is rolled back has its template for a second time, but not its iteration.
    """
    return {
        (task.slot, task.node_id if service.is_global else ""): None
        for task in draft.tasks_of_service(service.id)
        if task.is_live and task.spec_version == service.spec_version and task.job_iteration == service.job_iteration
    }


def _check_needed(draft: Draft, service: ServiceRecord, command: CreateTask) -> None:
    """Refuse a task for a slot that has its task already.

    A leader that never hears what came of a command may decide the same again, and both may be in the log.
    """
    if command.shut_down:
        old = (draft.tasks.get(task_id) for task_id in command.shut_down)
        if not any(task is not None and task.is_live for task in old):
            raise out_of_sequence()
    elif (command.slot, command.node_id) in _taken_slots(draft, service):
        raise out_of_sequence()


def _checked_new(draft: Draft, task_id: str) -> str:
    check_new(draft.tasks, task_id)
    return task_id


def _template(draft: Draft, service: ServiceRecord, command: CreateTask | CreateTasks) -> TaskRecord:
    """Return what all tasks have in common that one command creates."""
    return TaskRecord(
        id="",
        version=draft.index,
        created_at=command.at,
        updated_at=command.at,
        created_index=draft.index,
        service_id=service.id,
        slot=0,
        node_id="",
        spec=service.task_spec,
        endpoint_spec=service.endpoint_spec,
        spec_version=service.spec_version,
        desired_state=command.desired_state,
        status=TaskStatus(TaskState.PENDING, PENDING, "", command.at),
        job_iteration=service.job_iteration,
    )


def allocate_many(draft: Draft, command: AllocateTasks) -> Applied:
    """Give tasks that are still new the addresses that they wait for, and their services as well."""
    attachers: dict[str, Attacher] = {}
    for task_id in command.task_ids:
        task = draft.tasks.get(task_id)
        service = draft.services.get(task.service_id) if task is not None else None
        if task is None or service is None or task.state is not TaskState.NEW or not task.is_live:
            continue
        if task.spec_version != service.spec_version:
            continue  # a new task is put in its place
        attacher = attachers.get(service.id)
        if attacher is None:
            attacher = attachers[service.id] = Attacher(draft, _with_virtual_ips(draft, service, command.at))
        attachments = attacher.next()
        if attachments is not None:
            status = TaskStatus(TaskState.PENDING, PENDING, "", command.at)
            draft.tasks[task_id] = replace(
                task, version=draft.index, updated_at=command.at, status=status, attachments=attachments
            )
    for attacher in attachers.values():
        attacher.close()
    return Applied(draft.index, "")


def _with_virtual_ips(draft: Draft, service: ServiceRecord, at: datetime) -> ServiceRecord:
    found = virtual_ips(draft, service)
    if found != service.virtual_ips:
        service = replace(service, version=draft.index, updated_at=at, virtual_ips=found)
        draft.services[service.id] = service
    return service


def raise_desired(draft: Draft, task: TaskRecord, desired: TaskState, at: datetime) -> None:
    """Raise the desired state of `task`. One that no node has yet is over at once."""
    if desired <= task.desired_state:
        return
    changed = replace(task, version=draft.index, updated_at=at, desired_state=desired)
    if desired >= TaskState.SHUTDOWN and task.state < TaskState.ASSIGNED:
        status = replace(task.status, state=TaskState.SHUTDOWN, err="", timestamp=at)
        changed = replace(changed, status=status)
    draft.tasks[task.id] = changed


def set_desired_state(draft: Draft, command: SetDesiredState) -> Applied:
    task = _present(draft, command.task_id)
    raise_desired(draft, task, command.desired_state, command.at)
    return Applied(draft.index, task.id)


def set_desired_states(draft: Draft, command: SetDesiredStates) -> Applied:
    for task_id in command.task_ids:
        if (task := draft.tasks.get(task_id)) is not None:
            raise_desired(draft, task, command.desired_state, command.at)
    return Applied(draft.index, "")


def assign(draft: Draft, command: AssignTask) -> Applied:
    task = _present(draft, command.task_id)
    if command.node_id not in draft.nodes:
        raise not_found("node", command.node_id)
    if task.state is not TaskState.PENDING or not task.is_live:
        raise out_of_sequence()
    status = TaskStatus(TaskState.ASSIGNED, command.message, "", command.at)
    draft.tasks[task.id] = replace(
        task,
        version=draft.index,
        updated_at=command.at,
        node_id=command.node_id,
        status=status,
        generic_resources=command.resources,
    )
    return Applied(draft.index, task.id)


def assign_many(draft: Draft, command: AssignTasks) -> Applied:
    """Place many tasks; what has changed meanwhile is left out, and decided anew."""
    tasks, nodes = draft.tasks, draft.nodes
    status = TaskStatus(TaskState.ASSIGNED, command.message, "", command.at)
    for task_id, node_id in command.places:
        task = tasks.get(task_id)
        if task is None or task.status.state is not TaskState.PENDING or not task.is_live or node_id not in nodes:
            continue
        tasks[task_id] = replace(task, version=draft.index, updated_at=command.at, node_id=node_id, status=status)
    return Applied(draft.index, "")


def explain(draft: Draft, command: ExplainTask) -> Applied:
    task = _present(draft, command.task_id)
    if task.state is not TaskState.PENDING:
        raise out_of_sequence()
    _explain(draft, task, command.err, command.at)
    return Applied(draft.index, task.id)


def explain_many(draft: Draft, command: ExplainTasks) -> Applied:
    for task_id in command.task_ids:
        task = draft.tasks.get(task_id)
        if task is not None and task.state is TaskState.PENDING:
            _explain(draft, task, command.err, command.at)
    return Applied(draft.index, "")


def _explain(draft: Draft, task: TaskRecord, err: str, at: datetime) -> None:
    status = replace(task.status, err=err)
    draft.tasks[task.id] = replace(task, version=draft.index, updated_at=at, status=status)


def report(draft: Draft, command: ReportTask) -> Applied:
    """Take in what a node saw; what is older than what is known changes nothing."""
    task = _present(draft, command.task_id)
    if command.node_id and task.node_id != command.node_id:
        raise Refusal(ErrorCode.REQUEST_REFUSED, "cannot update a task not assigned this node", rpc="PermissionDenied")
    status = command.status
    if status.state < task.state or status == task.status:
        return Applied(draft.index, task.id)
    running_at = task.running_at
    if running_at is None and status.state is TaskState.RUNNING:
        running_at = command.at
    draft.tasks[task.id] = replace(
        task, version=draft.index, updated_at=command.at, status=status, running_at=running_at
    )
    return Applied(draft.index, task.id)


def remove(draft: Draft, command: RemoveTask) -> Applied:
    task = _present(draft, command.task_id)
    del draft.tasks[task.id]
    return Applied(draft.index, task.id)


def remove_many(draft: Draft, command: RemoveTasks) -> Applied:
    for task_id in command.task_ids:
        if task_id in draft.tasks:
            del draft.tasks[task_id]
    return Applied(draft.index, "")
