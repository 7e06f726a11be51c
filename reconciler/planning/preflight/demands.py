"""Which tasks stay where they are when a plan is carried out, and which have to find a node."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from reconciler.model.discreet import Discreet
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.claims import (
    Claim,
    Mode,
    ResolveDriver,
    claim_of,
    counted,
    mode_and_count,
    published,
    reserved,
)
from reconciler.planning.preflight.rooms import Rooms

PLACEMENT = "TaskTemplate.Placement."
RENEWING = ("TaskTemplate.", "EndpointSpec.")
"""Paths whose change makes tasks new, except that one of the placement alone spares those on nodes that still suit."""

START_FIRST = "start-first"


class Demand(Discreet, frozen=True):
    """`count` tasks of a service that look for a node, of `total` that it wants.

    `bound` are the ids of the nodes that each get one task, for a global service; None where any node will do.
    `beside` are (node id, claim) of the tasks that stay until a new one runs, for a start-first update.
    """

    UNSHOWN = frozenset({"spec"})

    service: str
    spec: JsonObject
    claim: Claim
    mode: Mode
    count: int
    total: int
    bound: tuple[str, ...] | None = None
    beside: tuple[tuple[str, Claim], ...] = ()

    def fewer(self, surplus: int) -> Demand:
        """Return the demand for `surplus` tasks less."""
        return replace(self, count=max(0, self.count - surplus))

    def is_placeable(self, rooms: Rooms) -> bool:
        """Return whether the nodes that it is bound to are all there."""
        return self.bound is None or rooms.by_id.keys() >= set(self.bound)


class Survey(msgspec.Struct):
    """The nodes with the tasks that stay on them, and what is to be placed, in the order of the plan.

    `standing` counts the tasks that stay by (service name, node id).
    """

    rooms: Rooms
    demands: list[Demand] = msgspec.field(default_factory=list)
    standing: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)

    def stay(self, service: str, claim: Claim, node_id: str) -> None:
        self.standing[service, node_id] += 1
        room = self.rooms.by_id.get(node_id)
        if room is not None:
            room.stay(service, claim)


def survey(context: Context, draft: Draft, rooms: Rooms) -> Survey:
    """Return what the draft's service actions leave standing on `rooms`, and what they have to place.

    Tasks of services that it does not touch stay, unless what it does to their node drives them off: then they look
    for another one too. What is about to end counts as gone, so that nothing is said that waiting would prove wrong.
    """
    made = Survey(rooms)
    driver_of = network_drivers(context, draft)
    by_service = live_tasks(context)
    actions = {action.object_id: action for action in draft.actions if action.kind is Kind.SERVICE and action.object_id}
    moved = {action.object_id for action in draft.actions if action.kind is Kind.NODE}
    _stay_behind(context, made)
    displaced: list[Demand] = []
    updates: dict[str, Demand | None] = {}
    for found in context.actual.services:
        action = actions.get(found.id)
        tasks = by_service.get(found.id, [])
        if action is None:
            displaced += _stay_untouched(made, found, tasks, moved, driver_of)
        elif action.type is ActionType.UPDATE and action.spec is not None:
            updates[action.id] = _update(context, made, action, found, tasks, driver_of)
    for action in draft.actions:
        if action.kind is not Kind.SERVICE or action.spec is None or action.type is ActionType.DELETE:
            continue
        demand = updates[action.id] if action.id in updates else _all_new(action.name, action.spec, rooms, driver_of)
        if demand is not None:
            made.demands.append(demand)
    made.demands += displaced
    return made


def _stay_behind(context: Context, made: Survey) -> None:
    """Leave standing what runs of jobs that are gone: engines of 20.10 never tell these tasks to end."""
    there = {found.id for found in context.actual.services}
    for task in context.actual.tasks:
        if task.service_id in there or dig(task.raw, "JobIteration") is None:
            continue
        if is_placed(task) and task.state <= TaskState.RUNNING and task.desired_state <= TaskState.COMPLETE:
            made.stay("", held_claim(task), task.node_id)


def network_drivers(context: Context, draft: Draft) -> ResolveDriver:
    """Return how to look up a network's driver by name or id, of networks that exist or that the draft creates."""
    drivers: dict[str, str] = {}
    for found in context.actual.of_kind(Kind.NETWORK):
        drivers[found.id] = drivers[found.name] = str(found.spec.get("Driver") or "")
    for name, network_id in context.actual.predefined_networks:
        drivers[network_id] = drivers[name] = name
    for action in draft.actions:
        if action.kind is Kind.NETWORK and action.spec is not None:
            drivers[action.name] = str(action.spec.get("Driver") or "overlay")
    return drivers.get


