"""Published ports that go from one service to another in one plan.

An engine refuses a service whose ingress port another one still has, so the one that lets go comes first; what is
pruned goes before its successor then, though everything else is pruned last. `docker stack deploy` leaves that to
chance, or to `--prune`, which removes before it creates. (facts: swarmkit 7.4)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType
from reconciler.planning.context import Draft
from reconciler.planning.preflight.claims import HostPort, published

Claim = tuple[HostPort, str]
"""A port, and in which mode it is published: "ingress" or "host"."""

MODES = ("ingress", "host")


def hand_over_ports(draft: Draft) -> None:
    """Put each service that lets go of a port before the one that takes it, as long as that makes no circle.

    Two services that swap their ports stay as they are: no order of two writes can do that.
    """
    givers = {claim: action for action in draft.actions for claim in _given_up(action)}
    if not givers:
        return
    by_id = {action.id: action for action in draft.actions}
    for taker in [action for action in draft.actions if action.kind is Kind.SERVICE and action.spec is not None]:
        for giver_id in dict.fromkeys(_givers_for(taker, givers)):
            giver = by_id[giver_id]
            if giver.type is ActionType.DELETE:
                giver = replace(giver, after=(), reason=f"{giver.reason}; {taker.name} takes its port")
            if _reaches(giver, taker.id, by_id):
                continue
            by_id[giver_id] = giver
            by_id[taker.id] = replace(by_id[taker.id], after=(*by_id[taker.id].after, giver_id))
    draft.actions[:] = _in_order(by_id)


def _given_up(action: Action) -> Iterator[Claim]:
    if action.kind is Kind.SERVICE and action.read_spec is not None:
        kept = set(_claims(action.spec)) if action.spec is not None else set()
        yield from (claim for claim in _claims(action.read_spec) if claim not in kept)


def _claims(spec: JsonObject) -> Iterator[Claim]:
    return ((port, mode) for mode in MODES for port in published(spec, mode))


def _givers_for(taker: Action, givers: Mapping[Claim, Action]) -> Iterator[str]:
    """Yield the actions that free what `taker` asks for; host ports of two services get along, each on its node."""
    for port, mode in _claims(taker.spec or {}):
        for other in MODES:
            giver = givers.get((port, other)) if "ingress" in (mode, other) else None
            if giver is not None and giver.id != taker.id:
                yield giver.id


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


def _in_order(by_id: Mapping[str, Action]) -> list[Action]:
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
