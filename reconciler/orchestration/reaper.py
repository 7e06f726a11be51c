"""The task reaper: forgets tasks that are over and no longer worth keeping."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model.json import dig
from reconciler.model.tables import ServiceRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.restart import restart_policy
from reconciler.orchestration.turn import SlotKey, Turn, slot_key

DEFAULT_HISTORY_LIMIT = 5


def history_limit(tables: Tables) -> int:
    """Return how many tasks of a slot are kept, the wanted one included; negative for all."""
    spec = tables.cluster.spec if tables.cluster else None
    limit = dig(spec, "Orchestration", "TaskHistoryRetentionLimit")
    return DEFAULT_HISTORY_LIMIT if limit is None else int(limit)


def reap(turn: Turn, service: ServiceRecord | None, tasks: Iterable[TaskRecord]) -> None:
    """Remove what is to vanish and has ended, and each slot's oldest tasks beyond the history limit.

    `tasks` are all of some slots of one service, oldest first; `service` is None when that is gone.
    """
    kept: dict[SlotKey, list[TaskRecord]] = {}
    for task in tasks:
        if _may_vanish(task, gone=service is None):
            turn.remove(task)
        elif service is not None:
            kept.setdefault(slot_key(service, task), []).append(task)
    if service is not None:
        _trim_history(turn, service, kept, history_limit(turn.tables))


def _may_vanish(task: TaskRecord, *, gone: bool) -> bool:
    over = task.state < TaskState.ASSIGNED or task.state >= TaskState.COMPLETE
    return over and (gone or task.desired_state is TaskState.REMOVE)


def _trim_history(turn: Turn, service: ServiceRecord, slots: dict[SlotKey, list[TaskRecord]], limit: int) -> None:
    attempts = restart_policy(service.task_spec, is_job=service.is_job).max_attempts
    if attempts and not service.is_job:  # a job's attempts are all of its current iteration, of which none is history
        limit = attempts + 1
    if limit < 0:
        return
    for tasks in slots.values():
        surplus = len(tasks) - max(limit, 1)
        for task in tasks:
            if surplus <= 0:
                break
            if _is_history(service, task):
                turn.remove(task)
                surplus -= 1


def _is_history(service: ServiceRecord, task: TaskRecord) -> bool:
    """Return whether a task is over and nothing is still to be read from it."""
    if not task.has_ended or task.is_live:
        return False
    if service.is_job:
        return task.job_iteration < service.job_iteration
    # A running update counts its failures from its own tasks.
    update = service.update
    return update is None or not update.state.is_active or task.update_epoch != update.epoch
