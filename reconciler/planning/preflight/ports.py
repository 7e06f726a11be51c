"""Ingress ports that another service has: the engine refuses to write such a service at all."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.errors import ErrorCode, Place, Problem, Severity
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.claims import HostPort, published

INGRESS, HOST = "ingress", "host"


def taken_ports(context: Context, draft: Draft) -> Iterator[Problem]:
    """Yield a problem for each ingress port that a service of the draft asks for and that another one keeps.

    A service that lets go of a port in the same plan is no obstacle, unless it does so only afterwards, as what is
    pruned does. Two services may have the same port in host mode, each on a node of its own. (swarmkit.md 7.4)
    """
    written = [
        action
        for action in draft.actions
        if action.kind is Kind.SERVICE and action.type is not ActionType.DELETE and action.spec is not None
    ]
    if not any(published(action.spec or {}, INGRESS) or published(action.spec or {}, HOST) for action in written):
        return
    rewritten = {action.object_id for action in written}
    holders: dict[tuple[HostPort, str], str] = {}
    for found in context.actual.services:
        if found.id not in rewritten:
            _hold(holders, found.name, {"EndpointSpec": _endpoint(found.spec, found.raw)})
    leaving = {
        action.name: action.id
        for action in draft.actions
        if action.kind is Kind.SERVICE and action.type is ActionType.DELETE
    }
    declared = {wanted.name: wanted for wanted in context.desired.of_kind(Kind.SERVICE)}
    for action in written:
        assert action.spec is not None
        place = declared[action.name].place_of("EndpointSpec.Ports") if action.name in declared else None
        for port, holder, mode in _conflicts(action.spec, holders):
            if leaving.get(holder) in action.after:
                continue  # it goes first (planning/handover.py)
            yield _problem(action.name, port, holder, mode, place, last=holder in leaving)
        _hold(holders, action.name, action.spec)


def _endpoint(spec: JsonObject, raw: JsonObject) -> JsonObject:
    """Return a live service's ports, with those that Swarm chose for it."""
    endpoint: JsonObject = raw.get("Endpoint") or {}
    return {"Ports": endpoint["Ports"]} if endpoint.get("Ports") else spec.get("EndpointSpec") or {}


def _hold(holders: dict[tuple[HostPort, str], str], name: str, spec: JsonObject) -> None:
    for mode in (INGRESS, HOST):
        for port in published(spec, mode):
            holders.setdefault((port, mode), name)


def _conflicts(spec: JsonObject, holders: dict[tuple[HostPort, str], str]) -> Iterator[tuple[HostPort, str, str]]:
    """Yield (port, the service that has it, in which mode) for each port that `spec` can't have."""
    asked = [(port, mode) for mode in (INGRESS, HOST) for port in published(spec, mode)]
    for port, mode in asked:
        excluding = (INGRESS, HOST) if mode == INGRESS else (INGRESS,)
        held = next((one for one in excluding if (port, one) in holders), None)
        if held is not None:
            yield port, holders[port, held], held


def _problem(name: str, port: HostPort, holder: str, mode: str, place: Place | None, *, last: bool) -> Problem:
    text = f"{port[1]}/{port[0]}"
    how = "an ingress port" if mode == INGRESS else "a host-published port"
    why = f"The engine refuses it: port {text} is in use by service {holder} as {how}."
    hint = "Publish another port, or take it from the other service first."
    if last:
        why += f" This plan removes {holder}, but only after everything else."
        hint = f"Remove service {holder} first (docker service rm {holder}), or publish another port."
    return Problem(
        ErrorCode.OBJECT_IN_USE,
        f"Service {name} can't be written: its port {text} is taken.",
        why=why,
        hint=hint,
        place=place,
        severity=Severity.WARNING,
    )
