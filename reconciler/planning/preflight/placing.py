"""Whether demands fit on the nodes together.

One service's tasks are all alike: how many of them fit does not depend on where the first ones go. Several services
share nodes, and there it does. So three questions are asked, the dear ones only where the cheap ones leave a doubt:
does each service fit alone; do all fit when each goes where Swarm would put it; and if not, is there any way at all?
Nothing is reported that a lucky order could place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heapreplace

import msgspec
from msgspec.structs import replace

from reconciler.planning.preflight.demands import Demand
from reconciler.planning.preflight.rooms import Refusal, Room, Rooms
from reconciler.planning.preflight.searching import any_way, candidates_of, size_of

Rank = Callable[[Demand, Room], tuple[int, ...]]

Refusals = tuple[tuple[Refusal, tuple[str, ...]], ...]
"""Each reason with the hostnames of the nodes that it excludes, in the order of Refusal."""


class Shortfall(msgspec.Struct, frozen=True):
    """`missing` tasks of a demand find no node. `shared` says that they would, did others of the plan not go first.

    `beside` says that the tasks could run, but not at the same time as the ones that they replace. `later` are services
    that have the room now, and give it back only after these tasks run; `rivals` are those whose start-first updates
    wait for each other's room.
    """

    demand: Demand
    missing: int
    refusals: Refusals
    shared: bool = False
    beside: bool = False
    later: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()


class Placement(msgspec.Struct):
    """What could be placed: {service name: {node id: tasks}}, and what could not."""

    placed: dict[str, Counter[str]]
    shortfalls: list[Shortfall]

    @property
    def missing(self) -> int:
        return sum(one.missing for one in self.shortfalls)


def place(demands: Sequence[Demand], rooms: Rooms) -> Placement:
    """Return which of the demands fit on `rooms` together. Changes nothing."""
    single = [short for demand in demands if (short := alone(demand, rooms))]
    short_of = {short.demand.service: short for short in single}
    feasible = [_reduced(demand, short_of.get(demand.service), rooms) for demand in demands]
    made = _as_swarm_would(feasible, rooms)
    if made.shortfalls:
        others = _with_care(feasible, rooms)
        if not others.shortfalls or any_way(feasible, rooms):
            made.shortfalls = []
        elif others.missing < made.missing:
            made = others
    made.shortfalls = _in_order(demands, single, made.shortfalls)
    return made


def beside(demand: Demand, rooms: Rooms) -> Shortfall | None:
    """Return what of a start-first update can never begin: a new task has to run before the old one stops.

    None where one new task finds room beside all old ones; from there on each step frees what the next one needs.
    """
    if not demand.beside:
        return None
    here = [(node_id, claim) for node_id, claim in demand.beside if node_id in rooms.by_id]
    crowded = rooms.changing({node_id for node_id, _ in here})
    for node_id, claim in here:
        crowded.by_id[node_id].take(demand.service, claim)
    return never_begun(demand, crowded)


def never_begun(demand: Demand, crowded: Rooms) -> Shortfall | None:
    """Return what of a start-first update finds no room for its first new tasks; its old ones are in `crowded`."""
    open_nodes = (room for room in candidates_of(demand, crowded) if room.has_room(demand.service, demand.claim))
    if demand.bound is None:
        if not demand.count or any(open_nodes):
            return None
        return Shortfall(demand, len(demand.beside), refusals(crowded, demand), beside=True)
    open_to = {room.node.id for room in open_nodes}
    closed = tuple(node_id for node_id in demand.bound if node_id not in open_to)
    return Shortfall(demand, len(closed), refusals(crowded, demand, closed), beside=True) if closed else None


def _in_order(demands: Sequence[Demand], single: list[Shortfall], shared: list[Shortfall]) -> list[Shortfall]:
    """Return one shortfall for each service that has any, in the order of the plan."""
    merged = {short.demand.service: short for short in single}
    for short in shared:
        before = merged.get(short.demand.service)
        if before is None:
            merged[short.demand.service] = replace(short, shared=True)
        else:
            merged[short.demand.service] = replace(before, missing=before.missing + short.missing)
    whole = {demand.service: demand for demand in demands}
    return [replace(merged[name], demand=whole[name]) for name in whole if name in merged]


def alone(demand: Demand, rooms: Rooms) -> Shortfall | None:
    """Return what of a demand finds no node even when nothing else of the plan is placed."""
    suited = candidates_of(demand, rooms)
    if demand.bound is not None:
        taking = {room.node.id for room in suited if room.has_room(demand.service, demand.claim)}
        refusing = tuple(node_id for node_id in demand.bound if node_id not in taking)
        return Shortfall(demand, len(refusing), refusals(rooms, demand, refusing)) if refusing else None
    if not demand.count or (suited and not demand.claim.takes_room):
        return None
    fitting: dict[str, int] = {}
    missing = demand.count
    for room in suited:
        fitting[room.node.id] = room.capacity(demand.service, demand.claim)
        missing -= fitting[room.node.id]
        if missing <= 0:
            return None
    for room in suited:  # as it will be once all that fit are there
        room.take(demand.service, demand.claim, fitting[room.node.id])
    short = Shortfall(demand, missing, refusals(rooms, demand))
    for room in suited:
        room.take(demand.service, demand.claim, -fitting[room.node.id])
    return short


def _reduced(demand: Demand, short: Shortfall | None, rooms: Rooms) -> Demand:
    """Return a demand without what can't be placed anyway."""
    if short is None:
        return demand
    if demand.bound is None:
        return replace(demand, count=demand.count - short.missing)
    taking = {room.node.id for room in candidates_of(demand, rooms) if room.has_room(demand.service, demand.claim)}
    bound = tuple(node_id for node_id in demand.bound if node_id in taking)
    return replace(demand, count=len(bound), bound=bound)


