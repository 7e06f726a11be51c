"""What a change of a service does to its running tasks: a sentence for people, numbers for programs.

The numbers are exact for the tasks as they were observed; tests/e2e/test_effects.py compares them with what a real
swarm does, for every field of a ServiceSpec.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from reconciler.model.constraints import constraints_hold
from reconciler.model.json import JsonObject, dig
from reconciler.model.modes import is_job, mode_of
from reconciler.model.nodes import Availability
from reconciler.model.objects import ObservedObject
from reconciler.model.plan import Change, TaskCounts, TaskEffect
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.model.words import many
from reconciler.planning.preflight.rooms import Room
from reconciler.planning.renewal import Filled, Names, Renewal, SlotKey, SlotUse, constraints_of, filled_slots
from reconciler.planning.rollout_time import about, pace_of, seconds

Rooms = Mapping[str, Room]
"""{node id: the node as the plan makes it}."""


STABLE_SORT_MAX = 12
"""Slots that Go's sort, which keeps no order of equals, sorts by insertion, and which therefore stay in order."""


class Effect(msgspec.Struct, frozen=True):
    """What happens to tasks, as a kind, as a sentence for people, and in numbers."""

    kind: TaskEffect
    text: str
    tasks: TaskCounts


class Update(msgspec.Struct, frozen=True):
    """An update of the service `found` to `body`, which is what will be sent, names standing for ids.

    `tasks` are the service's own, history included. `changes` are the differences that the plan tells; those of the
    tasks follow from `body` alone. The nodes `evicted_from` lose their tasks before (planning/relabelled.py).
    """

    found: ObservedObject
    body: JsonObject
    changes: tuple[Change, ...]
    tasks: tuple[ObservedTask, ...]
    rooms: Rooms
    names: Names
    evicted_from: frozenset[str] = frozenset()


def of_create(spec: JsonObject, rooms: Rooms) -> Effect:
    """Return the effect of creating a service."""
    count = task_count(spec, rooms)
    if not count:
        return Effect(TaskEffect.NONE, _why_none_starts(spec), TaskCounts())
    text = f"{many(count, 'task')} {_verb(count, 'start')}{_spread(spec, count)}"
    return Effect(TaskEffect.START, text, TaskCounts(start=count))


def of_delete(running: int) -> Effect:
    """Return the effect of removing a service that has `running` tasks."""
    if not running:
        return Effect(TaskEffect.NONE, "no task runs", TaskCounts())
    return Effect(TaskEffect.STOP, f"{many(running, 'task')} {_verb(running, 'stop')}", TaskCounts(stop=running))


def of_replace(running: int, spec: JsonObject, rooms: Rooms) -> Effect:
    """Return the effect of removing a service that has `running` tasks and creating it anew with `spec`."""
    gone, come = of_delete(running), of_create(spec, rooms)
    kind = come.kind if gone.kind is TaskEffect.NONE else gone.kind
    return Effect(kind, f"{gone.text}, then {come.text}", replace(gone.tasks, start=come.tasks.start))


def of_update(update: Update) -> Effect:
    """Return the effect of an update that leaves the service's mode what it is."""
    if is_job(update.body):
        return _of_job(update)
    if mode_of(update.body) == "Global":
        return _of_global(update)
    return _of_replicated(update)


def task_count(spec: JsonObject, rooms: Rooms) -> int:
    """Return how many tasks a new service of `spec` gets in all: of a job those that run later as well."""
    mode = mode_of(spec)
    if mode in ("Global", "GlobalJob"):
        return len(_fitting(spec, rooms))
    if mode == "ReplicatedJob":
        total = dig(spec, "Mode", mode, "TotalCompletions")
        return _concurrent(spec) if total is None else int(total)
    replicas = dig(spec, "Mode", "Replicated", "Replicas")
    return 1 if replicas is None else int(replicas)


def _concurrent(spec: JsonObject) -> int:
    concurrent = dig(spec, "Mode", "ReplicatedJob", "MaxConcurrent")
    return 1 if concurrent is None else int(concurrent)


def _fitting(spec: JsonObject, rooms: Rooms) -> set[str]:
    """Return the nodes that are given a task of a global service.

    Resources, platforms and ports count for none: a task that lacks them is made all the same, and waits.
    """
    constraints = constraints_of(spec)
    return {node_id for node_id, room in rooms.items() if room.takes_tasks and constraints_hold(constraints, room.node)}


def _of_job(update: Update) -> Effect:
    """Swarm runs a job again at each update, whatever it changes, be it a label (measured on 20.10)."""
    stop = len([task for task in update.tasks if _is_wanted(task)])
    start = task_count(update.body, update.rooms)
    text = f"the job runs again: {many(start, 'task')} {_verb(start, 'start')}{_spread(update.body, start)}"
    if stop:
        text += f", {stop} still running {_verb(stop, 'stop')}"
    return Effect(TaskEffect.RERUN, text, TaskCounts(start=start, stop=stop))


