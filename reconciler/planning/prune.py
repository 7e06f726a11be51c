"""What to remove: only what this repository owns, only when it says so, never most of it by mistake."""

from __future__ import annotations

from reconciler.model import labels
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType, Blocked, TaskEffect
from reconciler.planning import effects
from reconciler.planning.contents import RealNames
from reconciler.planning.context import Context, Draft, action_id

PRUNED_KINDS = (Kind.SERVICE, Kind.CONFIG, Kind.SECRET, Kind.NETWORK)
"""In the order of removal: users before what they use."""

LISTED_MAX = 8
"""Objects that a message names."""


def plan_prune(context: Context, draft: Draft, real_names: RealNames) -> None:
    """Add what removes owned objects that nothing declares any more, or say why not."""
    wanted = {(item.kind, real_names.get((item.kind, item.name), item.name)) for item in context.desired.objects}
    owned = [
        found
        for kind in PRUNED_KINDS
        for found in context.actual.of_kind(kind)
        if context.owned(found) and found.stack not in context.held
    ]
    in_use = _still_referenced(context, draft, wanted)
    surplus = [
        found for found in owned if (found.kind, found.name) not in wanted and (found.kind, found.id) not in in_use
    ]
    outdated, undeclared = _split_outdated(surplus, real_names)
    removed = [*outdated] if context.desired.policy.prune else []
    if undeclared and not context.desired.policy.prune:
        draft.notes.append(_not_pruned(undeclared))
    elif undeclared and (problem := _too_many(context, undeclared, owned)):
        draft.blocked.append(Blocked("prune", problem))
    else:
        removed.extend(undeclared)
    # What a service uses may go only once its last user was moved off it.
    services = tuple(action.id for action in draft.actions if action.kind is Kind.SERVICE)
    for found in sorted(removed, key=lambda item: PRUNED_KINDS.index(item.kind)):
        action = _remove(context, found, services)
        draft.actions.append(action)
        if found.kind is Kind.SERVICE:
            services = (*services, action.id)


def _split_outdated(
    surplus: list[ObservedObject], real_names: RealNames
) -> tuple[list[ObservedObject], list[ObservedObject]]:
    """Return (versions of a secret or config that is still declared, objects that are declared no more)."""
    outdated = [
        found for found in surplus if (found.kind, found.labels.get(labels.LOGICAL_NAME, found.name)) in real_names
    ]
    kept = {(found.kind, found.id) for found in outdated}
    return outdated, [found for found in surplus if (found.kind, found.id) not in kept]


def _still_referenced(context: Context, draft: Draft, wanted: set[tuple[Kind, str]]) -> set[tuple[Kind, str]]:
    """Return (kind, id) of what remaining services refer to, now or in the spec that a rollback would bring back.

    An update makes today's spec the one to roll back to, and forgets the one before.
    """
    updated = {action.object_id for action in draft.actions if action.type is ActionType.UPDATE}
    replaced = {action.object_id for action in draft.actions if action.type is ActionType.REPLACE}
    referenced: set[tuple[Kind, str]] = set()
    for service in context.actual.services:
        if context.owned(service) and (Kind.SERVICE, service.name) not in wanted:
            continue  # it goes as well
        if service.id in replaced:
            continue  # the new one has no spec to roll back to
        referenced |= _reference_ids(service.spec)
        if service.id not in updated:
            referenced |= _reference_ids(service.dig("PreviousSpec") or {})
    return referenced


def _reference_ids(spec: JsonObject) -> set[tuple[Kind, str]]:
    ids = {(Kind.NETWORK, item.get("Target", "")) for item in dig(spec, "TaskTemplate", "Networks") or []}
    container = dig(spec, "TaskTemplate", "ContainerSpec") or {}
    ids |= {(Kind.SECRET, item.get("SecretID", "")) for item in container.get("Secrets") or []}
    ids |= {(Kind.CONFIG, item.get("ConfigID", "")) for item in container.get("Configs") or []}
    return ids


def _too_many(context: Context, undeclared: list[ObservedObject], owned: list[ObservedObject]) -> Problem | None:
    limit = context.desired.policy.max_delete_percent
    percent = 100 * len(undeclared) / len(owned)
    emptied = not context.desired.objects
    if not emptied and percent <= limit:
        return None
    if emptied:
        why = "The revision declares no object at all, which looks like a mistake."
        hint = "Take it back; or, if that is meant, remove the stacks with `docker stack rm`."
    else:
        why = f"That is {percent:.0f} %, and spec.policy.maxDeletePercent is {limit}."
        hint = "If that is meant, raise spec.policy.maxDeletePercent in swarm.yaml for this one change."
    what = f"{len(undeclared)} of {len(owned)} owned objects would be removed, and stay: {_listed(undeclared)}."
    return Problem(ErrorCode.PLAN_BLOCKED, what, why=why, hint=hint)


def _listed(objects: list[ObservedObject]) -> str:
    shown = ", ".join(f"{found.kind} {found.name}" for found in objects[:LISTED_MAX])
    return f"{shown} and {len(objects) - LISTED_MAX} more" if len(objects) > LISTED_MAX else shown


def _not_pruned(undeclared: list[ObservedObject]) -> Problem:
    return Problem(
        ErrorCode.PLAN_BLOCKED,
        f"No longer declared, and kept: {_listed(undeclared)}.",
        why="spec.policy.prune is false.",
        hint="Set spec.policy.prune to true to remove what this repository created and no longer declares.",
        severity=Severity.WARNING,
    )


def _remove(context: Context, found: ObservedObject, services: tuple[str, ...]) -> Action:
    running = context.live_tasks(found.id) if found.kind is Kind.SERVICE else 0
    effect = effects.of_delete(running) if found.kind is Kind.SERVICE else None
    return Action(
        id=action_id(found.kind, found.name),
        type=ActionType.DELETE,
        kind=found.kind,
        name=found.name,
        stack=found.stack,
        reason="nothing declares it any more",
        effect=effect.kind if effect else TaskEffect.NONE,
        effect_text=effect.text if effect else TaskEffect.NONE.value,
        after=() if found.kind is Kind.SERVICE else services,
        object_id=found.id,
        version=found.version,
        read_spec=found.spec,
    )
