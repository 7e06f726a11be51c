"""What of each service has changed since it was last looked at: some slots, or all of it."""

from __future__ import annotations

from datetime import datetime

from reconciler.model.tables import ServiceRecord, Tables, TaskRecord
from reconciler.orchestration.alarms import Alarms
from reconciler.orchestration.everywhere import by_node, is_filled, restart_nodes
from reconciler.orchestration.everywhere import fill as fill_nodes
from reconciler.orchestration.replicated import by_slot, is_settled, restart_slots, scale
from reconciler.orchestration.turn import SlotKey, Turn, in_order

SLOTS_MIN = 16
"""So many slots are looked at one by one, however few a service has."""

SLOTS_SHARE = 8
"""Beyond one in so many slots, a look at the whole service is cheaper than one at each."""

Touched = dict[SlotKey, None] | None
"""The slots to look at; None for the whole service."""


class SlotBook:
    """Knows the tasks of each slot, and when time alone makes it worth a look."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._task_ids: dict[str, dict[SlotKey, dict[str, None]]] = {}
        self._wakes: dict[str, dict[SlotKey | None, datetime]] = {}
        self.alarms = Alarms()

    def put_task(self, before: TaskRecord | None, task: TaskRecord | None) -> None:
        """Take over how a task is now."""
        if before is not None and (task is None or slot_of(task) != slot_of(before)):
            slots = self._task_ids[before.service_id]
            ids = slots[slot_of(before)]
            del ids[before.id]
            if not ids:
                del slots[slot_of(before)]
                if not slots:
                    del self._task_ids[before.service_id]
            before = None
        if before is None and task is not None:
            slots = self._task_ids.setdefault(task.service_id, {})
            slots.setdefault(slot_of(task), {})[task.id] = None

    def has_tasks(self, service_id: str) -> bool:
        """Return whether there is any task of a service, wanted or not."""
        return service_id in self._task_ids

    def is_few(self, service: ServiceRecord, touched: dict[SlotKey, None]) -> bool:
        """Return whether it is right, and worth while, to look at some slots only."""
        if service.is_job or (service.update is not None and service.update.state.is_active):
            return False
        all_slots = len(self._task_ids.get(service.id, ()))
        return len(touched) <= max(SLOTS_MIN, all_slots // SLOTS_SHARE)

    def tasks_in(self, service_id: str, slot: SlotKey) -> list[TaskRecord]:
        """Return all tasks of a slot, oldest first."""
        ids = self._task_ids.get(service_id, {}).get(slot, ())
        return in_order(self._tables.tasks[task_id] for task_id in ids)

    def look(self, turn: Turn, service: ServiceRecord, touched: dict[SlotKey, None]) -> None:
        """Decide for some slots of a service with no active update, and for all of it where that is called for."""
        replaced, settled = False, True
        for slot in touched:
            turn.wake_at = None
            tasks = self.tasks_in(service.id, slot)
            if service.is_global:
                replaced = restart_nodes(turn, service, tasks) or replaced
                settled = settled and is_filled(turn, service, str(slot), by_node(tasks).get(slot, []))
            else:
                slots = by_slot(tasks)
                replaced = restart_slots(turn, service, tasks) or replaced
                # A slot that was given up was counted as such when that was decided.
                settled = settled and (slot not in slots or is_settled(turn, service, slots[slot]))
            self.wake(service.id, slot, turn.wake_at)
        if replaced or settled:
            return
        turn.wake_at = None
        if service.is_global:
            fill_nodes(turn, service)
        else:
            scale(turn, service)
        self._wake_early(service.id, next(iter(touched)), turn.wake_at)

    def _wake_early(self, service_id: str, slot: SlotKey, at: datetime | None) -> None:
        """Look at a slot again at `at`, or before if that is decided already."""
        known = self._wakes.get(service_id, {}).get(slot)
        if at is not None and (known is None or at < known):
            self.wake(service_id, slot, at)

    def wake(self, service_id: str, slot: SlotKey | None, at: datetime | None) -> None:
        """Look at a slot again at `at`, None for never. Without a slot it is the service, and all slots' are over."""
        wakes = self._wakes.setdefault(service_id, {})
        if slot is None:
            wakes.clear()
        if at is None:
            wakes.pop(slot, None)
        else:
            wakes[slot] = at
        self.alarms.set(service_id, min(wakes.values(), default=None))
        if not wakes:
            del self._wakes[service_id]

    def due(self, now: datetime) -> list[tuple[str, Touched]]:
        """Return the services to look at now, each with the slots that are due."""
        found: list[tuple[str, Touched]] = []
        for service_id in self.alarms.due(now):
            slots = [slot for slot, at in self._wakes[service_id].items() if at <= now]
            found.append((service_id, None if None in slots else {slot: None for slot in slots if slot is not None}))
            for slot in slots:
                self.wake(service_id, slot, None)
        return found


def slot_of(task: TaskRecord) -> SlotKey:
    """Return a task's slot, whether or not its service is still there: without a number it is the node."""
    return task.slot or task.node_id
