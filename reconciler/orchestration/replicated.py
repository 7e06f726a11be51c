"""Replicated services: so many slots, each with a task."""

from __future__ import annotations

from itertools import count

from reconciler.model.tables import ServiceRecord, TaskRecord, UpdateState
from reconciler.model.tasks import TaskState
from reconciler.orchestration.restart import may_restart, restart_ended, start_waiting
from reconciler.orchestration.rollout import begins_update, roll
from reconciler.orchestration.turn import Replacement, SlotKey, Turn, in_order, leaving_slots


def replicas_of(service: ServiceRecord) -> int:
    """Return how many slots the service asks for."""
    return int(((service.spec.get("Mode") or {}).get("Replicated") or {}).get("Replicas", 1))


def reconcile_replicated(turn: Turn, service: ServiceRecord) -> None:
    """Restart, then scale, then roll: each only when there was nothing to do for the one before."""
    if not restart_slots(turn, service, turn.tasks_of(service.id)):
        scale(turn, service)


def restart_slots(turn: Turn, service: ServiceRecord, tasks: list[TaskRecord]) -> bool:
    """Let waiting tasks run and replace what has ended; return whether anything was replaced.

    `tasks` are all of some slots, oldest first.
    """
    slots = by_slot(tasks)
    leaving = leaving_slots(turn, service, tasks)
    for in_slot in slots.values():
        start_waiting(turn, service, in_slot, leaving)
    return restart_ended(turn, service, slots)


def is_settled(turn: Turn, service: ServiceRecord, tasks: list[TaskRecord]) -> bool:
    """Return whether a slot in which nothing is to be restarted is as it should be, whatever is in the others."""
    filling = fillers(service, tasks)
    return bool(filling) and not begins_update(turn, service, filling)


def scale(turn: Turn, service: ServiceRecord) -> None:
    """Give up slots or add some, and roll."""
    slots = by_slot(turn.tasks_of(service.id))
    occupied = {slot: filling for slot, all_tasks in slots.items() if (filling := fillers(service, all_tasks))}
    wanted = replicas_of(service)
    if len(occupied) > wanted:
        for slot in surplus_slots(occupied, wanted):
            _vacate(turn, slots[slot])
        return
    roll(turn, service, occupied)
    free = (number for number in count(1) if number not in occupied)
    added = [next(free) for _ in range(wanted - len(occupied))]
    leaving = leaving_slots(turn, service, turn.tasks_of(service.id)) if added else ()
    for number in added:
        desired = TaskState.READY if number in leaving else TaskState.RUNNING
        turn.create(service, Replacement(slot=number, node_id="", desired_state=desired))
    for slot, dead in slots.items():
        if slot not in occupied and slot not in added:
            _vacate(turn, dead)


def _vacate(turn: Turn, tasks: list[TaskRecord]) -> None:
    """Give up a slot with its history: what ran in it is nobody's business any more."""
    for task in tasks:
        turn.desire(task, TaskState.REMOVE)


def by_slot(tasks: list[TaskRecord]) -> dict[SlotKey, list[TaskRecord]]:
    """Return {slot: its tasks, oldest first} without those that are on their way out."""
    slots: dict[SlotKey, list[TaskRecord]] = {}
    for task in in_order(tasks):
        if task.desired_state < TaskState.REMOVE:
            slots.setdefault(task.slot, []).append(task)
    return dict(sorted(slots.items(), key=lambda item: str(item[0]).zfill(12)))


def fillers(service: ServiceRecord, tasks: list[TaskRecord]) -> list[TaskRecord]:
    """Return the tasks that fill a slot: the wanted ones, else a last one that must not be restarted; else none.

    In a rollback a task that had finished before it began fills nothing, so that another is put in its place.
    """
    live = [task for task in tasks if task.is_live]
    if live or not tasks:
        return live
    newest = tasks[-1]
    update = service.update
    rolling_back = update is not None and update.state is UpdateState.ROLLBACK_STARTED
    if rolling_back and update is not None and newest.created_index < update.epoch:
        return []
    return [] if may_restart(service, newest, tasks) else [newest]


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
