"""What puts a stack back to what it was before an apply (`rollback: stack`). Pure: decided here, done elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from reconciler.controller.sent import stored_as_sent
from reconciler.controller.write import Ids, with_ids
from reconciler.model.actual import ActualState
from reconciler.model.endings import problem_of
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType, TaskEffect
from reconciler.model.progress import ActionProgress, ActionStatus, Assessment, Verdict

NOT_A_FAILURE = (Verdict.CONVERGED, Verdict.PROGRESSING, Verdict.MISSING)
"""Verdicts for which no stack is put back: a service that somebody removed did not fail."""


@dataclass(frozen=True, slots=True)
class Undo:
    """The writes that put services back, which depend on nothing, and what has to be left as it is, with the reason."""

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
    stack: str, ended: Iterable[ActionProgress], written: Collection[str], before: ActualState, now: ActualState
) -> Undo:
    """Return what brings the services of `stack` back to what they were in `before`.

    `written` are the ids of the actions that were carried out; one that failed may have been, which `now` tells. A
    service that swarm itself has put back needs no write, and one that somebody else has changed meanwhile is left
    to them. Secrets, configs and networks that the apply created stay: the next plan knows them.
    """
    actions: list[Action] = []
    left: list[ActionProgress] = []
    for one in ended:
        sent = one.action.id in written or one.status is ActionStatus.FAILED
        if one.action.stack != stack or one.action.kind is not Kind.SERVICE or not sent:
            continue
        back = _back(one.action, before, now)
        if not isinstance(back, Problem):
            actions += [back] if back else []
        elif one.action.id in written:
            left.append(ActionProgress(one.action, ActionStatus.SKIPPED, back))
    return Undo(tuple(actions), tuple(left))


def ids_of(actual: ActualState) -> Ids:
    """Return {(kind, name): id} of what services refer to by name."""
    return {(kind, found.name): found.id for kind in (Kind.SECRET, Kind.CONFIG) for found in actual.of_kind(kind)}


def _back(action: Action, before: ActualState, now: ActualState) -> Action | Problem | None:
    """Return the write that takes one action back, None when nothing is to be done, or why it can't be."""
    found = now.by_name(Kind.SERVICE).get(action.name)
    if action.type is ActionType.CREATE:
        if found is None:
            return None
        ours = stored_as_sent(Kind.SERVICE, _sent(action, now), found.spec, now)
        return _undoing(action, ActionType.DELETE, found) if ours else _changed_by_others(action)
    assert action.read_spec is not None
    old = _by_network_names(action.read_spec, before)
    if found is None:
        return _undoing(action, ActionType.CREATE, None, old)
    if action.type is ActionType.DELETE or (action.type is ActionType.REPLACE and found.id == action.object_id):
        return None  # the removal never happened
    halfway = found.dig("UpdateStatus", "State") == "rollback_paused"  # it is back, and not all of its tasks are
    if found.spec == action.read_spec:
        return _undoing(action, ActionType.UPDATE, found, old) if halfway else None
    if not stored_as_sent(Kind.SERVICE, _sent(action, now), found.spec, now):
        return _changed_by_others(action)
    if action.type is ActionType.REPLACE:
        return _undoing(action, ActionType.REPLACE, found, old)
    return _undoing(action, ActionType.UPDATE, found, old)


def _sent(action: Action, now: ActualState) -> JsonObject:
    return with_ids(action.spec or {}, ids_of(now))


def _undoing(action: Action, kind: ActionType, found: ObservedObject | None, spec: JsonObject | None = None) -> Action:
    return Action(
        id=f"{action.id} (put back)",
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


def _by_network_names(spec: JsonObject, before: ActualState) -> JsonObject:
    """Return an observed spec with its networks by name: one that was made anew has another id now."""
    attachments = dig(spec, "TaskTemplate", "Networks")
    if not attachments:
        return spec
    names = {network.id: network.name for network in before.networks}
    named = [{**item, "Target": names.get(item.get("Target", ""), item.get("Target", ""))} for item in attachments]
    return {**spec, "TaskTemplate": {**spec["TaskTemplate"], "Networks": named}}


def _changed_by_others(action: Action) -> Problem:
    return Problem(
        ErrorCode.STALE_VERSION,
        f"Service {action.name} was not put back.",
        why="Somebody else has changed it since it was written.",
        hint=f"Look at `docker service inspect {action.name}`.",
        place=action.place,
    )
