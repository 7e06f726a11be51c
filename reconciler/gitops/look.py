"""What one pass has read, and what it decides: the loop's input and output. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from reconciler.gitops.history import HistoryEntry
from reconciler.gitops.state import CLUSTER, LoopState
from reconciler.model.actual import ActualState
from reconciler.model.alerts import Alert
from reconciler.model.conditions import Reason
from reconciler.model.desired import DesiredState
from reconciler.model.errors import Problem
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, Plan
from reconciler.model.policies import Policies
from reconciler.model.progress import Assessment

CLUSTER_FAILURES_MAX = 3
"""Looks at the cluster that may fail in a row before people are told."""


class Look(msgspec.Struct, frozen=True):
    """What is known now.

    `desired` is what the revision in force asks for, None before there is one. `actual` and `plan` are None when the
    cluster could not be read, for `cluster_problem`; `cluster_failures` counts these looks in a row. `plan` is the
    whole plan. `assessments` has each service of `actual`.
    `forced` are scopes that somebody asked to sync now, "*" for all: windows, back-off, drift modes and an earlier
    failure don't hold these, but a suspension does.
    `busy` are scopes that applies are bringing about now: of these nothing is written. `is_full` says that no further
    apply may begin beside those.
    """

    policies: Policies
    desired: DesiredState | None = None
    actual: ActualState | None = None
    plan: Plan | None = None
    assessments: tuple[Assessment, ...] = ()
    cluster_problem: Problem | None = None
    cluster_failures: int = 0
    forced: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    is_full: bool = False

    def is_forced(self, scope: str) -> bool:
        """Return whether somebody asked for this scope to be synced now."""
        return bool(self.forced & {scope, "*"})


class Held(msgspec.Struct, frozen=True):
    """An action that is not carried out now. `until` is when that may change by the clock alone, None for not."""

    action_id: str
    object_id: str
    scope: str
    reason: Reason
    message: str
    until: datetime | None = None


class Gate(msgspec.Struct, frozen=True):
    """Why nothing of a scope is written now. `stalled`: somebody has to do something first."""

    reason: Reason
    message: str
    until: datetime | None = None
    stalled: bool = False


class Decision(msgspec.Struct, frozen=True):
    """What to do now. Nothing chooses after it.

    `plan` holds what to apply, and may be empty; `applying` are the scopes that it writes. `held` is everything else
    that the whole plan had. `state` is to be stored, and `alerts` sent, before the apply begins. `wake_at` is when the
    clock alone may change the decision, None for never. `counts` is the one line of the log that says what was decided.
    `entry` is what an apply of an earlier leader has come to. `awaited` are the scopes that earlier decisions bring
    about, and whose end is awaited beside the passes; `resumed` those, of one commit, that an earlier leader wrote, and
    whose end nobody awaits yet.
    """

    plan: Plan | None
    applying: tuple[str, ...]
    held: tuple[Held, ...]
    alerts: tuple[Alert, ...]
    state: LoopState
    wake_at: datetime | None
    counts: Mapping[str, int] = msgspec.field(default_factory=dict)
    entry: HistoryEntry | None = None
    awaited: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()


def scope_of(action: Action) -> str:
    """Return the scope that an action belongs to."""
    return action.stack or CLUSTER


def object_of(action: Action) -> str:
    """Return the id of the object that an action writes ("node.node2"): several steps may write one node.

    A node is called as swarm.yaml lists it: by its hostname, or by its id.
    """
    if action.kind is not Kind.NODE:
        return action.id
    named = (f"{action.kind}.{name}" for name in (action.name, action.object_id))
    return next((name for name in named if action.id == name or action.id.startswith(f"{name}.")), action.id)


def scopes_of_objects(look: Look) -> dict[str, str]:
    """Return {object id: scope} of all that the revision asks for, "stack.NAME" among them."""
    if look.desired is None:
        return {}
    found = {f"{wanted.kind}.{wanted.name}": wanted.stack or CLUSTER for wanted in look.desired.objects}
    return found | {f"stack.{stack.name}": stack.name for stack in look.desired.stacks}


def scopes_of(look: Look) -> tuple[str, ...]:
    """Return every scope that there is something to say of: the cluster's, the stacks', those that a plan removes."""
    declared = [stack.name for stack in look.desired.stacks] if look.desired else []
    planned = [scope_of(action) for action in look.plan.actions] if look.plan else []
    return tuple(dict.fromkeys([CLUSTER, *declared, *planned]))


def services_by_scope(look: Look) -> dict[str, list[Assessment]]:
    """Return {scope: where its services stand}, of the services that the revision asks for."""
    scopes = scopes_of_objects(look)
    found: dict[str, list[Assessment]] = {}
    for one in look.assessments:
        scope = scopes.get(f"{Kind.SERVICE}.{one.service}")
        if scope is not None:
            found.setdefault(scope, []).append(one)
    return found


def blocked_by_scope(look: Look) -> dict[str, list[Problem]]:
    """Return {scope: what the planner could not plan there}."""
    scopes = scopes_of_objects(look)
    found: dict[str, list[Problem]] = {}
    for one in look.plan.blocked if look.plan else ():
        found.setdefault(scopes.get(one.id, CLUSTER), []).append(one.problem)
    return found
