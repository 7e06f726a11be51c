"""Networks. Swarm can't change one: what differs is made anew, if nothing is attached to it."""

from __future__ import annotations

from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ABSENT, Action, ActionType, Change
from reconciler.planning import canonical
from reconciler.planning.context import Context, Draft, action_id, belongs_elsewhere
from reconciler.planning.differ import changes_between


def plan_networks(context: Context, draft: Draft) -> None:
    """Add what creates and replaces networks."""
    live = context.actual.by_name(Kind.NETWORK)
    for wanted in context.wanted(Kind.NETWORK):
        found = live.get(wanted.name)
        if found is None:
            draft.actions.append(_create(context, wanted))
        elif problem := belongs_elsewhere(wanted, found):
            draft.block(Kind.NETWORK, wanted.name, problem)
        else:
            _plan_existing(context, draft, wanted, found)


def _plan_existing(context: Context, draft: Draft, wanted: DesiredObject, found: ObservedObject) -> None:
    new = canonical.network(wanted.spec)
    old = canonical.keep_asked_for(new, canonical.network(found.spec))
    changes = changes_between(canonical.without_empties(old), canonical.without_empties(new))
    if not changes:
        return
    users = services_on(context, found.id, found.name)
    if users:
        draft.block(Kind.NETWORK, wanted.name, _in_use(wanted, changes, users))
        return
    draft.actions.append(
        Action(
            id=action_id(Kind.NETWORK, wanted.name),
            type=ActionType.REPLACE,
            kind=Kind.NETWORK,
            name=wanted.name,
            stack=wanted.stack,
            reason="it differs, and Swarm can't change a network in place",
            changes=changes,
            object_id=found.id,
            version=found.version,
            spec=context.with_owner(wanted.spec),
            read_spec=found.spec,
            place=wanted.place,
        )
    )


def _create(context: Context, wanted: DesiredObject) -> Action:
    return Action(
        id=action_id(Kind.NETWORK, wanted.name),
        type=ActionType.CREATE,
        kind=Kind.NETWORK,
        name=wanted.name,
        stack=wanted.stack,
        reason="it does not exist",
        changes=changes_between(ABSENT, _stated(canonical.network(wanted.spec))),
        spec=context.with_owner(wanted.spec),
        place=wanted.place,
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


def _in_use(wanted: DesiredObject, changes: tuple[Change, ...], users: list[str]) -> Problem:
    fields = ", ".join(change.path for change in changes)
    return Problem(
        ErrorCode.NOT_UPDATABLE,
        f"Network {wanted.name} differs ({fields}) and can't be changed.",
        why=f"Swarm changes no network in place, and {_listed(users)} attached to it.",
        hint="Give the changed network another name and move the services to it, or take the change back.",
        place=wanted.place,
    )


def _listed(users: list[str]) -> str:
    verb = "is" if len(users) == 1 else "are"
    shown = ", ".join(users[:3]) + (f" and {len(users) - 3} more" if len(users) > 3 else "")
    return f"{shown} {verb}"
