"""Published ports that go from one service to another in one plan.

An engine refuses a service whose ingress port another one still has, so the one that lets go comes first; what is
pruned goes before its successor then, though everything else is pruned last. `docker stack deploy` leaves that to
chance, or to `--prune`, which removes before it creates. (facts: swarmkit 7.4)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from msgspec.structs import replace

from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType
from reconciler.planning import effects
from reconciler.planning.context import Context, Draft
from reconciler.planning.differ import changes_between
from reconciler.planning.preflight.claims import HostPort, published
from reconciler.planning.preflight.rooms import planned_rooms
from reconciler.planning.services import comparable

Claim = tuple[HostPort, str]
"""A port, and in which mode it is published: "ingress" or "host"."""

MODES = ("ingress", "host")


def hand_over_ports(context: Context, draft: Draft) -> tuple[Action, ...]:
    """Put each service that lets go of a port before the one that takes it; return what has to be done besides.

    Where that makes a circle, as with two services that swap their ports, no order of their writes can do it. Then one
    of them is first updated to what it is without the port, by an action that is returned and comes before all others:
    it is no part of the draft, of which each service's last action says what the service will be.
    """
    givers = {claim: action for action in draft.actions for claim in _given_up(action)}
    if not givers:
        return ()
    circles: dict[str, dict[str, set[HostPort]]] = {}
    by_id = {action.id: action for action in draft.actions}
    for taker in [action for action in draft.actions if action.kind is Kind.SERVICE and action.spec is not None]:
        for giver_id, ports in _givers_for(taker, givers).items():
            giver = by_id[giver_id]
            if giver.type is ActionType.DELETE:
                giver = replace(giver, after=(), reason=f"{giver.reason}; {taker.name} takes its port")
            if _reaches(giver, taker.id, by_id):
                circles.setdefault(giver_id, {})[taker.id] = ports
                continue
            by_id[giver_id] = giver
            by_id[taker.id] = replace(by_id[taker.id], after=(*by_id[taker.id].after, giver_id))
    releases = [_release(context, draft, by_id, giver_id, takers) for giver_id, takers in circles.items()]
    draft.actions[:] = in_order(by_id)
    return tuple(releases)


def _release(
    context: Context, draft: Draft, by_id: dict[str, Action], giver_id: str, takers: Mapping[str, set[HostPort]]
) -> Action:
    """Return the update of a service to what it is without the ports that `takers` ask for, and let all others wait."""
    giver = by_id[giver_id]
    found = next(one for one in context.actual.services if one.id == giver.object_id)
    ports = set().union(*takers.values())
    body = _without(found.spec, ports)
    changes = changes_between(comparable(context, found.spec), comparable(context, body))
    rooms = planned_rooms(context, draft).by_id
    update = effects.Update(found, body, changes, context.tasks_of(found.id), rooms, context.id_names)
    effect = effects.of_update(update)
    names = " and ".join(by_id[taker].name for taker in takers)
    release = replace(
        giver,
        id=f"{giver_id}.release",
        type=ActionType.UPDATE,
        reason=f"it lets go of {_listed(ports)} first: {names} takes it before {giver.name} can be updated",
        effect=effect.kind,
        effect_text=f"{effect.text}, and again with the update that follows",
        tasks=effect.tasks,
        changes=changes,
        after=(),
        spec=body,
        read_spec=found.spec,
    )
    by_id[giver_id] = replace(giver, read_spec=body)
    for taker in takers:
        by_id[taker] = replace(by_id[taker], after=(*by_id[taker].after, release.id))
    return release


def _without(spec: JsonObject, ports: Collection[HostPort]) -> JsonObject:
    """Return a live service spec without these published ports; without an empty list, which Swarm does not keep."""
    endpoint = dict(spec["EndpointSpec"])
    kept = [port for port in endpoint.pop("Ports") if _as_claim(port) not in ports]
    return {**spec, "EndpointSpec": {**endpoint, "Ports": kept} if kept else endpoint}


def _as_claim(port: JsonObject) -> HostPort:
    return str(port.get("Protocol") or "tcp").lower(), port.get("PublishedPort") or 0


def _listed(ports: Collection[HostPort]) -> str:
    return " and ".join(f"port {port}/{protocol}" for protocol, port in sorted(ports))


def _given_up(action: Action) -> Iterator[Claim]:
    if action.kind is Kind.SERVICE and action.read_spec is not None:
        kept = set(_claims(action.spec)) if action.spec is not None else set()
        yield from (claim for claim in _claims(action.read_spec) if claim not in kept)


def _claims(spec: JsonObject) -> Iterator[Claim]:
    return ((port, mode) for mode in MODES for port in published(spec, mode))


def _givers_for(taker: Action, givers: Mapping[Claim, Action]) -> dict[str, set[HostPort]]:
    """Return which actions free what `taker` asks for, {id: ports}; host ports of two services get along."""
    found: dict[str, set[HostPort]] = {}
    for port, mode in _claims(taker.spec or {}):
        for other in MODES:
            giver = givers.get((port, other)) if "ingress" in (mode, other) else None
            if giver is not None and giver.id != taker.id:
                found.setdefault(giver.id, set()).add(port)
    return found


def _reaches(action: Action, target: str, by_id: Mapping[str, Action]) -> bool:
    """Return whether `action` waits for `target`, directly or by others."""
    waiting, seen = list(action.after), set[str]()
    while waiting:
        name = waiting.pop()
        if name == target:
            return True
        if name not in seen and name in by_id:
            seen.add(name)
            waiting += by_id[name].after
    return False


def in_order(by_id: Mapping[str, Action]) -> list[Action]:
    """Return the actions in their order, but each after all that it waits for."""
    done: dict[str, Action] = {}
    for start in by_id:
        path = [start]
        while path:
            name = path[-1]
            missing = [needed for needed in by_id[name].after if needed in by_id and needed not in done]
            if missing and name not in done:
                path += missing
            else:
                done.setdefault(path.pop(), by_id[name])
    return list(done.values())
