"""Whether there is any way at all to place several services on nodes that they share."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.planning.preflight.demands import Demand
from reconciler.planning.preflight.rooms import Room, Rooms

TASKS_MAX = 200
"""For more tasks than this no way is looked for."""

STEPS_MAX = 20_000
"""How many ways of placing one task are tried at most, about 0.1 s. Where none of so many leads to the end, Swarm,
which tries one, can't be counted on to find it."""


def candidates_of(demand: Demand, rooms: Rooms) -> tuple[Room, ...]:
    """Return the nodes that suit a demand, full or not."""
    suited = rooms.suited(demand.claim.needs)
    if demand.bound is None:
        return suited
    bound = frozenset(demand.bound)
    return tuple(room for room in suited if room.node.id in bound)


def size_of(demand: Demand) -> tuple[int, int]:
    """Return what sorts the largest demand first."""
    return -demand.claim.nano_cpus, -demand.claim.memory_bytes


def any_way(demands: Sequence[Demand], rooms: Rooms) -> bool:
    """Return whether some way of placing all demands is found within the limits of the search. Changes nothing."""
    tasks = _hardest_first(demands, rooms.copy())
    return len(tasks) <= TASKS_MAX and _Search(tasks).settles(0, 0)


def _hardest_first(demands: Sequence[Demand], rooms: Rooms) -> list[tuple[Demand, tuple[Room, ...]]]:
    """Return (demand, the nodes that suit it) for each task that takes room: least choice first, then the largest."""
    suited = [(demand, candidates_of(demand, rooms)) for demand in demands if demand.claim.takes_room]
    suited.sort(key=lambda one: (len(one[1]), size_of(one[0])))
    tasks: list[tuple[Demand, tuple[Room, ...]]] = []
    for demand, candidates in suited:
        if demand.bound is None:
            tasks += [(demand, candidates)] * demand.count
        else:
            tasks += [(demand, (room,)) for room in candidates]
    return tasks


class _Search:
    """Tries one node after the other for each task, and goes back where a later one finds none."""

    def __init__(self, tasks: list[tuple[Demand, tuple[Room, ...]]]) -> None:
        self.tasks = tasks
        self.steps = 0

    def settles(self, index: int, first: int) -> bool:
        """Place the tasks from `index` on, this one on its node `first` or a later one.

        Tasks of one service are alike: they go to nodes in order, which tries each set of nodes once.
        """
        if index == len(self.tasks):
            return True
        demand, candidates = self.tasks[index]
        alike = index + 1 < len(self.tasks) and self.tasks[index + 1][0] is demand and demand.bound is None
        for position in range(first, len(candidates)):
            self.steps += 1
            if self.steps > STEPS_MAX:
                return False
            room = candidates[position]
            if not room.has_room(demand.service, demand.claim):
                continue
            room.take(demand.service, demand.claim)
            if self.settles(index + 1, position if alike else 0):
                return True
            room.take(demand.service, demand.claim, -1)
        return False
