"""What every part of planning looks at: both sides, and the look-ups between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredObject, DesiredState
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, Blocked
from reconciler.model.tasks import TaskState
from reconciler.planning.options import NO_OPTIONS, PlanOptions


@dataclass(slots=True)
class Draft:
    """A plan in the making: parts of planning add to it in order."""

    actions: list[Action] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def block(self, kind: Kind, name: str, problem: Problem) -> None:
        self.blocked.append(Blocked(action_id(kind, name), problem))


@dataclass(frozen=True, slots=True)
class Context:
    """Both sides of the comparison. `id_names` is {kind: {object id: name}} of what the cluster has."""

    desired: DesiredState
    actual: ActualState
    id_names: dict[Kind, dict[str, str]]
    held: frozenset[str] = frozenset()
    """Stacks that this plan leaves alone (planning/held.py)."""
    options: PlanOptions = NO_OPTIONS

    @classmethod
    def of(cls, desired: DesiredState, actual: ActualState, options: PlanOptions = NO_OPTIONS) -> Context:
        names = {kind: {found.id: found.name for found in actual.of_kind(kind)} for kind in Kind}
        names[Kind.NETWORK] |= {network_id: name for name, network_id in actual.predefined_networks}
        return cls(desired, actual, names, options=options)

    def wanted(self, kind: Kind) -> Iterator[DesiredObject]:
        """Yield the objects of one kind that this plan is about: those of held stacks are left out."""
        return (one for one in self.desired.of_kind(kind) if one.stack not in self.held)

    def owned(self, found: ObservedObject) -> bool:
        """Return whether this repository created the object or was the last to write it."""
        return bool(self.desired.cluster) and found.owner == self.desired.cluster

    def with_owner(self, spec: JsonObject) -> JsonObject:
        """Return a copy of `spec` that names its owner, if the repository has a name to give."""
        if not self.desired.cluster:
            return dict(spec)
        return {**spec, "Labels": {**(spec.get("Labels") or {}), labels.OWNER: self.desired.cluster}}

    def live_tasks(self, service_id: str) -> int:
        """Return in how many slots (or, for a global service, on how many nodes) a task runs or is about to."""
        wanted_on = (TaskState.RUNNING, TaskState.READY)
        return len(
            {
                (task.slot, task.node_id if task.slot == 0 else "")
                for task in self.actual.tasks_of(service_id)
                if task.desired_state in wanted_on and task.state <= TaskState.RUNNING
            }
        )


def action_id(kind: Kind, name: str) -> str:
    """Return the id of the action on one object."""
    return f"{kind}.{name}"


def belongs_elsewhere(wanted: DesiredObject, found: ObservedObject) -> Problem | None:
    """Return why `found` must not be taken for `wanted`, or None when it may be.

    Swarm names are cluster-wide: a namesake outside the stack is somebody else's, and docker stack deploy refuses
    it as well. What swarm.yaml itself declares is taken over by name, which is what declaring it there asks for.
    """
    if wanted.stack is None or found.stack == wanted.stack:
        return None
    if found.stack is None and wanted.kind in (Kind.SECRET, Kind.CONFIG):
        return None  # docker stack deploy looks these up by name alone, and labels what it finds
    holder = f"belongs to stack {found.stack}" if found.stack else "belongs to no stack"
    return Problem(
        ErrorCode.NAME_CONFLICT,
        f"{wanted.kind.capitalize()} {wanted.name} of stack {wanted.stack} can't be created.",
        why=f"A {wanted.kind} of that name exists and {holder}.",
        hint=f"Rename one of them, or label the existing one {labels.STACK_NAMESPACE}={wanted.stack} to adopt it.",
        place=wanted.place,
    )
