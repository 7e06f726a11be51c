"""The restart supervisor: replaces tasks that have ended or lost their node, as their restart policy allows."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import msgspec

from reconciler.model.json import JsonObject
from reconciler.model.nodes import Availability
from reconciler.model.tables import ServiceRecord, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.turn import OLD_TASK_WAIT, Replacement, SlotKey, Turn, final_state, in_order, slot_key

DEFAULT_DELAY_NS = 5_000_000_000
"""swarmkit's default restart delay; it also stands in for a policy that names no delay."""

RESTART_PACE = timedelta(milliseconds=100)
"""The least time between the starts of a task and of its replacement, for a delay of zero: a container takes about
that long to start, a plain process does not, and a crash loop must not eat the machine."""


class RestartPolicy(msgspec.Struct, frozen=True):
    """`max_attempts` 0 is no limit; `window` zero counts all attempts since the template last changed."""

    condition: str
    delay: timedelta
    max_attempts: int
    window: timedelta


def nanoseconds(value: int) -> timedelta:
    """Return an Engine API duration."""
    return timedelta(microseconds=value // 1000)


def restart_policy(task_spec: JsonObject, *, is_job: bool) -> RestartPolicy:
    """Return the policy of a task template, defaults filled in. For a job, `any` means on-failure."""
    policy = task_spec.get("RestartPolicy") or {}
    condition = policy.get("Condition") or "any"
    delay_ns = policy.get("Delay")
    return RestartPolicy(
        condition="on-failure" if is_job and condition == "any" else condition,
        delay=nanoseconds(DEFAULT_DELAY_NS if delay_ns is None else delay_ns),
        max_attempts=policy.get("MaxAttempts") or 0,
        window=nanoseconds(policy.get("Window") or 0),
    )


def may_restart(service: ServiceRecord, ended: TaskRecord, slot_tasks: list[TaskRecord]) -> bool:
    """Return whether the policy lets `ended` be replaced. `slot_tasks` is the slot's whole history.

    Attempts are counted from the history itself, which the reaper keeps long enough; they are those of the template
    that `ended` was made from, and so is the policy. A slot that was given up is thus left to the update that brings a
    new template, as on an engine, and not begun anew beside it.
    """
    policy = restart_policy(ended.spec, is_job=service.is_job)
    if policy.condition == "none":
        return False
    if policy.condition == "on-failure" and ended.state is TaskState.COMPLETE:
        return False
    if policy.max_attempts == 0:
        return True
    attempts = [task for task in slot_tasks if task.is_restart and task.spec_version == ended.spec_version]
    if policy.window:
        ended_at = ended.status.timestamp
        attempts = [task for task in attempts if ended_at - policy.window < task.created_at <= ended_at]
    return len(attempts) < policy.max_attempts


def needs_restart(turn: Turn, service: ServiceRecord, task: TaskRecord) -> bool:
    """Return whether a wanted task has ended, or must leave its node. Jobs stay where they are, as in swarmkit."""
    if service.is_job:
        return task.has_ended and task.state is not TaskState.COMPLETE
    return task.has_ended or turn.node_is_lost(task)


def restart_ended(turn: Turn, service: ServiceRecord, slots: dict[int | str, list[TaskRecord]]) -> bool:
    """Replace the wanted tasks that have ended, or say that they are over; return whether there were any.

    The replacement is prepared at once and started after the policy's delay. A replacement that ends within its own
    delay waits for the rest of it, so that a task which is always refused makes no tight loop.
    """
    found = False
    for tasks in slots.values():
        for task in in_order(tasks):
            if not task.is_live or not needs_restart(turn, service, task):
                continue
            if task.desired_state is TaskState.READY and task.start_after and not turn.is_due(task.start_after):
                continue
            found = True
            _replace(turn, service, task, tasks)
    return found


def _replace(turn: Turn, service: ServiceRecord, task: TaskRecord, slot_tasks: list[TaskRecord]) -> None:
    node = turn.tables.nodes.get(task.node_id)
    paused = node is not None and node.availability is Availability.PAUSE
    if paused and service.is_global and not service.is_job:  # a job's replacement waits until the node is active
        turn.desire(task, TaskState.SHUTDOWN)
        return
    # Another wanted task of the slot (a start-first update) already takes its place, or is about to be replaced itself.
    others = [one for one in slot_tasks if one.id != task.id and one.is_live and not one.has_ended]
    twin = any(one.spec_version == service.spec_version for one in others)
    if twin or not may_restart(service, task, slot_tasks):
        turn.desire(task, TaskState.SHUTDOWN)
        return
    drained = node is not None and node.availability is Availability.DRAIN
    delay = timedelta() if drained else restart_policy(service.task_spec, is_job=service.is_job).delay
    start_after = turn.now + delay
    if task.has_ended:
        start_after = max(start_after, (task.running_at or task.created_at) + RESTART_PACE)
    turn.create(
        service,
        Replacement(
            slot=task.slot,
            node_id=task.node_id if service.is_global else "",
            desired_state=TaskState.READY,
            shut_down=(task.id,),
            replaces=task.id,
            start_after=start_after if start_after > turn.now else None,
            is_restart=True,
        ),
    )


def start_waiting(
    turn: Turn, service: ServiceRecord, tasks: list[TaskRecord], leaving: Collection[SlotKey] = ()
) -> None:
    """Let tasks run whose delay is over, and whose predecessors have ended (or are waited for long enough): the one
    that each replaces, and all in its slot if that is one of `leaving`."""
    for task in tasks:
        if task.desired_state is not TaskState.READY or task.has_ended:
            continue
        if task.start_after and not turn.is_due(task.start_after):
            continue
        old = turn.tables.tasks.get(task.replaces)
        waits = slot_key(service, task) in leaving or not turn.has_stopped(old)
        if waits and not turn.is_due(task.created_at + OLD_TASK_WAIT):
            continue
        turn.desire(task, final_state(service))
