"""What puts a stack back to what it was before an apply (`rollback: stack`). Pure: decided here, done elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from msgspec.structs import replace

from reconciler.controller.sent import stored_as_sent
from reconciler.controller.transactions import Before, by_network_names
from reconciler.controller.write import Ids, with_ids
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.endings import problem_of
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType, TaskEffect
from reconciler.model.progress import ActionProgress, ActionStatus, Assessment, Verdict
from reconciler.planning.context import Context, Draft, action_id
from reconciler.planning.handover import hand_over_ports

NOT_A_FAILURE = (Verdict.CONVERGED, Verdict.PROGRESSING, Verdict.MISSING, Verdict.CHANGED)
"""Verdicts for which no stack is put back: a service that somebody removed or changed did not fail."""


NOTHING_DECLARED = DesiredState("", "", None)
"""What stands for the manifests where ports change hands: only what services were and are counts there."""


class Undo(msgspec.Struct, frozen=True):
    """The writes that put services back, and what has to be left as it is, with the reason.

    A write waits only for those that give back a published port it needs: an engine refuses it before them.
    """

    actions: tuple[Action, ...]
    left: tuple[ActionProgress, ...]


def failure_of(stack: str, ended: Iterable[ActionProgress], looks: Iterable[Assessment]) -> Problem | None:
    """Return why `stack` must go back: the first of its actions that failed, or of its services; None if none did.

    `looks` are of the stack's own services.
    """
    for one in ended:
        if one.action.stack == stack and one.status is ActionStatus.FAILED:
            return one.problem
    return next((problem_of(look) for look in looks if look.verdict not in NOT_A_FAILURE), None)


def undo(
    stack: str,
    ended: Iterable[ActionProgress],
    written: Collection[str],
    before: ActualState,
    now: ActualState,
    recorded: Before | None = None,
) -> Undo:
    """Return what brings the services of `stack` back to what they were in `before`, or in `recorded`.

    `written` are the ids of the actions that were carried out; one that failed may have been, which `now` tells. A
    service that swarm itself has put back needs no write, and one that somebody else has changed meanwhile is left to
    them. That is told, but of one that could not be created: there was none before, and theirs is no part of the stack.
    Secrets, configs and networks that the apply created stay: the next plan knows them. `recorded` is what an earlier
    apply, which did not come to its end, found: it goes before what is in `before`, and it counts for services that
    this apply did not write as well.
    """
    older = recorded or {}
    sent = {
        one.action.name: one.action
        for one in ended
        if one.action.stack == stack
        and one.action.kind is Kind.SERVICE
        and (one.action.id in written or one.status is ActionStatus.FAILED)
    }
    earlier = [_earlier(stack, name, before) for name in older if name not in sent]
    # Of two steps on one service the later one reads what the first has written (planning/handover.py).
    found = {one.action.name: one.action.read_spec for one in reversed([*ended]) if one.action.kind is Kind.SERVICE}
    actions: list[Action] = []
    left: list[ActionProgress] = []
    for action in (*sent.values(), *earlier):
        goal = older[action.name] if action.name in older else by_network_names(found.get(action.name) or {}, before)
        back = _back(action, goal or None, before, now)
        if not isinstance(back, Problem):
            actions += [back] if back else []
        elif action.id in written or action.type is not ActionType.CREATE or action.name not in sent:
            left.append(ActionProgress(action, ActionStatus.SKIPPED, back))
    return Undo(_in_turn(actions, now), tuple(left))


def _in_turn(actions: list[Action], now: ActualState) -> tuple[Action, ...]:
    """Return the writes, each after those that free its published ports, with a first step where that is a circle."""
    draft = Draft(actions=list(actions))
    releases = hand_over_ports(Context.of(NOTHING_DECLARED, now), draft)
    return tuple(
        replace(one, id=_put_back(one.id), after=tuple(_put_back(name) for name in one.after))
        for one in (*releases, *draft.actions)
    )


def _put_back(name: str) -> str:
    return f"{name} (put back)"


def ids_of(actual: ActualState) -> Ids:
    """Return {(kind, name): id} of what services refer to by name."""
    return {(kind, found.name): found.id for kind in (Kind.SECRET, Kind.CONFIG) for found in actual.of_kind(kind)}


def _earlier(stack: str, name: str, before: ActualState) -> Action:
    """Return what an earlier apply has done to a service, as far as it can be told: it is as it was in `before`."""
    found = before.by_name(Kind.SERVICE).get(name)
    return Action(
        id=action_id(Kind.SERVICE, name),
        type=ActionType.UPDATE if found else ActionType.DELETE,
        kind=Kind.SERVICE,
        name=name,
        stack=stack,
        reason="an earlier apply did not come to its end",
        spec=found.spec if found else None,
    )


def _back(action: Action, goal: JsonObject | None, before: ActualState, now: ActualState) -> Action | Problem | None:
    """Return the write that makes a service `goal` (None: no service) again, None when it is that, or why it can't be.

    It may be put back when it is as `action` sent it, or as this apply found it.
    """
    found = now.by_name(Kind.SERVICE).get(action.name)
    if found is None:
        return _undoing(action, ActionType.CREATE, None, goal) if goal else None
    if goal is not None and _is(goal, found, now):
        # Swarm's own rollback stood still: the spec is back, and not all of its tasks are.
        halfway = found.dig("UpdateStatus", "State") == "rollback_paused"
        return _undoing(action, ActionType.UPDATE, found, goal) if halfway else None
    as_found = before.by_name(Kind.SERVICE).get(action.name)
    ours = (action.spec, action.read_spec, as_found.spec if as_found else None)
    if not any(spec is not None and _is(spec, found, now) for spec in ours):
        return _changed_by_others(action)
    if goal is None:
        return _undoing(action, ActionType.DELETE, found)
    in_place = (goal.get("Mode") or {}).keys() == (found.spec.get("Mode") or {}).keys()
    return _undoing(action, ActionType.UPDATE if in_place else ActionType.REPLACE, found, goal)


def _is(spec: JsonObject, found: ObservedObject, now: ActualState) -> bool:
    return found.spec == spec or stored_as_sent(Kind.SERVICE, with_ids(spec, ids_of(now)), found.spec, now)


def _undoing(action: Action, kind: ActionType, found: ObservedObject | None, spec: JsonObject | None = None) -> Action:
    return Action(
        id=action_id(Kind.SERVICE, action.name),
        type=kind,
        kind=Kind.SERVICE,
        name=action.name,
        stack=action.stack,
        reason=f"stack {action.stack} goes back to what it was",
        effect=TaskEffect.STOP if kind is ActionType.DELETE else TaskEffect.ROLLING,
        effect_text="tasks stop" if kind is ActionType.DELETE else "tasks of the former spec start",
        object_id=found.id if found else None,
        version=found.version if found else 0,
        spec=spec,
        read_spec=found.spec if found else None,
        place=action.place,
    )


def _changed_by_others(action: Action) -> Problem:
    return Problem(
        ErrorCode.STALE_VERSION,
        f"Service {action.name} was not put back.",
        why="Somebody else has changed it meanwhile.",
        hint=f"Look at `docker service inspect {action.name}`.",
        place=action.place,
    )
