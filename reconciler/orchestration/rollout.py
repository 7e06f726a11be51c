"""Rolling updates and rollbacks.

Level-triggered: nothing is remembered but the service's UpdateStatus. Which slots an update has taken, how far each is
and what failed is read from the tasks that carry its epoch. (facts, swarmkit.md section 4)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from reconciler.model.commands import RollBackService, SetUpdateStatus
from reconciler.model.json import JsonObject
from reconciler.model.tables import ServiceRecord, TaskRecord, UpdateState
from reconciler.model.tasks import TaskState
from reconciler.orchestration.dirty import is_dirty
from reconciler.orchestration.restart import RESTART_PACE, nanoseconds, restart_policy
from reconciler.orchestration.turn import Replacement, SlotKey, Turn, in_order, slot_key

DEFAULT_MONITOR_NS = 5_000_000_000
MONITOR_AFTER_LONG_DELAY = timedelta(seconds=1)
"""How much longer than the delay to watch the last task where the monitor is shorter than the delay."""

_PAUSED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)

Slots = dict[SlotKey, list[TaskRecord]]


class UpdatePolicy(msgspec.Struct, frozen=True):
    """UpdateConfig or RollbackConfig with defaults filled in; `parallelism` 0 is all at once."""

    parallelism: int
    delay: timedelta
    failure_action: str
    monitor: timedelta
    max_failure_ratio: float
    start_first: bool


def update_policy(config: JsonObject | None) -> UpdatePolicy:
    """Return the policy of an Engine API UpdateConfig; None is Swarm's default."""
    given = config or {"Parallelism": 1}
    monitor_ns = given.get("Monitor")
    return UpdatePolicy(
        parallelism=given.get("Parallelism") or 0,
        delay=nanoseconds(given.get("Delay") or 0),
        failure_action=given.get("FailureAction") or "pause",
        monitor=nanoseconds(DEFAULT_MONITOR_NS if monitor_ns is None else monitor_ns),
        max_failure_ratio=given.get("MaxFailureRatio") or 0.0,
        start_first=given.get("Order") == "start-first",
    )


def roll(turn: Turn, service: ServiceRecord, slots: Slots) -> None:
    """Bring the rolling update of `service` one step on. `slots` are the filled slots with what fills each.

    A paused update waits for another update of the service. A plain change of scale finds nothing dirty and
    leaves no UpdateStatus behind.
    """
    status = service.update
    if status is not None and status.state in _PAUSED:
        return
    dirty = [key for key, tasks in slots.items() if _slot_is_dirty(turn, service, tasks)]
    if status is None:
        if dirty:
            _set_status(turn, service, UpdateState.UPDATING, "update in progress")
        return
    rolling_back = status.state.is_rollback
    config = service.spec.get("RollbackConfig" if rolling_back else "UpdateConfig")
    policy = update_policy(config)
    if status.state.is_active or (dirty and policy.failure_action == "continue"):
        _Rollout(turn, service, policy, slots, dirty).step()
    elif dirty:
        _set_status(turn, service, UpdateState.UPDATING, "update in progress")


def begins_update(turn: Turn, service: ServiceRecord, filling: list[TaskRecord]) -> bool:
    """Return whether one slot, with what fills it, makes an update begin where none is active."""
    if service.update is not None and service.update.state in _PAUSED:
        return False
    return _slot_is_dirty(turn, service, filling)


def _slot_is_dirty(turn: Turn, service: ServiceRecord, tasks: list[TaskRecord]) -> bool:
    return len(tasks) > 1 or any(is_dirty(turn.tables, service, task) for task in tasks)


def _set_status(turn: Turn, service: ServiceRecord, state: UpdateState, message: str) -> None:
    turn.emit(
        SetUpdateStatus(
            at=turn.now, service_id=service.id, spec_version=service.spec_version, state=state, message=message
        )
    )


