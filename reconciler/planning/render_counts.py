"""What a Plan comes to, counted: by what is done, by stack, and how far the cluster has drifted."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reconciler.model.plan import NO_STACK, Action, ActionType, Change, Origin, Plan
from reconciler.model.words import many
from reconciler.planning.context import NO_CLUSTER

MOVED = frozenset({Origin.DRIFT, Origin.BOTH})
"""Origins that say: the cluster is something else than what was last applied."""


class Counts(msgspec.Struct, frozen=True):
    """Actions by what they do; a replacement counts as one to add and one to destroy."""

    add: int
    change: int
    destroy: int

    def __str__(self) -> str:
        return f"{self.add} to add, {self.change} to change, {self.destroy} to destroy"


class Drift(msgspec.Struct, frozen=True):
    """What the cluster did without a commit: fields that moved, and objects that are gone."""

    changed: tuple[Action, ...]
    removed: tuple[Action, ...]

    @property
    def fields(self) -> int:
        return sum(len(drifted_changes(action)) for action in self.changed)

    @property
    def objects(self) -> int:
        return len(self.removed)

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)

    def __str__(self) -> str:
        parts = [many(self.fields, "field")] if self.fields else []
        parts += [many(self.objects, "object")] if self.objects else []
        return f"{' and '.join(parts)} drifted"


def counts(actions: Iterable[Action]) -> Counts:
    """Return how many objects the actions add, change and destroy."""
    types = [action.type for action in actions]
    replaced = types.count(ActionType.REPLACE)
    return Counts(
        types.count(ActionType.CREATE) + replaced,
        types.count(ActionType.UPDATE),
        types.count(ActionType.DELETE) + replaced,
    )


def by_stack(plan: Plan) -> dict[str, list[Action]]:
    """Return {stack: its actions} in the order in which stacks first appear, what belongs to none first."""
    found: dict[str, list[Action]] = {}
    for action in plan.actions:
        found.setdefault(action.stack or NO_STACK, []).append(action)
    return dict(sorted(found.items(), key=lambda item: item[0] != NO_STACK))


def drift(plan: Plan) -> Drift:
    """Return which actions undo, wholly or in part, what the cluster did without a commit."""
    changed = (ActionType.UPDATE, ActionType.REPLACE)
    return Drift(
        tuple(one for one in plan.actions if one.type in changed and drifted_changes(one)),
        tuple(one for one in plan.actions if one.type is ActionType.CREATE and one.origin is Origin.DRIFT),
    )


def drifted_changes(action: Action) -> tuple[Change, ...]:
    """Return the changes of an action whose field the cluster moved."""
    return tuple(change for change in action.changes if change.origin in MOVED)


def is_offline(plan: Plan) -> bool:
    """Return whether two revisions were compared, and no swarm was asked."""
    return plan.endpoint == NO_CLUSTER


def totals(plan: Plan) -> str:
    """Return the line that counts a plan."""
    moved = drift(plan)
    blocked = f" {len(plan.blocked)} blocked." if plan.blocked else ""
    drifted = f" {moved}." if moved else ""
    return f"Plan: {counts(plan.actions)}.{blocked}{drifted}"
