"""What every part of planning looks at: both sides, and the look-ups between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredNode, DesiredObject, DesiredState
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, Blocked
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning.inventory import recorded
from reconciler.planning.options import NO_OPTIONS, PlanOptions

NO_CLUSTER = "no cluster"
"""The endpoint of a cluster that is only imagined (planning/baseline.py)."""


class Draft(msgspec.Struct):
    """A plan in the making: parts of planning add to it in order."""

    actions: list[Action] = msgspec.field(default_factory=list)
    blocked: list[Blocked] = msgspec.field(default_factory=list)
    notes: list[Problem] = msgspec.field(default_factory=list)
    listed: dict[str, DesiredNode] = msgspec.field(default_factory=dict)
    """{node id: what swarm.yaml says of it}, of the nodes that it lists and the swarm has."""
    _planned: set[str] = msgspec.field(default_factory=set)
    _planned_seen: int = 0
    _causes: dict[str, Problem] = msgspec.field(default_factory=dict)
    _causes_seen: int = 0

    def block(self, kind: Kind, name: str, problem: Problem) -> None:
        self.blocked.append(Blocked(action_id(kind, name), problem))

    def is_planned(self, action: str) -> bool:
        """Return whether an action of that id is in the draft by now. Actions are only ever added at the end."""
        self._planned.update(one.id for one in self.actions[self._planned_seen :])
        self._planned_seen = len(self.actions)
        return action in self._planned

    def why_blocked(self, action: str) -> Problem | None:
        """Return why the action of that id is blocked by now, or None. What blocked it last is told."""
        self._causes.update((one.id, one.problem) for one in self.blocked[self._causes_seen :])
        self._causes_seen = len(self.blocked)
        return self._causes.get(action)


class Context(msgspec.Struct, frozen=True):
    """Both sides of the comparison. `id_names` is {kind: {object id: name}} of what the cluster has."""

    desired: DesiredState
    actual: ActualState
    id_names: dict[Kind, dict[str, str]]
    held: frozenset[str] = frozenset()
    """Stacks that this plan leaves alone (planning/held.py)."""
    contested: frozenset[tuple[Kind, str]] = frozenset()
    """Objects that it leaves alone besides (planning/takeover.py)."""
    options: PlanOptions = NO_OPTIONS
    recorded: frozenset[str] = frozenset()
    """What this repository has created, as the swarm has it recorded (planning/inventory.py)."""
    baseline: Mapping[tuple[Kind, str], DesiredObject] | None = None
    """What counts as last applied instead of what the cluster has recorded, by kind and name."""
    tasks_by_service: Mapping[str, tuple[ObservedTask, ...]] = msgspec.field(default_factory=dict)
    whole: DesiredState | None = None
    """All that the repository asks for, where `desired` is only what it asks of some stacks; None: the same."""

    @classmethod
    def of(cls, desired: DesiredState, actual: ActualState, options: PlanOptions = NO_OPTIONS) -> Context:
        names = {kind: {found.id: found.name for found in actual.of_kind(kind)} for kind in Kind}
        names[Kind.NETWORK] |= {network_id: name for name, network_id in actual.predefined_networks}
        before = options.baseline
        baseline = {(one.kind, one.name): one for one in before.objects} if before is not None else None
        return cls(
            desired,
            actual,
            names,
            options=options,
            recorded=recorded(actual, desired.cluster),
            baseline=baseline,
            tasks_by_service=_tasks_by_service(actual),
        )

    @property
    def is_imagined(self) -> bool:
        """Whether there is no cluster, and the actual state is only what a Revision makes of one."""
        return self.actual.endpoint == NO_CLUSTER

    def wanted(self, kind: Kind) -> Iterator[DesiredObject]:
        """Yield the objects of one kind that this plan is about: those of held stacks are left out."""
        return (
            one
            for one in self.desired.of_kind(kind)
            if one.stack not in self.held and (kind, one.name) not in self.contested
        )

    def used_of_others(self) -> Iterator[DesiredObject]:
        """Yield what chosen stacks use as external, and a stack of the repository declares that was not chosen."""
        if self.whole is None or self.options.stacks is None:
            return
        used = {(reference.kind, reference.name) for reference in self.desired.externals}
        chosen = self.options.stacks
        yield from (one for one in self.whole.objects if (one.kind, one.name) in used and one.stack not in chosen)

    def owned(self, found: ObservedObject) -> bool:
        """Return whether this repository created the object or was the last to write it.

        A `docker stack deploy` of the same file drops the label that says so. Then the swarm's record counts, for
        what a stack still claims: a namesake that somebody made by hand belongs to no stack.
        """
        if not self.desired.cluster:
            return False
        if found.owner is not None or found.stack is None:
            return found.owner == self.desired.cluster
        return action_id(found.kind, found.name) in self.recorded

    def tasks_of(self, service_id: str) -> tuple[ObservedTask, ...]:
        """Return the tasks of one service, history included, without a look at all others."""
        return self.tasks_by_service.get(service_id, ())

    def live_tasks(self, service_id: str) -> int:
        """Return in how many slots (or, for a global service, on how many nodes) a task runs or is about to."""
        wanted_on = (TaskState.RUNNING, TaskState.READY)
        return len(
            {
                (task.slot, task.node_id if task.slot == 0 else "")
                for task in self.tasks_of(service_id)
                if task.desired_state in wanted_on and task.state <= TaskState.RUNNING
            }
        )


def _tasks_by_service(actual: ActualState) -> dict[str, tuple[ObservedTask, ...]]:
    tasks: dict[str, list[ObservedTask]] = {}
    for task in actual.tasks:
        tasks.setdefault(task.service_id, []).append(task)
    return {service_id: tuple(found) for service_id, found in tasks.items()}


def action_id(kind: Kind, name: str) -> str:
    """Return the id of the action on one object."""
    return f"{kind}.{name}"


def differs_in_case(wanted: DesiredObject, live: Mapping[str, ObservedObject]) -> Problem | None:
    """Return why a service or network that is not there can't be created all the same, or None.

    Swarm's names are unique without regard to capitals (swarmkit's indexes are of names in lower case), and it can
    rename nothing. `live` is {name: object} of the kind.
    """
    folded = wanted.name.lower()
    namesake = next((name for name in live if name.lower() == folded), None)
    if namesake is None:
        return None
    return Problem(
        ErrorCode.NAME_CONFLICT,
        f"{wanted.kind.capitalize()} {wanted.name} can't be created beside {namesake}.",
        why="To Swarm both are one name: capitals make no difference.",
        hint=f"Keep the name, or remove the old one first: `docker {wanted.kind} rm {namesake}`.",
        place=wanted.place,
    )


def has_moved(context: Context, found: ObservedObject) -> bool:
    """Return whether what is wanted in a stack, and has the label of another, is ours: then its declaration has moved.

    A repository declares a name once, and a label is all that tells the stack: nobody restarts for it. That of a config
    or secret is changed; a network keeps its own, since Swarm changes none.
    """
    return bool(context.desired.cluster) and found.owner == context.desired.cluster


def belongs_elsewhere(wanted: DesiredObject, found: ObservedObject) -> Problem | None:
    """Return why `found` must not be taken for `wanted`, or None when it may be.

    Swarm names are cluster-wide: a namesake outside the stack is somebody else's, and docker stack deploy refuses
    it as well. What swarm.yaml itself declares is taken over by name, which is what declaring it there asks for.
    """
    if wanted.stack is None or found.stack == wanted.stack:
        return None
    if found.stack is None and wanted.kind in (Kind.SECRET, Kind.CONFIG):
        return None  # docker stack deploy looks these up by name alone, and labels what it finds
    remedy = f"remove the existing one when nothing uses it: `docker {wanted.kind} rm {found.name}`"
    if wanted.kind is Kind.SERVICE:  # docker labels no other kind that is there
        remedy = f"label the existing one {labels.STACK_NAMESPACE}={wanted.stack} to adopt it"
    holder = f"belongs to stack {found.stack}" if found.stack else "belongs to no stack"
    return Problem(
        ErrorCode.NAME_CONFLICT,
        f"{wanted.kind.capitalize()} {wanted.name} of stack {wanted.stack} can't be created.",
        why=f"A {wanted.kind} of that name exists and {holder}.",
        hint=f"Rename one of them, or {remedy}.",
        place=wanted.place,
    )
