"""Replicated services: so many slots, each with a task."""

from __future__ import annotations

from itertools import count

from reconciler.model.tables import ServiceRecord, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.restart import may_restart, restart_ended, start_waiting
from reconciler.orchestration.rollout import roll
from reconciler.orchestration.turn import Replacement, SlotKey, Turn, in_order


def replicas_of(service: ServiceRecord) -> int:
    """Return how many slots the service asks for."""
    return int(((service.spec.get("Mode") or {}).get("Replicated") or {}).get("Replicas", 1))


def reconcile_replicated(turn: Turn, service: ServiceRecord) -> None:
    """Restart, then scale, then roll: each only when there was nothing to do for the one before."""
    tasks = turn.tasks_by_service[service.id]
    slots = by_slot(tasks)
    start_waiting(turn, service, tasks)
    if restart_ended(turn, service, slots):
        return
    occupied = {slot: filling for slot, all_tasks in slots.items() if (filling := fillers(service, all_tasks))}
    wanted = replicas_of(service)
    if len(occupied) > wanted:
        for slot in surplus_slots(occupied, wanted):
            for task in occupied[slot]:
                turn.desire(task, TaskState.REMOVE)
        return
    roll(turn, service, occupied)
    free = (number for number in count(1) if number not in occupied)
    for _ in range(wanted - len(occupied)):
        turn.create(service, Replacement(slot=next(free), node_id="", desired_state=TaskState.RUNNING))


def by_slot(tasks: list[TaskRecord]) -> dict[SlotKey, list[TaskRecord]]:
    """Return {slot: its tasks, oldest first} without those that are on their way out."""
    slots: dict[SlotKey, list[TaskRecord]] = {}
    for task in in_order(tasks):
        if task.desired_state < TaskState.REMOVE:
            slots.setdefault(task.slot, []).append(task)
    return dict(sorted(slots.items(), key=lambda item: str(item[0]).zfill(12)))


def fillers(service: ServiceRecord, tasks: list[TaskRecord]) -> list[TaskRecord]:
    """Return the tasks that fill a slot: the wanted ones, else a last one that must not be restarted; else none.

    In a rollback a finished task fills nothing, so that the rollback can put another in its place.
    """
    live = [task for task in tasks if task.is_live]
    if live or not tasks:
        return live
    rolling_back = service.update is not None and service.update.state.is_rollback and service.update.state.is_active
    newest = tasks[-1]
    if rolling_back or may_restart(service, newest, tasks):
        return []
    return [newest]


def surplus_slots(occupied: dict[SlotKey, list[TaskRecord]], wanted: int) -> list[SlotKey]:
    """Return the slots to give up, by Swarm's choice.

    Unplaced and crowded slots go first, then those on the nodes with most copies, rather ones that don't run yet,
    rather high numbers. (facts, swarmkit.md 2.2; the second sort is stable here)
    """
    ordered = sorted(
        occupied, key=lambda slot: (not any(task.state is TaskState.RUNNING for task in occupied[slot]), slot)
    )
    copies: dict[str, int] = {}
    ranks: dict[SlotKey, int] = {}
    last = len(ordered) + 1
    for slot in ordered:
        tasks = occupied[slot]
        if len(tasks) != 1 or not tasks[0].node_id:
            ranks[slot] = last
            continue
        node_id = tasks[0].node_id
        copies[node_id] = copies.get(node_id, 0) + 1
        ranks[slot] = copies[node_id]
    return sorted(ordered, key=lambda slot: ranks[slot])[wanted:]
