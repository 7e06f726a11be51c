"""One pass of the brain: what it reads, what it has decided so far, and when to look again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from reconciler.model.commands import (
    AssignTask,
    AssignTasks,
    Command,
    CreateTask,
    CreateTasks,
    ExplainTask,
    ExplainTasks,
    RemoveTask,
    RemoveTasks,
    SetDesiredState,
    SetDesiredStates,
)
from reconciler.model.nodes import Availability, NodeRecord, NodeState
from reconciler.model.tables import ServiceRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState

SlotKey = int | str
"""What gives a task identity: the slot's number, or the node's id for a global service."""

OLD_TASK_WAIT = timedelta(seconds=60)
"""How long a replacement waits for the task it replaces to end (swarmkit's oldTaskTimeout is one minute)."""

BATCH_MAX = 1_000
"""Tasks of one command, which is some ten kilobytes of log."""

CREATED_MAX = 10_000
"""Tasks that one command creates: more, because the store looks through the service's tasks for each command."""


def slot_key(service: ServiceRecord, task: TaskRecord) -> SlotKey:
    """Return the slot that `task` fills in `service`."""
    return task.node_id if service.is_global else task.slot


def in_order(tasks: Iterable[TaskRecord]) -> list[TaskRecord]:
    """Return `tasks`, oldest first."""
    return sorted(tasks, key=lambda task: task.created_index)


class Replacement(msgspec.Struct, frozen=True):
    """A task to create in the place of others. Fields are those of CreateTask."""

    slot: int
    node_id: str
    desired_state: TaskState
    shut_down: tuple[str, ...] = ()
    replaces: str = ""
    start_after: datetime | None = None
    is_restart: bool = False
    update_epoch: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether it takes nobody's place."""
        return not (self.shut_down or self.replaces or self.start_after or self.is_restart or self.update_epoch)


@dataclass(slots=True)
class _Batch:
    """Commands of one kind that differ in one thing only, while more may join them."""

    seal: Callable[[list[Any]], Command]
    head: tuple[Any, ...]
    items: list[Any]


@dataclass(slots=True)
class Turn:
    """Collects the Commands of one pass. `wake_at` is the earliest moment at which time alone changes the answer.

    Commands that follow one another and differ in the task only become one, which is cheaper to store and to apply.
    """

    tables: Tables
    now: datetime
    new_id: Callable[[], str]
    wake_at: datetime | None = None
    _commands: list[Command | _Batch] = field(default_factory=list)
    _tasks: dict[str, list[TaskRecord]] = field(default_factory=dict)

    def tasks_of(self, service_id: str) -> list[TaskRecord]:
        """Return the tasks of a service, which may be gone, oldest first."""
        found = self._tasks.get(service_id)
        if found is None:
            found = self._tasks[service_id] = in_order(self.tables.tasks_of_service(service_id))
        return found

    def wake(self, at: datetime) -> None:
        """Ask for another pass at `at`, unless an earlier one is due."""
        if at > self.now and (self.wake_at is None or at < self.wake_at):
            self.wake_at = at

    def is_due(self, at: datetime) -> bool:
        """Return whether `at` has come; if not, ask to be woken then."""
        self.wake(at)
        return at <= self.now

    @property
    def size(self) -> int:
        """How many things have been decided so far; grows with each."""
        return len(self._commands)

    def commands(self) -> tuple[Command, ...]:
        """Return what was decided, in the order to propose it."""
        return tuple(one.seal(one.items) if isinstance(one, _Batch) else one for one in self._commands)

    def emit(self, command: Command) -> None:
        self._commands.append(command)

    def _join(
        self, head: tuple[Any, ...], item: Any, seal: Callable[[list[Any]], Command], most: int = BATCH_MAX
    ) -> None:
        """Add `item` to the batch that is open under `head`, or open one; `most` is how many it holds."""
        last = self._commands[-1] if self._commands else None
        if isinstance(last, _Batch) and last.head == head and len(last.items) < most:
            last.items.append(item)
        else:
            self._commands.append(_Batch(seal, head, [item]))

    def desire(self, task: TaskRecord, state: TaskState) -> None:
        """Raise the desired state of a task, where it is lower."""
        if task.desired_state < state:
            self._join(("desire", state), task.id, partial(_desiring, self.now, state))

    def remove(self, task: TaskRecord) -> None:
        """Forget a task."""
        self._join(("remove",), task.id, partial(_removing, self.now))

    def explain(self, task: TaskRecord, err: str) -> None:
        """Say why a pending task has no node, where that is new."""
        if task.status.err != err:
            self._join(("explain", err), task.id, partial(_explaining, self.now, err))

    def assign(self, task_id: str, node_id: str, message: str, resources: tuple[tuple[str, str | int], ...]) -> None:
        if resources:
            self.emit(AssignTask(at=self.now, task_id=task_id, node_id=node_id, message=message, resources=resources))
        else:
            self._join(("assign", message), (task_id, node_id), partial(_assigning, self.now, message))

    def create(self, service: ServiceRecord, new: Replacement) -> None:
        if new.is_plain:
            version, desired = service.spec_version, new.desired_state
            item = (self.new_id(), new.slot, new.node_id)
            head = ("create", service.id, version, desired)
            self._join(head, item, partial(_creating, self.now, service.id, version, desired), CREATED_MAX)
            return
        self.emit(
            CreateTask(
                at=self.now,
                id=self.new_id(),
                service_id=service.id,
                spec_version=service.spec_version,
                slot=new.slot,
                node_id=new.node_id,
                desired_state=new.desired_state,
                shut_down=new.shut_down,
                replaces=new.replaces,
                start_after=new.start_after,
                is_restart=new.is_restart,
                update_epoch=new.update_epoch,
            )
        )

    def node_is_lost(self, task: TaskRecord) -> bool:
        """Return whether a placed task's node is gone, down or drained, so that it must run elsewhere."""
        if not task.node_id:
            return False
        node = self.tables.nodes.get(task.node_id)
        return node is None or node.state is NodeState.DOWN or node.availability is Availability.DRAIN

    def has_stopped(self, task: TaskRecord | None) -> bool:
        """Return whether a task surely runs no more, as far as anyone can know."""
        if task is None or task.has_ended or not task.node_id:
            return True
        node = self.tables.nodes.get(task.node_id)
        return node is None or node.state is NodeState.DOWN


def leaving_slots(turn: Turn, service: ServiceRecord, tasks: Iterable[TaskRecord]) -> set[SlotKey]:
    """Return the slots in which something may run still that shall end.

    What shall end is not always what a replacement replaces: a task that never started may have come between both, and
    a slot that was given up may be taken again.
    """
    return {slot_key(service, task) for task in tasks if not task.is_live and not turn.has_stopped(task)}


def final_state(service: ServiceRecord) -> TaskState:
    """Return the desired state of a task that is to run: complete for a job's, else running."""
    return TaskState.COMPLETE if service.is_job else TaskState.RUNNING


def is_usable(node: NodeRecord) -> bool:
    """Return whether a global service has a task there: neither down nor drained."""
    return node.state is not NodeState.DOWN and node.availability is not Availability.DRAIN


def _desiring(at: datetime, state: TaskState, ids: list[str]) -> Command:
    if len(ids) == 1:
        return SetDesiredState(at=at, task_id=ids[0], desired_state=state)
    return SetDesiredStates(at=at, task_ids=tuple(ids), desired_state=state)


def _removing(at: datetime, ids: list[str]) -> Command:
    return RemoveTask(at=at, task_id=ids[0]) if len(ids) == 1 else RemoveTasks(at=at, task_ids=tuple(ids))


def _explaining(at: datetime, err: str, ids: list[str]) -> Command:
    if len(ids) == 1:
        return ExplainTask(at=at, task_id=ids[0], err=err)
    return ExplainTasks(at=at, task_ids=tuple(ids), err=err)


def _assigning(at: datetime, message: str, places: list[tuple[str, str]]) -> Command:
    if len(places) == 1:
        ((task_id, node_id),) = places
        return AssignTask(at=at, task_id=task_id, node_id=node_id, message=message)
    return AssignTasks(at=at, message=message, places=tuple(places))


def _creating(
    at: datetime, service_id: str, spec_version: int, desired: TaskState, tasks: list[tuple[str, int, str]]
) -> Command:
    head: dict[str, Any] = {"at": at, "service_id": service_id, "spec_version": spec_version, "desired_state": desired}
    if len(tasks) == 1:
        ((task_id, slot, node_id),) = tasks
        return CreateTask(**head, id=task_id, slot=slot, node_id=node_id)
    return CreateTasks(**head, tasks=tuple(tasks))