def _is_wanted(task: ObservedTask) -> bool:
    return task.desired_state <= TaskState.COMPLETE and task.state <= TaskState.RUNNING


def _of_replicated(update: Update) -> Effect:
    slots = filled_slots(update.tasks, is_global=False)
    wanted, before = task_count(update.body, update.rooms), task_count(update.found.spec, update.rooms)
    surplus = max(0, len(slots) - wanted)
    evicted = _evicted(update, slots)
    removed = _first_to_go(slots, surplus, evicted)
    finished = sum(1 for key in removed if slots[key].use is SlotUse.FINISHED)
    kept = _renewed(update, {key: slot for key, slot in slots.items() if key not in removed | evicted})
    evicted -= removed
    # From here on Swarm's own sort leaves slots that are alike in any order. And what has ended is begun again or not,
    # as it comes, where slots go at the same time: seen both ways on 20.10.
    has_finished = any(slot.use is SlotUse.FINISHED for slot in slots.values())
    unsure = surplus and kept and (len(slots) > STABLE_SORT_MAX or has_finished)
    counts = TaskCounts(len(kept) + len(evicted), start=max(0, wanted - len(slots)), stop=surplus - finished)
    parts = []
    if wanted != before:
        parts.append(f"scale {before} -> {wanted}")
    if counts.start:
        parts.append(f"{many(counts.start, 'task')} {_verb(counts.start, 'start')}")
    if counts.stop:
        parts.append(f"{many(counts.stop, 'task')} {_verb(counts.stop, 'stop')}")
    if finished:
        parts.append(f"{many(finished, 'finished task')} {_verb(finished, 'go', 'goes')}")
    parts += _evictions(evicted)
    return _composed(update, ", ".join(parts), kept, counts, "up to " if unsure else "")


def _evicted(update: Update, slots: Mapping[SlotKey, Filled]) -> frozenset[SlotKey]:
    """Return the slots whose task runs on a node that loses it before the service is written."""
    running = ((key, slot) for key, slot in slots.items() if slot.use is SlotUse.RUNNING)
    return frozenset(key for key, slot in running if any(task.node_id in update.evicted_from for task in slot.tasks))


def _evictions(evicted: frozenset[SlotKey]) -> list[str]:
    """Return what is to be said of evicted tasks that come again, if anything."""
    if not evicted:
        return []
    return [f"{many(len(evicted), 'task')} {'is' if len(evicted) == 1 else 'are'} replaced as nodes' labels change"]


def _first_to_go(slots: Mapping[SlotKey, Filled], surplus: int, evicted: frozenset[SlotKey]) -> frozenset[SlotKey]:
    """Return the slots that scaling down by `surplus` removes. What was evicted has no node by then.

    Swarm numbers the copies on each node, running ones and low slots first, and removes the highest numbers; before
    those, what has no node or is several tasks. Source: facts, swarmkit.md 2.2.
    """
    order = sorted(slots.items(), key=lambda item: (item[1].use is not SlotUse.RUNNING, item[0]))
    copies: Counter[str] = Counter()
    numbered: list[tuple[float, SlotKey]] = []
    for key, slot in order:
        node_id = slot.tasks[0].node_id if len(slot.tasks) == 1 and key not in evicted else ""
        copies[node_id] += 1
        numbered.append((copies[node_id] if node_id else math.inf, key))
    numbered.sort(key=lambda item: item[0])
    return frozenset(key for _, key in numbered[len(numbered) - surplus :])


def _of_global(update: Update) -> Effect:
    slots = filled_slots(update.tasks, is_global=True)
    fitting = _fitting(update.body, update.rooms)
    constraints = constraints_of(update.body)
    stay = {node_id for node_id in slots if _keeps(update.rooms, str(node_id), constraints)}
    # a paused node is left as it is until it is active again
    active = {key: slots[key] for key in stay if _is_active(update.rooms, str(key))}
    evicted = _evicted(update, active)
    renewed = _renewed(update, {key: slot for key, slot in active.items() if key not in evicted})
    gone = [slot for key, slot in slots.items() if key not in stay and slot.use is not SlotUse.FINISHED]
    restart = len(renewed) + len(evicted)
    counts = TaskCounts(restart, start=len(fitting - slots.keys()), stop=len(gone))
    parts = []
    if counts.start:
        nodes = many(counts.start, "more node")
        parts.append(f"{many(counts.start, 'task')} {_verb(counts.start, 'start')} on {nodes}")
    if counts.stop:
        nodes = "a node that does" if counts.stop == 1 else "nodes that do"
        parts.append(f"{many(counts.stop, 'task')} {_verb(counts.stop, 'stop')} on {nodes} not fit")
    parts += _evictions(evicted)
    parts += _left_on_paused(_renewed(update, {key: slots[key] for key in stay - active.keys()}))
    return _composed(update, ", ".join(parts), renewed, counts, "")


