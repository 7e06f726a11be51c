"""A Plan: the writes that bring a cluster to what a Revision asks for, as an immutable value."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, Place, Problem
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind, NodeRole


class Absent:
    """The old or new value of a field that is not there, which null is not."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


SENSITIVE: Final = "(sensitive value)"
"""What stands in the place of a value that must not be shown."""
NO_STACK: Final = "(cluster)"
"""What stands for a stack where something belongs to none: nodes, settings, networks of swarm.yaml."""


class ActionType(enum.StrEnum):
    """What an Action does to its object, by Terraform's words."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"

    @property
    def done(self) -> str:
        """What it has done to the object, in a word for people."""
        return _DONE[self]


_DONE: Final = {
    ActionType.CREATE: "created",
    ActionType.UPDATE: "updated",
    ActionType.REPLACE: "replaced",
    ActionType.DELETE: "removed",
}


class TaskEffect(enum.StrEnum):
    """What an Action does to running tasks."""

    NONE = "no task restarts"
    START = "tasks start"
    STOP = "tasks stop"
    SCALE = "tasks start or stop"
    ROLLING = "rolling restart"
    MOVE = "tasks move"
    RERUN = "the job runs again"


class Origin(enum.StrEnum):
    """Who moved: what a difference is blamed on, from what was last applied (planning/inventory.py)."""

    INTENT = "intent"
    """Git asks for something else than what was last applied."""
    DRIFT = "drift"
    """The cluster is something else than what was last applied, and no commit asked for that."""
    BOTH = "both"
    """Git and the cluster both moved away from what was last applied, and not to the same."""
    UNKNOWN = "unknown"
    """Nothing is recorded of what was last applied: the object was made by somebody else, and is adopted."""


class Change(msgspec.Struct, frozen=True):
    """One field that differs. `path` is dotted, from the spec's root (`TaskTemplate.ContainerSpec.Image`).

    `sensitive` values must not be shown; `old` and `new` then hold a short hash at most. In other values, too, what
    looks like a secret is hidden (model/sensitive.py): they are to be read, not sent. `applied` is the value that
    was last applied, ABSENT also when none is known. `place` is the line that asks for `new`, or the object's own.
    """

    path: str
    old: JsonValue | Absent
    new: JsonValue | Absent
    sensitive: bool = False
    origin: Origin = Origin.INTENT
    applied: JsonValue | Absent = ABSENT
    place: Place | None = None


class TaskCounts(msgspec.Struct, frozen=True):
    """What an Action does to the tasks of a service, in numbers.

    `restart` tasks are each replaced by another, `start` come in addition, `stop` go and nothing comes in their place.
    A job that runs again starts all its tasks and stops those that still run. `seconds` is about how long the
    replacing takes (planning/rollout_time.py); None where nothing that runs is replaced.
    """

    restart: int = 0
    start: int = 0
    stop: int = 0
    seconds: int | None = None


class Action(Discreet, frozen=True):
    """One write to the cluster.

    `id` is unique in its plan (`service.web_api`); `after` are ids of actions that must have succeeded before,
    and `awaits` are services without an action that must have converged before.
    `object_id`, `version` and `read_spec` are what was observed, for compare-and-swap; None or 0 on creation.
    `spec` is the whole body to send, None on deletion: secrets, configs and networks stand in it by name, and
    whoever carries it out fills in ids, which may only come to exist on the way. `origin` is that of its changes
    taken together; of a creation, DRIFT means that the object was there and somebody removed it. `force` removes a
    node that still runs; `rotates` are the roles whose join tokens an update of the swarm makes anew. `tasks` is the
    effect on the tasks of a service in numbers, None for everything else.
    """

    UNSHOWN = frozenset({"spec", "read_spec"})

    id: str
    type: ActionType
    kind: Kind
    name: str
    stack: str | None
    reason: str
    effect: TaskEffect = TaskEffect.NONE
    effect_text: str = TaskEffect.NONE.value
    changes: tuple[Change, ...] = ()
    after: tuple[str, ...] = ()
    awaits: tuple[str, ...] = ()
    object_id: str | None = None
    version: int = 0
    spec: JsonObject | None = None
    read_spec: JsonObject | None = None
    place: Place | None = None
    origin: Origin = Origin.INTENT
    force: bool = False
    rotates: tuple[NodeRole, ...] = ()
    tasks: TaskCounts | None = None

    @property
    def starts_tasks(self) -> bool:
        """Whether it leaves a service whose tasks change.

        An update without a change resumes a paused one: whether that ends well is to be seen, though no task is
        replaced.
        """
        if self.kind is not Kind.SERVICE or self.type is ActionType.DELETE:
            return False
        return self.effect is not TaskEffect.NONE or not self.changes


class Blocked(msgspec.Struct, frozen=True):
    """Something that ought to be done and is not, with the reason."""

    id: str
    problem: Problem

    @property
    def code(self) -> ErrorCode:
        return self.problem.code


class Plan(Discreet, frozen=True):
    """The ordered Actions for one Revision against one ActualState, what is Blocked, and what to know besides.

    No action and nothing blocked means that the cluster is what the repository asks for.
    """

    UNSHOWN = frozenset({"inventory", "topology"})

    revision: str
    commit: str | None
    endpoint: str
    actions: tuple[Action, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    notes: tuple[Problem, ...] = ()
    services: tuple[str, ...] = ()
    """Every service that the revision asks for, whether an action touches it or not."""
    unplaceable: tuple[Problem, ...] = ()
    """What the placement pre-flight found: tasks that no node could run, each with the reason. Warnings."""
    atomic_stacks: tuple[str, ...] = ()
    """Stacks whose services all go back to what they were when one of them fails (`rollback: stack`)."""
    owner: str = ""
    """The cluster name of the repository, under which the swarm keeps `inventory`; "" for a lone stack file."""
    inventory: frozenset[str] | None = None
    """Which objects ("service.web_api") the swarm's own record is to name once all actions are done
    (planning/inventory.py). None: leave it alone."""
    topology: JsonObject | None = None
    """What the swarm's own record is to say that nodes and settings were asked to be, once all actions are done
    (planning/topology_record.py). None: leave it alone."""
    base: str = ""
    """The revision that stands for what was last applied, as of a pull request; "": the swarm's own record does."""

    @property
    def is_empty(self) -> bool:
        return not self.actions and not self.blocked

    def count(self, *types: ActionType) -> int:
        """Return how many actions are of one of `types`."""
        return sum(1 for action in self.actions if action.type in types)
