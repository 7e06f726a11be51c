"""What an engine has said of tasks being up to date, and for how long that holds. Pure."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from typing import Any

import msgspec

from reconciler.model.actual import ActualState
from reconciler.model.discreet import Discreet
from reconciler.model.tasks import ObservedTask, TaskState


class Judged(Discreet, frozen=True):
    """The engine's answer on some tasks, and the specs of services and nodes that it followed from.

    Only tasks that had left the state `new` count: the allocator gives them what they are compared by. As long as no
    spec is another, nothing about them changes. (swarmkit manager/orchestrator/task.go IsTaskDirty)
    """

    UNSHOWN = frozenset({"specs"})

    specs: dict[str, Any] = msgspec.field(default_factory=dict)
    tasks: frozenset[str] = frozenset()
    up_to_date_ones: frozenset[str] = frozenset()

    @classmethod
    def of(cls, seen: ActualState, tasks: Iterable[ObservedTask], up_to_date: frozenset[str]) -> Judged:
        """Return what is known from now on. `seen` and `tasks` must have been read before `up_to_date` was."""
        told = frozenset(task.id for task in tasks if task.state > TaskState.NEW)
        return cls(_specs(seen, _never_updated(seen)), told, up_to_date)

    def up_to_date(self, seen: ActualState, tasks: Collection[ObservedTask]) -> frozenset[str] | None:
        """Return the ids of the tasks that are up to date, some of no interest among them; None: ask the engine.

        Tasks of a service that never had another spec need no judge.
        """
        first = _never_updated(seen)
        others = [task.id for task in tasks if task.service_id not in first]
        if others and not (self.tasks.issuperset(others) and _specs(seen, first) == self.specs):
            return None
        return self.up_to_date_ones.union(task.id for task in tasks if task.service_id in first)


def _never_updated(seen: ActualState) -> frozenset[str]:
    """Return the ids of services that are what they were created as.

    An update leaves a PreviousSpec. Where the swarm takes one back by itself there is none any more, but a status.
    (swarmkit manager/controlapi/service.go UpdateService, manager/orchestrator/update/updater.go rollbackUpdate)
    """
    return frozenset(
        service.id
        for service in seen.services
        if not service.raw.get("PreviousSpec") and not service.raw.get("UpdateStatus")
    )


def _specs(seen: ActualState, never_updated: Container[str]) -> dict[str, Any]:
    """Return {id: what of it decides}: a service's spec; of a node whatever a constraint can name."""
    services = {service.id: service.spec for service in seen.services if service.id not in never_updated}
    nodes = {
        node.id: (node.spec, node.dig("Description"), node.dig("Status", "Addr"), node.dig("ManagerStatus") is None)
        for node in seen.nodes
    }
    return services | nodes
