"""Networks. Swarm can't change one: what differs is made anew, if nothing is attached to it."""

from __future__ import annotations

import json

from reconciler.model import labels
from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ABSENT, Action, ActionType, Change, Origin
from reconciler.model.words import some
from reconciler.planning import canonical
from reconciler.planning.context import Context, Draft, action_id, belongs_elsewhere, differs_in_case, has_moved
from reconciler.planning.differ import changes_between
from reconciler.planning.drift import origin_of, origin_of_creation, with_origin, with_places
from reconciler.planning.inventory import applied_form
from reconciler.planning.marks import is_kept, marked
from reconciler.planning.preflight.subnets import is_unallocated

ALLOCATED = ("Driver", "IPAM", "Options")
"""What the swarm shows of a network only once it is allocated."""

NAMED_MAX = 10
"""Services that a message names."""


def plan_networks(context: Context, draft: Draft) -> None:
    """Add what creates and replaces networks."""
    live = context.actual.by_name(Kind.NETWORK)
    unprotected: list[DesiredObject] = []
    for wanted in context.wanted(Kind.NETWORK):
        found = live.get(wanted.name)
        if found is None:
            if problem := differs_in_case(wanted, live):
                draft.block(Kind.NETWORK, wanted.name, problem)
            else:
                draft.actions.append(_create(context, wanted))
        elif not has_moved(context, found) and (problem := belongs_elsewhere(wanted, found)):
            draft.block(Kind.NETWORK, wanted.name, problem)
        else:
            _plan_existing(context, draft, wanted, found)
            if not wanted.prune and not is_kept(found):
                unprotected.append(wanted)
    planned = [wanted for wanted in unprotected if not draft.is_planned(action_id(Kind.NETWORK, wanted.name))]
    draft.notes.extend(_unprotected(wanted) for wanted in planned)


def _plan_existing(context: Context, draft: Draft, wanted: DesiredObject, found: ObservedObject) -> None:
    new = canonical.network(wanted.spec)
    old = canonical.without_empties(canonical.keep_asked_for(new, canonical.network(found.spec)))
    new = canonical.without_empties(new)
    if is_unallocated(found):
        old = _as_asked(found, old, new)
    if has_moved(context, found):
        old, new = _without_stack(old), _without_stack(new)
    changes = _attributed(context, wanted, found, old, new)
    if not changes:
        return
    users = services_on(context, found.id, found.name)
    if users:
        draft.block(Kind.NETWORK, wanted.name, _in_use(context, wanted, changes, users))
        return
    draft.actions.append(
        Action(
            id=action_id(Kind.NETWORK, wanted.name),
            type=ActionType.REPLACE,
            kind=Kind.NETWORK,
            name=wanted.name,
            stack=wanted.stack,
            reason="it differs, and Swarm can't change a network in place",
            changes=with_places(changes, wanted),
            object_id=found.id,
            version=found.version,
            spec=marked(context, wanted, wanted.spec, _remembered(wanted)),
            read_spec=found.spec,
            place=wanted.place,
            origin=origin_of(changes),
        )
    )


def _without_stack(form: JsonObject) -> JsonObject:
    """Return a canonical network without the label of its stack."""
    kept = {key: value for key, value in (form.get("Labels") or {}).items() if key != labels.STACK_NAMESPACE}
    rest = {key: value for key, value in form.items() if key != "Labels"}
    return {**rest, "Labels": kept} if kept else rest


def _as_asked(found: ObservedObject, old: JsonObject, new: JsonObject) -> JsonObject:
    """Return the canonical live network with what the swarm does not show of one that it has not allocated.

    That is what we last asked of it; where nothing says it, what is asked now.
    """
    asked = applied_form(found)
    known = new if asked is None else asked
    shown = {key: value for key, value in old.items() if key not in ALLOCATED}
    return shown | {key: known[key] for key in ALLOCATED if key in known}