@dataclass(slots=True)
class _Rollout:
    """One step of an active update."""

    turn: Turn
    service: ServiceRecord
    policy: UpdatePolicy
    slots: Slots
    dirty: list[SlotKey]

    def step(self) -> None:
        mine = self._own_tasks()
        if self._stopped_by_failures(mine):
            return
        in_progress = [key for key, task in mine.items() if self._is_in_progress(task)]
        waiting = [key for key in self.dirty if key not in in_progress and self._may_take(mine.get(key))]
        for key in self.dirty:
            self._retire_old(self.slots[key])
        if not self.dirty or self._has_failed_everywhere(mine):
            self._finish(mine)
        room = (self.policy.parallelism or len(self.slots)) - len(in_progress)
        for key in waiting[: max(room, 0)]:
            self._replace(key, self.slots[key])

    def _own_tasks(self) -> dict[SlotKey, TaskRecord]:
        """Return {slot: the newest task that this update created in it}."""
        assert self.service.update is not None
        epoch = self.service.update.epoch
        tasks = in_order(self.turn.tasks_of(self.service.id))
        return {slot_key(self.service, task): task for task in tasks if task.update_epoch == epoch}

    def _is_in_progress(self, task: TaskRecord) -> bool:
        """Return whether `task` still holds one of the update's places: until it runs, and then for the delay."""
        reached = _reached_at(task)
        if reached is None:
            return task.is_live
        return not self.turn.is_due(reached + self.policy.delay)

    def _may_take(self, tried: TaskRecord | None) -> bool:
        """Return whether a slot may be given a new task; after one that has ended (start-first leaves the old task
        running) only once the restart delay is over, so that a task which ends at once makes no tight loop."""
        if tried is None or not tried.has_ended:
            return True
        delay = restart_policy(self.service.task_spec, is_job=False).delay
        return self.turn.is_due(tried.status.timestamp + max(delay, RESTART_PACE))

    def _has_failed_everywhere(self, mine: dict[SlotKey, TaskRecord]) -> bool:
        """Return whether an update that goes on after failures has tried each slot; it is completed then, and its slots
        are tried again all the same, as in swarmkit."""
        tried = (mine.get(key) for key in self.dirty)
        return self.policy.failure_action == "continue" and all(task is not None and task.has_ended for task in tried)

    def _retire_old(self, tasks: list[TaskRecord]) -> None:
        """Once a new task of a slot runs, end the others."""
        clean = [task for task in tasks if not is_dirty(self.turn.tables, self.service, task)]
        running = [task for task in clean if task.state is TaskState.RUNNING]
        if running:
            self._end_others(tasks, running[-1])

    def _end_others(self, tasks: list[TaskRecord], keep: TaskRecord) -> None:
        for task in tasks:
            if task.id != keep.id:
                self.turn.desire(task, TaskState.SHUTDOWN)

    def _replace(self, key: SlotKey, tasks: list[TaskRecord]) -> None:
        clean = [task for task in tasks if task.is_live and not is_dirty(self.turn.tables, self.service, task)]
        if clean:
            if not self.policy.start_first:
                self._end_others(tasks, clean[-1])
            return
        assert self.service.update is not None
        old = [task for task in tasks if task.is_live]
        newest = tasks[-1]
        start_first = self.policy.start_first
        self.turn.create(
            self.service,
            Replacement(
                slot=newest.slot,
                node_id=str(key) if self.service.is_global else "",
                desired_state=TaskState.RUNNING if start_first else TaskState.READY,
                shut_down=() if start_first else tuple(task.id for task in old),
                replaces="" if start_first else newest.id,
                update_epoch=self.service.update.epoch,
            ),
        )

    def _stopped_by_failures(self, mine: dict[SlotKey, TaskRecord]) -> bool:
        """Pause or roll back when too many of the update's tasks have failed; return whether it did."""
        if self.policy.failure_action == "continue":
            return False
        failed = [task for task in mine.values() if self._has_failed(task)]
        touched = len(mine) + sum(1 for key in self.dirty if key not in mine)
        if not failed or len(failed) / touched <= self.policy.max_failure_ratio:
            return False
        assert self.service.update is not None
        cause = f"due to failure or early termination of task {failed[-1].id}"
        if self.service.update.state.is_rollback:
            _set_status(self.turn, self.service, UpdateState.ROLLBACK_PAUSED, f"update paused {cause}")
        elif self.policy.failure_action == "rollback" and self.service.previous_spec is not None:
            message = f"update rolled back {cause}"
            service = self.service
            self.turn.emit(RollBackService(at=self.turn.now, id=service.id, version=service.version, message=message))
        else:
            _set_status(self.turn, self.service, UpdateState.PAUSED, f"update paused {cause}")
        return True

    def _has_failed(self, task: TaskRecord) -> bool:
        """Return whether `task` ended by itself before it ran, or within the monitor period of it."""
        if task.state not in (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED):
            return False
        return task.running_at is None or task.status.timestamp < task.running_at + self.policy.monitor

    def _finish(self, mine: dict[SlotKey, TaskRecord]) -> None:
        """Complete the update, unless it is, once its last task has run for the monitor period."""
        assert self.service.update is not None
        if not self.service.update.state.is_active:
            return
        longest = self.policy.monitor
        if self.policy.delay >= self.policy.monitor:
            longest = self.policy.delay + MONITOR_AFTER_LONG_DELAY
        for task in mine.values():
            reached = _reached_at(task)
            if reached is None and task.is_live:
                return
            if reached is not None and not self.turn.is_due(reached + longest):
                return
        if self.service.update.state.is_rollback:
            _set_status(self.turn, self.service, UpdateState.ROLLBACK_COMPLETED, "rollback completed")
        else:
            _set_status(self.turn, self.service, UpdateState.COMPLETED, "update completed")


def _reached_at(task: TaskRecord) -> datetime | None:
    """Return when a task ran, or ended without having run; None while neither has happened."""
    if task.running_at is not None:
        return task.running_at
    return task.status.timestamp if task.has_ended else None