def refusals(rooms: Rooms, demand: Demand, node_ids: Iterable[str] | None = None) -> Refusals:
    """Return why the nodes with these ids, or all, take no more tasks of a demand."""
    meeting = {room.node.id for room in rooms.meeting(demand.claim.needs.constraints)}
    names: dict[Refusal, list[str]] = {}
    for node_id in rooms.by_id if node_ids is None else node_ids:
        room = rooms.by_id[node_id]
        refusal = room.refusal(demand.service, demand.claim, meets=node_id in meeting)
        if refusal is not None:
            names.setdefault(refusal, []).append(room.node.hostname)
    return tuple((reason, tuple(sorted(names[reason]))) for reason in Refusal if reason in names)


def _as_swarm_would(demands: Sequence[Demand], rooms: Rooms) -> Placement:
    """Place in the order of the plan, each task on the node with the fewest of its service, then of all."""
    return _placed(demands, rooms, lambda demand, room: (room.replicas[demand.service], room.tasks))


def _with_care(demands: Sequence[Demand], rooms: Rooms) -> Placement:
    """Place what has the least choice first, then the largest, each where the fewest others could go."""
    wanted_by: Counter[str] = Counter()
    choice: dict[str, int] = {}
    for demand in demands:
        candidates = candidates_of(demand, rooms)
        choice[demand.service] = len(candidates)
        wanted_by.update(room.node.id for room in candidates)
    ordered = sorted(demands, key=lambda one: (choice[one.service], size_of(one)))
    return _placed(
        ordered, rooms, lambda _, room: (wanted_by[room.node.id], room.nano_cpus, room.memory_bytes, room.tasks)
    )


def _placed(demands: Sequence[Demand], rooms: Rooms, rank: Rank) -> Placement:
    """Place `demands` one after the other, each task on the lowest ranking node that has room."""
    copied = rooms.copy()
    made = Placement({}, [])
    for demand in demands:
        placed = made.placed.setdefault(demand.service, Counter())
        candidates = candidates_of(demand, copied)
        if not demand.claim.takes_room:
            placed.update(_spread(demand, candidates))
            continue
        fitting = [room for room in candidates if room.has_room(demand.service, demand.claim)]
        missing = _fill(demand, fitting, rank, placed)
        if missing:
            made.shortfalls.append(Shortfall(demand, missing, refusals(copied, demand)))
    return made


def _fill(demand: Demand, fitting: list[Room], rank: Rank, placed: Counter[str]) -> int:
    """Put a demand's tasks on nodes that each have room for one; return how many are left over."""
    missing = demand.count
    if demand.bound is not None:
        for room in fitting[:missing]:
            room.take(demand.service, demand.claim)
            placed[room.node.id] += 1
        return missing - min(missing, len(fitting))
    # A task changes the rank of its own node alone.
    ranked = [(rank(demand, room), number) for number, room in enumerate(fitting)]
    heapify(ranked)
    while missing and ranked:
        _, number = ranked[0]
        best = fitting[number]
        best.take(demand.service, demand.claim)
        placed[best.node.id] += 1
        missing -= 1
        if best.has_room(demand.service, demand.claim):
            heapreplace(ranked, (rank(demand, best), number))
        else:
            heappop(ranked)
    return missing


def _spread(demand: Demand, candidates: tuple[Room, ...]) -> Counter[str]:
    """Return {node id: tasks} of tasks that need no room: nodes that have none of the service come first."""
    each, more = divmod(demand.count, len(candidates)) if candidates else (0, 0)
    ordered = sorted(candidates, key=lambda room: room.replicas[demand.service])
    return Counter({room.node.id: each + (number < more) for number, room in enumerate(ordered)})