def live_tasks(context: Context) -> dict[str, list[ObservedTask]]:
    """Return {service id: the tasks that run or are about to}, one for each slot, or for each node of a global service.

    While an update replaces a task there are two in one slot; the newer, which is to stay, counts.
    """
    slots: dict[tuple[str, int, str], ObservedTask] = {}
    for task in context.actual.tasks:
        if task.desired_state > TaskState.COMPLETE or task.state > TaskState.RUNNING:
            continue
        key = (task.service_id, task.slot, task.node_id if task.slot == 0 else "")
        other = slots.get(key)
        if other is None or (task.up_to_date and not other.up_to_date):
            slots[key] = task
    by_service: dict[str, list[ObservedTask]] = defaultdict(list)
    for task in slots.values():
        by_service[task.service_id].append(task)
    return by_service


def is_placed(task: ObservedTask) -> bool:
    """Return whether a task takes room on a node. A global service's is bound to one before it is let in there."""
    return bool(task.node_id) and task.state >= TaskState.ASSIGNED


def held_claim(task: ObservedTask, found: ObservedObject | None = None) -> Claim:
    """Return what a running task holds of its node; `found` is its service, where that is still there."""
    template = task.raw.get("Spec") or (found.spec.get("TaskTemplate") if found else None) or {}
    nano_cpus, memory_bytes, generic = reserved(template)
    assigned = counted(task.raw.get("GenericResources") or ())
    if task.up_to_date and found is not None:
        ports = published(found.spec, "host")
    else:
        listed = dig(task.raw, "Status", "PortStatus", "Ports") or ()
        ports = published({"EndpointSpec": {"Ports": listed}}, "host")
    return Claim(
        nano_cpus=nano_cpus,
        memory_bytes=memory_bytes,
        generic=tuple(sorted(assigned.items())) or generic,
        host_ports=ports,
    )


def _stay_untouched(
    made: Survey, found: ObservedObject, tasks: list[ObservedTask], moved: set[str | None], driver_of: ResolveDriver
) -> Iterable[Demand]:
    """Leave the tasks of a service that has no action standing; yield what the plan for nodes drives off."""
    constraints = tuple(dig(found.spec, "TaskTemplate", "Placement", "Constraints") or ())
    driven_off = 0
    for task in tasks:
        if not is_placed(task):
            continue
        if task.node_id in moved and not _may_stay(made.rooms, task.node_id, constraints):
            driven_off += 1
        else:
            made.stay(found.name, held_claim(task, found), task.node_id)
    if driven_off and (demand := displaced_demand(found.name, found.spec, driven_off, driver_of)):
        yield demand


def displaced_demand(service: str, spec: JsonObject, count: int, driver_of: ResolveDriver) -> Demand | None:
    """Return what `count` tasks that lose their node ask for; None where Swarm places no others for them.

    A global service's task belongs to its node, a job's is not moved, and a service that never restarts stays short.
    """
    mode, total = mode_and_count(spec)
    if mode is not Mode.REPLICATED or dig(spec, "TaskTemplate", "RestartPolicy", "Condition") == "none":
        return None
    return Demand(service, spec, claim_of(spec, driver_of), mode, min(count, total), total)


def _may_stay(rooms: Rooms, node_id: str, constraints: tuple[str, ...]) -> bool:
    room = rooms.by_id.get(node_id)
    return room is not None and room.keeps(constraints)


def _all_new(service: str, spec: JsonObject, rooms: Rooms, driver_of: ResolveDriver) -> Demand:
    """Return the demand of a service of which nothing runs yet."""
    mode, total = mode_and_count(spec)
    claim = claim_of(spec, driver_of)
    if not mode.is_global:
        return Demand(service, spec, claim, mode, total, total)
    # Swarm makes a global service's task for each of these, whether or not it can run there: it looks at constraints
    # and availability only, and a lack of anything else leaves the task pending. (swarmkit.md 2.3)
    bound = tuple(room.node.id for room in rooms.meeting(claim.needs.constraints))
    return Demand(service, spec, claim, mode, len(bound), len(bound), bound)