def _left_on_paused(left: list[Filled]) -> list[str]:
    """Return what is to be said of a global service's tasks that their node would have to be active for."""
    if not left:
        return []
    where = "a paused node stays as it is" if len(left) == 1 else "paused nodes stay as they are"
    return [f"{many(len(left), 'task')} on {where}"]


def _keeps(rooms: Rooms, node_id: str, constraints: tuple[str, ...]) -> bool:
    room = rooms.get(node_id)
    return room is not None and room.keeps(constraints)


def _is_active(rooms: Rooms, node_id: str) -> bool:
    return rooms[node_id].node.availability is Availability.ACTIVE


def _renewed(update: Update, slots: Mapping[SlotKey, Filled]) -> list[Filled]:
    """Return the slots whose task is replaced, those that run first."""
    renewal = Renewal.of(update.found, update.body, update.rooms, update.names)
    renewed = [slot for slot in slots.values() if any(renewal.replaces(task) for task in slot.tasks)]
    return sorted(renewed, key=lambda slot: list(SlotUse).index(slot.use))


def _composed(update: Update, scaling: str, renewed: list[Filled], counts: TaskCounts, unsure: str) -> Effect:
    """Return the effect of scaling (told in a sentence, "" for none) and of renewing some slots together."""
    if not renewed:
        kind = TaskEffect.SCALE if counts.start or counts.stop else TaskEffect.NONE
        kind = TaskEffect.MOVE if counts.restart else kind
        return Effect(kind, scaling or _why_nothing(update), counts)
    kind = TaskEffect.MOVE if _is_about_placement(update.changes) else TaskEffect.ROLLING
    text, seconds_taken = _renewal(update, renewed, kind, unsure)
    counts = replace(counts, seconds=None if seconds_taken is None else round(seconds_taken))
    return Effect(kind, f"{scaling}; {text}" if scaling else text, counts)


def _renewal(update: Update, renewed: list[Filled], kind: TaskEffect, unsure: str) -> tuple[str, float | None]:
    """Return the words for replacing tasks, and about how many seconds that takes; None where none of them runs."""
    count = len(renewed)
    running = sum(1 for slot in renewed if slot.use is SlotUse.RUNNING)
    if not running and all(slot.use is SlotUse.FINISHED for slot in renewed):
        noun = "finished task" if count == 1 else "finished tasks"
        return f"{unsure}{count} {noun} {_verb(count, 'run')} again", None
    if not running:
        who = "that does not run yet is" if count == 1 else "that do not run yet are"
        return f"{unsure}{many(count, 'task')} {who} replaced", None
    pace = pace_of(update.body, count)
    taken = seconds(update.found.spec, update.body, pace)
    if kind is TaskEffect.MOVE:
        what = f"{unsure}{many(count, 'task')} {_verb(count, 'move')} to another node"
    else:
        what = f"rolling restart of {unsure}{many(count, 'task')}"
    order = "start-first" if pace.start_first else "stop-first"
    steps = [f"{pace.at_once} at a time" if pace.at_once < count else "all at once"] if count > 1 else []
    return ", ".join([what, *steps, order, about(taken)]), taken


def _is_about_placement(changes: tuple[Change, ...]) -> bool:
    told = [change.path for change in changes if change.path.startswith(("TaskTemplate.", "EndpointSpec"))]
    return bool(told) and all(path.startswith("TaskTemplate.Placement.") for path in told)


def _why_nothing(update: Update) -> str:
    """Return the words for an update that renews nothing and scales nothing."""
    paths = [change.path for change in update.changes]
    if paths and all(path.startswith("Labels") for path in paths):
        return "label only, no task restarts"
    if paths and all(path.startswith(("Labels", "UpdateConfig", "RollbackConfig")) for path in paths):
        return "settings only, no task restarts"
    if not filled_slots(update.tasks, is_global=mode_of(update.body) == "Global"):
        return "no task runs, none restarts"
    if _is_about_placement(update.changes):
        return "placement only, every task stays where it is"
    return "no task restarts"


def _why_none_starts(spec: JsonObject) -> str:
    if mode_of(spec) in ("Global", "GlobalJob"):
        return "no task starts, as no node fits"
    return "no task starts, with 0 replicas"


def _spread(spec: JsonObject, count: int) -> str:
    """Return what is to be said of where or when `count` new tasks run, or ""."""
    mode = mode_of(spec)
    if mode in ("Global", "GlobalJob"):
        return ", 1 on each fitting node" if count > 1 else ", on the only fitting node"
    if mode == "ReplicatedJob" and 0 < _concurrent(spec) < count:
        return f", {_concurrent(spec)} at a time"
    return ""


def _verb(count: int, verb: str, of_one: str = "") -> str:
    return (of_one or f"{verb}s") if count == 1 else verb
