"""Which node each task of a group goes to. (facts, swarmkit.md 3.4 and 3.5)

A group are waiting tasks of one template, which all ask for the same: nodes are looked at once for all of them, and
kept in a heap with the best on top.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Final, Protocol

from reconciler.orchestration.scheduler.load import NodeLoad

_RANK_BITS: Final = 20
_COUNT_BITS: Final = 24
_RANK_MASK: Final = (1 << _RANK_BITS) - 1
_ONE_MORE: Final = (1 << (_RANK_BITS + _COUNT_BITS)) + (1 << _RANK_BITS)
"""What a key grows by with a task: one more of the service, and one more in all."""

Path = tuple[str, ...]
"""A node's place in the tree of spread preferences: one label value for each level, the outermost first."""

Fits = Callable[[NodeLoad], bool]
"""Says whether a node takes one more task of the group, as it is loaded now."""


class Chooser(Protocol):
    """Gives out nodes one by one, the best first."""

    def next(self) -> NodeLoad | None:
        """Return the node of the next task, counted as taken; None when no node takes any more."""
        ...


class Heap:
    """Nodes in Swarm's order: fewer failures, then fewer tasks of the service, then fewer tasks in all; of equals the
    one that joined first.

    A node's place is one number, which compares several times faster than a tuple. `fits` None: any node takes any
    number of tasks.
    """

    __slots__ = ("_fits", "_keys", "_loads")

    def __init__(self, loads: Sequence[NodeLoad], weights: Mapping[str, int], fits: Fits | None) -> None:
        """`weights` are what `weight` gives for the nodes where it is not 0, by node id."""
        if weights:
            weight = weights.get
            keys = [((weight(load.id, 0) + load.active) << _RANK_BITS) + rank for rank, load in enumerate(loads)]
        else:
            keys = [(load.active << _RANK_BITS) + rank for rank, load in enumerate(loads)]
        heapify(keys)
        self._loads, self._keys, self._fits = loads, keys, fits

    def next(self) -> NodeLoad | None:
        keys = self._keys
        while keys:
            key = keys[0]
            load = self._loads[key & _RANK_MASK]
            if self._fits is None or self._fits(load):
                heapreplace(keys, key + _ONE_MORE)
                return load
            heappop(keys)
        return None


def weights(failures: Mapping[str, int], of_service: Mapping[str, int]) -> dict[str, int]:
    """Return what puts a node behind others before its number of tasks is looked at, by node id."""
    heavy = {node_id: tasks << _COUNT_BITS for node_id, tasks in of_service.items()}
    for node_id, failed in failures.items():
        heavy[node_id] = heavy.get(node_id, 0) + (failed << 2 * _COUNT_BITS)
    return heavy


@dataclass(slots=True)
class Branch:
    """One vertex of the tree of spread preferences: the branch below with the fewest tasks of the service goes first.

    `waiting` is a heap of (tasks, order, branch). One that takes no more is left out of the count from then on.
    """

    waiting: list[tuple[int, int, Chooser]] = field(default_factory=list)

    def next(self) -> NodeLoad | None:
        while self.waiting:
            tasks, order, below = self.waiting[0]
            found = below.next()
            if found is not None:
                heapreplace(self.waiting, (tasks + 1, order, below))
                return found
            heappop(self.waiting)
        return None


def tree(leaves: Mapping[Path, Heap], tasks: Mapping[Path, int], above: Path = ()) -> Chooser:
    """Return the tree over `leaves`; `tasks` are the service's active tasks below each vertex, all nodes counted."""
    level = len(above)
    if above in leaves:
        return leaves[above]
    below: dict[Path, dict[Path, Heap]] = {}
    for path, leaf in leaves.items():
        below.setdefault(path[: level + 1], {})[path] = leaf
    waiting = [
        (tasks.get(vertex, 0), order, tree(inner, tasks, vertex)) for order, (vertex, inner) in enumerate(below.items())
    ]
    heapify(waiting)
    return Branch(waiting)
