"""What an engine has said of tasks being up to date, and for how long that holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject, dig
from reconciler.model.tasks import TaskState


@dataclass(frozen=True, slots=True)
class Judged:
    """The engine's answer on some tasks, and the specs of services and nodes that it followed from.

    Only tasks that had left the state `new` count: the allocator gives them what they are compared by. As long as no
    spec is another, nothing about them changes. (swarmkit manager/orchestrator/task.go IsTaskDirty)
    """

    specs: dict[str, Any] = field(default_factory=dict, repr=False)
    tasks: frozenset[str] = frozenset()
    up_to_date_ones: frozenset[str] = frozenset()

    @classmethod
    def of(cls, seen: ActualState, tasks: Iterable[JsonObject], up_to_date: frozenset[str]) -> Judged:
        """Return what is known from now on. `seen` and `tasks` must have been read before `up_to_date` was."""
        told = frozenset(task["ID"] for task in tasks if _has_left_new(task))
        return cls(_specs(seen), told, up_to_date)

    def up_to_date(self, seen: ActualState, tasks: Iterable[JsonObject]) -> frozenset[str] | None:
        """Return the ids of the tasks that are up to date, some of no interest among them; None: ask the engine."""
        if any(task["ID"] not in self.tasks for task in tasks) or _specs(seen) != self.specs:
            return None
        return self.up_to_date_ones


def _specs(seen: ActualState) -> dict[str, Any]:
    """Return {id: what of it decides}: a service's spec; of a node whatever a constraint can name."""
    services = {service.id: service.spec for service in seen.services}
    nodes = {
        node.id: (node.spec, node.dig("Description"), node.dig("Status", "Addr"), node.dig("ManagerStatus") is None)
        for node in seen.nodes
    }
    return services | nodes


def _has_left_new(task: JsonObject) -> bool:
    return TaskState.parse(dig(task, "Status", "State") or "") > TaskState.NEW
