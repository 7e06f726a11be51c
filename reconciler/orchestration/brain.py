"""The brain with a memory: what has changed since it last looked, so that a decision costs what changed and no more.

The memory saves work and decides nothing: a new Brain on the same Tables comes to the same decision. Only failures are
remembered beyond the tables, for five minutes, as in swarmkit, where they too are lost with the leader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from reconciler.model.changes import Change, TableKind
from reconciler.model.commands import Command
from reconciler.model.tables import ServiceRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.alarms import Alarms
from reconciler.orchestration.allocation import Allocation
from reconciler.orchestration.enforcer import enforce_on_node, enforce_on_service, lost_at, orphan_tasks
from reconciler.orchestration.everywhere import reconcile_global
from reconciler.orchestration.jobs import reconcile_job
from reconciler.orchestration.reaper import history_limit, reap
from reconciler.orchestration.replicated import reconcile_replicated
from reconciler.orchestration.scheduler.schedule import Scheduler
from reconciler.orchestration.touched import SlotBook, Touched, slot_of
from reconciler.orchestration.turn import SlotKey, Turn


class Decision(msgspec.Struct, frozen=True):
    """`commands` in the order to propose them. `wake_at` is when time alone may change the answer, None for never."""

    commands: tuple[Command, ...]
    wake_at: datetime | None


class Brain:
    """Decides for one set of Tables. Tell it of every change, then ask."""

    def __init__(self, tables: Tables) -> None:
        """Begin with a look at everything."""
        self._tables = tables
        self.scheduler = Scheduler(tables)
        self._allocation = Allocation(tables)
        self._known: dict[str, TaskRecord] = {}
        self._globals: dict[str, None] = {}
        self._global_jobs: dict[str, None] = {}
        self._touched: dict[str, Touched] = {}
        self._enforced_services: dict[str, None] = {}
        self._nodes: dict[str, None] = {}
        self._slots = SlotBook(tables)
        self._node_alarms = Alarms()
        self._history_limit = history_limit(tables)
        for node_id in tables.nodes:
            self._note_node(node_id)
        for service_id in tables.services:
            self._note_service(service_id)
        for task_id in tables.tasks:
            self._note_task(task_id)

    def note(self, changes: Iterable[Change]) -> None:
        """Take in what entries of the log have changed, as an EntryOutcome tells it. Cheap; reads the tables now."""
        task_ids: list[str] = []
        for change in changes:
            if change.kind is TableKind.TASK:
                task_ids.append(change.id)
            elif change.kind is TableKind.NODE:
                self._note_node(change.id)
            elif change.kind is TableKind.SERVICE:
                self._note_service(change.id)
            elif change.kind is TableKind.NETWORK:
                self._allocation.stir()
            elif change.kind is TableKind.CLUSTER:
                self._note_cluster()
        for task_id in task_ids:
            self._note_task(task_id)

    def _touch(self, service_id: str, slot: SlotKey | None = None) -> None:
        """Look at a slot of a service next time; without a slot, at all of it."""
        if slot is None or service_id not in self._tables.services:
            self._touched[service_id] = None
        elif service_id not in self._touched:
            self._touched[service_id] = {slot: None}
        elif (slots := self._touched[service_id]) is not None:
            slots[slot] = None

    def _note_cluster(self) -> None:
        limit = history_limit(self._tables)
        if limit != self._history_limit:
            self._history_limit = limit
            self._touched.update(dict.fromkeys(self._tables.services))

    def _note_node(self, node_id: str) -> None:
        self.scheduler.put_node(node_id)
        self._nodes[node_id] = None
        for task_id in self._tables.indexes.task_ids_by_node.get(node_id, ()):
            task = self._tables.tasks[task_id]
            service = self._tables.services.get(task.service_id)
            if service is None or not service.is_job:  # jobs don't follow nodes: see reconcile_job
                self._touch(task.service_id, slot_of(task))
        for service_id in self._globals:
            self._touch(service_id, node_id)
        for service_id in self._global_jobs:
            if not self._slots.has_tasks(service_id):
                self._touch(service_id)
        node = self._tables.nodes.get(node_id)
        self._node_alarms.set(node_id, lost_at(node) if node else None)

    def _note_service(self, service_id: str) -> None:
        self._touch(service_id)
        self._enforced_services[service_id] = None
        self._allocation.stir()
        service = self._tables.services.get(service_id)
        if service is None:
            self._globals.pop(service_id, None)
            self._global_jobs.pop(service_id, None)
            self._slots.wake(service_id, None, None)
            self.scheduler.loads.forget_failures(service_id)
        elif service.is_global:
            (self._global_jobs if service.is_job else self._globals)[service_id] = None

    def _note_task(self, task_id: str) -> None:
        before, task = self._known.get(task_id), self._tables.tasks.get(task_id)
        if before is task:
            return
        self.scheduler.put_task(task_id, before, task)
        self._allocation.put_task(task_id, task)
        self._slots.put_task(before, task)
        if task is not None:
            self._known[task_id] = task
            self._note_place(before, task)
            if before is None or not self._is_quiet(before, task):
                self._touch(task.service_id, slot_of(task))
        elif before is not None:
            del self._known[task_id]
            self._touch(before.service_id, slot_of(before) if before.desired_state is TaskState.REMOVE else None)

    def _note_place(self, before: TaskRecord | None, task: TaskRecord) -> None:
        """Look at a node that was given a task: it or the service may have changed since it was chosen."""
        node, service = self._tables.nodes.get(task.node_id), self._tables.services.get(task.service_id)
        if node is None or before is None or task.node_id == before.node_id:
            return
        is_old = service is not None and task.spec_version != service.spec_version
        if is_old or node.version > before.version:
            self._nodes[node.id] = None

    def _is_quiet(self, before: TaskRecord, task: TaskRecord) -> bool:
        """Return whether a task merely went on as it was meant to, which changes nothing for its service."""
        if task.status.state > TaskState.RUNNING or task.desired_state is not before.desired_state:
            return False
        service = self._tables.services.get(task.service_id)
        if service is None or (service.update is not None and service.update.state.is_active):
            return False
        if task.node_id == before.node_id:
            return True
        node = self._tables.nodes.get(task.node_id)
        return node is not None and node.takes_tasks

    def decide(self, now: datetime, new_id: Callable[[], str]) -> Decision:
        """Return the next steps toward what the services ask for; change nothing.

        Level-triggered: only the tables and `now` count, whatever happened before. Apply the commands, note the changes
        and ask again, until there are none: then the swarm is as it should be until something changes or `wake_at`
        comes. Commands of one pass never contradict each other, yet each may be refused as stale: propose each as a
        transaction of its own. `new_id` gives ids for new tasks.
        """
        turn = Turn(self._tables, now, new_id)
        for service_id, due in self._slots.due(now):
            for slot in (None,) if due is None else due:
                self._touch(service_id, slot)
        for node_id in self._node_alarms.due(now):
            orphan_tasks(turn, self._tables.nodes[node_id])
        self._enforce(turn)
        touched, self._touched = self._touched, {}
        for service_id, slots in touched.items():
            self._look_at(turn, service_id, slots)
        self._allocation.allocate(turn)
        self.scheduler.schedule(turn)
        for service_id, slots in touched.items():
            self._reap(turn, service_id, slots)
        alarms = (self._slots.alarms.next(), self._node_alarms.next())
        return Decision(turn.commands(), min((at for at in alarms if at is not None), default=None))

    def _enforce(self, turn: Turn) -> None:
        nodes, self._nodes = self._nodes, {}
        for node_id in nodes:
            node, decided = self._tables.nodes.get(node_id), turn.size
            if node is not None:
                enforce_on_node(turn, self.scheduler.loads, node)
            if turn.size > decided:
                self._nodes[node_id] = None
        services, self._enforced_services = self._enforced_services, {}
        for service_id in services:
            service = self._tables.services.get(service_id)
            if service is not None:
                enforce_on_service(turn, service, nodes)

    def _look_at(self, turn: Turn, service_id: str, touched: Touched) -> None:
        """Decide for one service. What something was decided for is looked at again next time, done or not."""
        service = self._tables.services.get(service_id)
        if service is None:
            return
        decided = turn.size
        if touched is not None and self._slots.is_few(service, touched):
            self._slots.look(turn, service, touched)
        else:
            turn.wake_at = None
            _reconcile(turn, service)
            self._slots.wake(service_id, None, turn.wake_at)
        if turn.size > decided:
            self._touch_again(service_id, touched)

    def _reap(self, turn: Turn, service_id: str, touched: Touched) -> None:
        service, decided = self._tables.services.get(service_id), turn.size
        if service is None or touched is None or service.is_job:
            reap(turn, service, turn.tasks_of(service_id))
        else:
            for slot in touched:
                reap(turn, service, self._slots.tasks_in(service_id, slot))
        if turn.size > decided:
            self._touch_again(service_id, touched)

    def _touch_again(self, service_id: str, touched: Touched) -> None:
        for slot in (None,) if touched is None else touched:
            self._touch(service_id, slot)


def _reconcile(turn: Turn, service: ServiceRecord) -> None:
    if service.is_job:
        reconcile_job(turn, service)
    elif service.is_global:
        reconcile_global(turn, service)
    else:
        reconcile_replicated(turn, service)