def _update(
    context: Context,
    made: Survey,
    action: Action,
    found: ObservedObject,
    tasks: list[ObservedTask],
    driver_of: ResolveDriver,
) -> Demand | None:
    """Leave standing what an update leaves, and return what it has to place; None for nothing."""
    assert action.spec is not None
    spec = action.spec
    fresh = _all_new(action.name, spec, made.rooms, driver_of)
    if fresh.mode.is_job:
        return fresh  # each update runs a job again, and ends what is left of the run before
    surviving = tasks if fresh.mode.is_global else _kept_when_scaled(tasks, fresh.total)
    renewing = [path for change in action.changes if (path := f"{change.path}.").startswith(RENEWING)]
    spares = all(path.startswith(PLACEMENT) for path in renewing)
    kept, renewed = _split(made.rooms, fresh.claim, surviving, spares=spares)
    for task in kept:
        made.stay(action.name, held_claim(task, found), task.node_id)
    beside: tuple[tuple[str, Claim], ...] = ()
    if dig(spec, "UpdateConfig", "Order") == START_FIRST:
        beside = tuple(
            (task.node_id, held_claim(task, found))
            for task in renewed
            if _may_stay(made.rooms, task.node_id, fresh.claim.needs.constraints)
        )
    if fresh.bound is not None:
        here = {task.node_id for task in kept} | (set() if renewing else _ended_on(context, found))
        bound = tuple(node_id for node_id in fresh.bound if node_id not in here)
        return Demand(action.name, spec, fresh.claim, fresh.mode, len(bound), fresh.total, bound, beside)
    missing = fresh.total - len(kept)
    if missing > 0 and not renewing:
        missing -= _finished_slots(context, found, tasks)
    missing = max(0, missing)
    return Demand(action.name, spec, fresh.claim, fresh.mode, missing, fresh.total, None, beside)


def _split(
    rooms: Rooms, claim: Claim, tasks: list[ObservedTask], *, spares: bool
) -> tuple[list[ObservedTask], list[ObservedTask]]:
    """Return (tasks that an update leaves alone, tasks on nodes that it replaces).

    `spares` says that it makes no task new whose node still suits. (swarmkit.md 2.6)
    """
    kept, renewed = [], []
    for task in tasks:
        if not is_placed(task):
            continue
        if task.up_to_date and spares and _may_stay(rooms, task.node_id, claim.needs.constraints):
            kept.append(task)
        else:
            renewed.append(task)
    return kept, renewed


def _kept_when_scaled(tasks: list[ObservedTask], total: int) -> list[ObservedTask]:
    """Return the tasks that are left when a service is scaled to `total`.

    Source: swarmkit.md 2.2: running ones and low slots first, each node's first task before any node's second.
    """
    if len(tasks) <= total:
        return tasks
    nth: Counter[str] = Counter()
    ranked: list[tuple[int, ObservedTask]] = []
    for task in sorted(tasks, key=lambda one: (one.state is not TaskState.RUNNING, one.slot)):
        nth[task.node_id] += 1
        ranked.append((nth[task.node_id] if task.node_id else len(tasks), task))
    ranked.sort(key=lambda one: one[0])
    return [task for _, task in ranked[:total]]


def _finished_slots(context: Context, found: ObservedObject, tasks: list[ObservedTask]) -> int:
    """Return in how many slots a task has ended that the restart policy does not replace."""
    live = {task.slot for task in tasks}
    ended = {task.slot for task in context.tasks_of(found.id) if task.desired_state is not TaskState.REMOVE}
    return len(ended - live)


def _ended_on(context: Context, found: ObservedObject) -> set[str]:
    """Return the nodes on which a global service's task has ended and may be left so by the restart policy."""
    if (dig(found.spec, "TaskTemplate", "RestartPolicy", "Condition") or "any") == "any":
        return set()
    return {task.node_id for task in context.tasks_of(found.id) if task.state > TaskState.RUNNING}
