"""One pass of the brain: what it reads, what it has decided so far, and when to look again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.model.commands import Command, CreateTask, SetDesiredState
from reconciler.model.tables import Availability, NodeRecord, NodeState, ServiceRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState

SlotKey = int | str
"""What gives a task identity: the slot's number, or the node's id for a global service."""

OLD_TASK_WAIT = timedelta(seconds=60)
"""How long a replacement waits for the task it replaces to end (swarmkit's oldTaskTimeout is one minute)."""


def slot_key(service: ServiceRecord, task: TaskRecord) -> SlotKey:
    """Return the slot that `task` fills in `service`."""
    return task.node_id if service.is_global else task.slot


def in_order(tasks: list[TaskRecord]) -> list[TaskRecord]:
    """Return `tasks`, oldest first."""
    return sorted(tasks, key=lambda task: task.created_index)


@dataclass(frozen=True, slots=True)
class Replacement:
    """A task to create in the place of others. Fields are those of CreateTask."""

    slot: int
    node_id: str
    desired_state: TaskState
    shut_down: tuple[str, ...] = ()
    replaces: str = ""
    start_after: datetime | None = None
    is_restart: bool = False
    update_epoch: int = 0


@dataclass(slots=True)
class Turn:
    """Collects the Commands of one pass. `wake_at` is the earliest moment at which time alone changes the answer."""

    tables: Tables
    now: datetime
    new_id: Callable[[], str]
    commands: list[Command] = field(default_factory=list)
    wake_at: datetime | None = None
    tasks_by_service: Mapping[str, list[TaskRecord]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        grouped: dict[str, list[TaskRecord]] = {service_id: [] for service_id in self.tables.services}
        for task in self.tables.tasks.values():
            grouped.setdefault(task.service_id, []).append(task)
        self.tasks_by_service = grouped

    def wake(self, at: datetime) -> None:
        """Ask for another pass at `at`, unless an earlier one is due."""
        if at > self.now and (self.wake_at is None or at < self.wake_at):
            self.wake_at = at

    def is_due(self, at: datetime) -> bool:
        """Return whether `at` has come; if not, ask to be woken then."""
        self.wake(at)
        return at <= self.now

    def emit(self, command: Command) -> None:
        self.commands.append(command)

    def desire(self, task: TaskRecord, state: TaskState) -> None:
        """Raise the desired state of a task, where it is lower."""
        if task.desired_state < state:
            self.emit(SetDesiredState(at=self.now, task_id=task.id, desired_state=state))

    def create(self, service: ServiceRecord, new: Replacement) -> None:
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


def final_state(service: ServiceRecord) -> TaskState:
    """Return the desired state of a task that is to run: complete for a job's, else running."""
    return TaskState.COMPLETE if service.is_job else TaskState.RUNNING


def is_usable(node: NodeRecord) -> bool:
    """Return whether a global service has a task there: neither down nor drained."""
    return node.state is not NodeState.DOWN and node.availability is not Availability.DRAIN
