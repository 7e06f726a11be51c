"""What to remove: only what this repository owns, only when it says so, never most of it by mistake, and last of all.

Former versions of a secret or config that is still declared are our own doing, not the user's: they go by
`policy.keepVersions` also where `policy.prune` or the object's own `prune` is false, or each rotation would leave one
more behind for ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec

from reconciler.model import labels
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType, Blocked, Origin, TaskEffect
from reconciler.model.words import some
from reconciler.planning import effects
from reconciler.planning.config_contents import RealNames
from reconciler.planning.context import Context, Draft, action_id
from reconciler.planning.drift import origin_of_removal
from reconciler.planning.marks import is_kept
from reconciler.planning.order import references
from reconciler.planning.versions import References, age_key, logical_name, referenced_ids

PRUNED_KINDS = (Kind.SERVICE, Kind.CONFIG, Kind.SECRET, Kind.NETWORK)
"""In the order of removal: users before what they use."""

VERSIONED_KINDS = (Kind.CONFIG, Kind.SECRET)

LISTED_MAX = 8
"""Objects that a message names."""


class _Surplus(msgspec.Struct, frozen=True):
    """What the cluster has in scope and nothing asks for, by what is to be said of it."""

    owned: list[ObservedObject]
    """Everything that the repository owns, in scope or not; former versions and held stacks left out."""
    undeclared: list[ObservedObject]
    kept: list[ObservedObject]
    """Undeclared, and labelled to stay."""
    former: list[ObservedObject]
    """Of what is declared, versions older than those that stay in any case."""


def plan_prune(context: Context, draft: Draft, real_names: RealNames) -> None:
    """Add what removes owned objects that nothing declares any more, or say why not."""
    surplus = _surplus(context, real_names)
    gone = _to_remove(context, draft, surplus)
    removed_services = {found.id for found in gone if found.kind is Kind.SERVICE}
    referenced = _still_referenced(context, draft, removed_services)
    in_use = [found for found in gone if _refers_to(referenced, found)]
    if in_use:
        draft.notes.append(_used_by_others(in_use))
    former = [found for found in surplus.former if not _refers_to(referenced, found)]
    removed = [*former, *(found for found in gone if not _refers_to(referenced, found))]
    # Last of all: not before what the plan writes has converged, nor before its last user was moved off it.
    earlier = tuple(action.id for action in draft.actions if action.kind is Kind.SERVICE)
    users = (*earlier, *(action_id(found.kind, found.name) for found in removed if found.kind is Kind.SERVICE))
    rotated = {(found.kind, found.id) for found in former}
    for found in sorted(removed, key=_order):
        ours = (found.kind, found.id) in rotated
        origin = Origin.INTENT if ours else origin_of_removal(context, found.kind, found.name)
        reason = _reason(found, origin, is_former=ours)
        draft.actions.append(_remove(context, found, earlier if found.kind is Kind.SERVICE else users, origin, reason))


def _surplus(context: Context, real_names: RealNames) -> _Surplus:
    wanted = {(item.kind, real_names.get((item.kind, item.name), item.name)) for item in context.desired.objects}
    versions = _former_versions(context, real_names)
    former = {(found.kind, found.id) for found in (*versions, *_former_elsewhere(context))}
    owned = [
        found
        for kind in PRUNED_KINDS
        for found in context.actual.of_kind(kind)
        if context.owned(found) and found.stack not in context.held and (kind, found.id) not in former
    ]
    in_scope = (found for found in owned if _in_scope(context, found))
    moved = _declared_elsewhere(context)
    undeclared = [
        found
        for found in in_scope
        if (found.kind, found.name) not in wanted and (found.kind, logical_name(found)) not in moved
    ]
    return _Surplus(
        owned=owned,
        undeclared=[found for found in undeclared if not is_kept(found)],
        kept=[found for found in undeclared if is_kept(found)],
        former=_outdated(versions, context.desired.policy.keep_versions),
    )


def _declared_elsewhere(context: Context) -> set[tuple[Kind, str]]:
    """Return what stacks that were not chosen declare: an object may bear the label of the stack that had it before."""
    if context.whole is None or context.options.stacks is None:
        return set()
    return {(item.kind, item.name) for item in context.whole.objects if item.stack not in context.options.stacks}


def _in_scope(context: Context, found: ObservedObject) -> bool:
    """Return whether this plan has a say about the object: not when its stack is held, or another than those chosen."""
    chosen = context.options.stacks
    return found.stack not in context.held and (chosen is None or found.stack in chosen)


def _former_versions(context: Context, real_names: RealNames) -> list[ObservedObject]:
    """Return the versions of declared secrets and configs that are not the current one, and are ours to remove.

    What has a hashed name was made by a rotation, by whoever applies this file. What has the plain name may have been
    adopted, and others may use it: it has to bear our own label.
    """
    return [
        found
        for kind in VERSIONED_KINDS
        for found in context.actual.of_kind(kind)
        if real_names.get((kind, logical_name(found)), found.name) != found.name
        and _in_scope(context, found)
        and _is_our_version(context, found)
    ]


def _former_elsewhere(context: Context) -> Iterator[ObservedObject]:
    """Yield what looks like a former version among stacks that were not chosen: which one is current is not known."""
    if context.options.stacks is None:
        return
    seen: set[tuple[Kind, str]] = set()
    for found in sorted((*context.actual.secrets, *context.actual.configs), key=age_key, reverse=True):
        if not _in_scope(context, found) and (found.kind, logical_name(found)) in seen:
            yield found
        seen.add((found.kind, logical_name(found)))


def _is_our_version(context: Context, found: ObservedObject) -> bool:
    if labels.LOGICAL_NAME in found.labels and not context.desired.cluster:
        return found.owner is None and found.stack in {stack.name for stack in context.desired.stacks}
    return bool(context.desired.cluster) and found.owner == context.desired.cluster


def _outdated(versions: list[ObservedObject], keep: int) -> list[ObservedObject]:
    """Return all but the `keep` newest of each object's former versions.

    Also of what is labelled to stay: that counts when nothing declares it any more, and it is declared.
    """
    by_name: dict[tuple[Kind, str], list[ObservedObject]] = {}
    for found in sorted(versions, key=age_key, reverse=True):
        by_name.setdefault((found.kind, logical_name(found)), []).append(found)
    return [found for group in by_name.values() for found in group[keep:]]


def _to_remove(context: Context, draft: Draft, surplus: _Surplus) -> list[ObservedObject]:
    """Return the undeclared objects that may go, as far as policy says; tell of the others."""
    if surplus.kept:
        draft.notes.append(_labelled_to_stay(surplus.kept))
    undeclared = surplus.undeclared
    if not undeclared:
        return []
    if not context.desired.policy.prune:
        draft.notes.append(_not_pruned(undeclared))
        return []
    undeclared = _none_to_be_replaced(context, draft, undeclared)
    leaving = {found.id for found in undeclared if found.kind is Kind.SERVICE}
    referenced = _still_referenced(context, draft, leaving)
    counted = [found for found in undeclared if not _refers_to(referenced, found)]
    if problem := _too_many(context, counted, surplus.owned):
        draft.blocked.append(Blocked("prune", problem))
        return []
    return undeclared


def _none_to_be_replaced(context: Context, draft: Draft, undeclared: list[ObservedObject]) -> list[ObservedObject]:
    """Return what may go although some services are blocked, which may be meant to take the place of others.

    A stack of which nothing is blocked is not held up; one that is declared no more may have got another name.
    """
    blocked = {one.id for one in draft.blocked}
    services = [one for one in context.desired.of_kind(Kind.SERVICE) if action_id(one.kind, one.name) in blocked]
    if not services:
        return undeclared
    sound = {stack.name for stack in context.desired.stacks} - {one.stack for one in services}
    if held := [found for found in undeclared if found.stack not in sound]:
        draft.notes.append(_held_back(held, [one.name for one in services]))
    return [found for found in undeclared if found.stack in sound]


def _still_referenced(context: Context, draft: Draft, removed: set[str]) -> References:
    """Return what services refer to that remain or come, now or in the spec that a rollback would bring back.

    An update makes today's spec the one to roll back to, and forgets the one before. A replaced service has none.
    """
    updated = {action.object_id for action in draft.actions if action.type is ActionType.UPDATE}
    replaced = {action.object_id for action in draft.actions if action.type is ActionType.REPLACE}
    referenced = set(_planned_references(context, draft))
    for service in context.actual.services:
        if service.id in removed or service.id in replaced:
            continue
        referenced.update(referenced_ids(service.spec))
        if service.id not in updated:
            referenced.update(referenced_ids(service.dig("PreviousSpec") or {}))
    return frozenset(referenced)


def _planned_references(context: Context, draft: Draft) -> Iterator[tuple[Kind, str]]:
    """Yield (kind, id) of what services will refer to that the plan writes.

    Of what is removed that is what they use as external: declared by another stack, or by hand, and no longer.
    """
    ids = {kind: {name: object_id for object_id, name in context.id_names[kind].items()} for kind in PRUNED_KINDS}
    for action in draft.actions:
        if action.kind is Kind.SERVICE and action.spec is not None:
            yield from ((kind, ids[kind][name]) for kind, name in references(action.spec) if name in ids[kind])


def _refers_to(referenced: References, found: ObservedObject) -> bool:
    return (found.kind, found.id) in referenced or (
        found.kind is Kind.NETWORK and (found.kind, found.name) in referenced
    )


def _too_many(context: Context, removed: list[ObservedObject], owned: list[ObservedObject]) -> Problem | None:
    if not removed:
        return None
    limit = context.desired.policy.max_delete_percent
    gone, all_owned = _as_declared(removed), _as_declared(owned)
    percent = 100 * len(gone) / len(all_owned)
    # Networks of swarm.yaml alone don't count: a folder of stacks that was moved leaves those behind.
    repository = context.whole or context.desired
    emptied = not repository.of_kind(Kind.SERVICE) and any(found.kind is Kind.SERVICE for found in removed)
    if not emptied and percent <= limit:
        return None
    if emptied:
        why = "The revision declares no service at all, which looks like a mistake."
        hint = "Take it back; or, if that is meant, remove the stacks with `docker stack rm`."
    else:
        told = math.ceil(10 * percent) / 10  # upwards, or 50.2 of at most 50 would be told as 50
        why = f"That is {told:g} %, and spec.policy.maxDeletePercent is {limit}."
        hint = "If that is meant, raise spec.policy.maxDeletePercent in swarm.yaml for this one change."
    listed = some([f"{kind} {name}" for kind, name in gone], LISTED_MAX)
    what = f"{len(gone)} of {len(all_owned)} owned objects would be removed, and stay: {listed}."
    return Problem(ErrorCode.PLAN_BLOCKED, what, why=why, hint=hint)


def _as_declared(objects: Iterable[ObservedObject]) -> list[tuple[Kind, str]]:
    """Return (kind, name) of what manifests declare, in order: all versions of a secret or config are one object."""
    named = {(found.kind, logical_name(found)) for found in objects}
    return sorted(named, key=lambda one: (PRUNED_KINDS.index(one[0]), one[1]))


def _order(found: ObservedObject) -> tuple[int, str]:
    """Sort key: users before what they use, and by name, not as an engine happens to list them."""
    return PRUNED_KINDS.index(found.kind), found.name


def _listed(objects: Iterable[ObservedObject]) -> str:
    return some([f"{found.kind} {found.name}" for found in sorted(objects, key=_order)], LISTED_MAX)


def _not_pruned(undeclared: list[ObservedObject]) -> Problem:
    return Problem(
        ErrorCode.NOT_PRUNED,
        f"No longer declared, and kept: {_listed(undeclared)}.",
        why="spec.policy.prune is false.",
        hint="Set spec.policy.prune to true to remove what this repository created and no longer declares.",
        severity=Severity.WARNING,
    )


def _held_back(undeclared: list[ObservedObject], blocked: list[str]) -> Problem:
    """Return what to say of what would go, were all that stays in place: a service that was renamed, for one.

    A write that fails holds pruning back in the same way, when the plan is carried out.
    """
    return Problem(
        ErrorCode.NOT_PRUNED,
        f"No longer declared, and kept for now: {_listed(undeclared)}.",
        why=f"Blocked is {some(blocked, LISTED_MAX)}, which may be meant to take their place.",
        hint="Mend what is blocked, and the next plan removes them; or plan for their stack alone with --stack.",
        severity=Severity.WARNING,
    )


def _labelled_to_stay(kept: list[ObservedObject]) -> Problem:
    return Problem(
        ErrorCode.NOT_PRUNED,
        f"No longer declared, and kept: {_listed(kept)}.",
        why="It was declared with `x-swarmctl: {prune: false}`, and is never pruned.",
        hint=f"Remove it with docker when it is needed no more; its label {labels.PRUNE} says that it stays.",
        severity=Severity.WARNING,
    )


def _used_by_others(in_use: list[ObservedObject]) -> Problem:
    return Problem(
        ErrorCode.OBJECT_IN_USE,
        f"No longer declared, and kept: {_listed(in_use)}.",
        why="A service that stays or comes refers to it, now or in the spec that a rollback would bring back.",
        hint="Move a service off it that is to refer to it still. What only a rollback would bring back is let go with "
        "that service's next change. A later plan then removes it.",
        severity=Severity.WARNING,
    )


def _remove(context: Context, found: ObservedObject, after: tuple[str, ...], origin: Origin, reason: str) -> Action:
    running = context.live_tasks(found.id) if found.kind is Kind.SERVICE else 0
    effect = effects.of_delete(running) if found.kind is Kind.SERVICE else None
    return Action(
        id=action_id(found.kind, found.name),
        type=ActionType.DELETE,
        kind=found.kind,
        name=found.name,
        stack=found.stack,
        reason=reason,
        effect=effect.kind if effect else TaskEffect.NONE,
        effect_text=effect.text if effect else TaskEffect.NONE.value,
        tasks=effect.tasks if effect else None,
        after=after,
        object_id=found.id,
        version=found.version,
        read_spec=found.spec,
        origin=origin,
    )


def _reason(found: ObservedObject, origin: Origin, *, is_former: bool) -> str:
    """Return why an object goes. The first version of a config has its plain name, and is declared all the same."""
    if origin is Origin.DRIFT:
        return "it bears our label, and no revision has declared it"
    if is_former or (found.kind in VERSIONED_KINDS and labels.LOGICAL_NAME in found.labels):
        return f"nothing uses this version of {logical_name(found)} any more"
    return "nothing declares it any more"