def _attributed(
    context: Context, wanted: DesiredObject, found: ObservedObject, old: JsonObject, new: JsonObject
) -> tuple[Change, ...]:
    """Return the differences, each blamed on who moved. Only where there are any is the record looked at."""
    changes = changes_between(old, new)
    if not changes:
        return ()
    if context.baseline is None:
        applied = applied_form(found)
        return with_origin(changes, Origin.UNKNOWN) if applied is None else changes_between(old, new, applied=applied)
    before = context.baseline.get((Kind.NETWORK, wanted.name))
    return changes if before is None else changes_between(old, new, applied=_remembered(before))


def _remembered(wanted: DesiredObject) -> JsonObject:
    """Return what was asked for, in the form in which a later plan compares."""
    form: JsonObject = canonical.without_empties(canonical.network(wanted.spec))
    return form


def _create(context: Context, wanted: DesiredObject) -> Action:
    origin = origin_of_creation(context, Kind.NETWORK, wanted.name, wanted.name)
    changes = changes_between(ABSENT, _stated(canonical.network(wanted.spec)))
    return Action(
        id=action_id(Kind.NETWORK, wanted.name),
        type=ActionType.CREATE,
        kind=Kind.NETWORK,
        name=wanted.name,
        stack=wanted.stack,
        reason="it does not exist",
        changes=with_places(changes, wanted, origin),
        spec=marked(context, wanted, wanted.spec, _remembered(wanted)),
        place=wanted.place,
        origin=origin,
    )


def _stated(form: JsonObject) -> JsonObject:
    """Return a canonical network without what is no more than the default."""
    said = {key: value for key, value in form.items() if value not in (False, {})}
    if form["IPAM"] == {"Driver": "default", "Options": {}, "Config": []}:
        del said["IPAM"]
    compact: JsonObject = canonical.without_empties(said)
    return compact


def services_on(context: Context, network_id: str, network_name: str) -> list[str]:
    """Return the names of live services that are attached to a network."""
    return [
        service.name
        for service in context.actual.services
        if any(
            attachment.get("Target") in (network_id, network_name)
            for attachment in dig(service.spec, "TaskTemplate", "Networks") or []
        )
    ]


def _in_use(context: Context, wanted: DesiredObject, changes: tuple[Change, ...], users: list[str]) -> Problem:
    """Return why a network stays as it is, who holds it, and the two ways to go on, with what each costs."""
    declared = {one.name for one in (context.whole or context.desired).of_kind(Kind.SERVICE)}
    foreign = [name for name in users if name not in declared]
    fields = ", ".join(_told(change) for change in changes)
    why = f"Swarm changes no network in place, and removes none that a service uses: {_listed(users)} attached to it."
    if foreign:
        why += f" These manifests don't declare {_names(foreign)}."
    anew = f"remove what uses it (`docker service rm {' '.join(users)}`) and apply again, which makes all of them anew"
    if foreign:
        anew = "have the owners take their services off it and apply again"
    return Problem(
        ErrorCode.NOT_UPDATABLE,
        f"Network {wanted.name} differs and can't be changed: {fields}.",
        why=why,
        hint=f"Without downtime: give it another name (`name: {wanted.name}-2`); its services here move to "
        f"it by a rolling restart, and the old one goes with policy.prune once nothing uses it. "
        f"With the same name: {anew}; their tasks are down meanwhile. Or take the change back.",
        place=next((change.place for change in with_places(changes, wanted) if change.place), wanted.place),
    )


def _told(change: Change) -> str:
    if change.sensitive:
        return change.path
    old, new = ("not set" if value is ABSENT else json.dumps(value) for value in (change.old, change.new))
    asked = "nobody asks for it" if change.new is ABSENT else f"{new} is asked for"
    return f"{change.path} is {old}, and {asked}"


def _unprotected(wanted: DesiredObject) -> Problem:
    return Problem(
        ErrorCode.NOT_UPDATABLE,
        f"Network {wanted.name} exists without the label that would keep it from being pruned.",
        why="Swarm changes no network in place, its labels neither.",
        hint="Keep it declared; or make it anew, once nothing is attached to it.",
        place=wanted.place,
        severity=Severity.WARNING,
    )


def _listed(users: list[str]) -> str:
    return f"{_names(users)} {'is' if len(users) == 1 else 'are'}"


def _names(users: list[str]) -> str:
    return some(users, NAMED_MAX)
