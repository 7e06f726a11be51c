"""What the pre-flight says: which tasks, why not, and what would help."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.model.constraints import LABEL_KEYS, PLAIN_KEYS, constraints_hold, is_known_key
from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Place, Problem, Severity
from reconciler.model.words import some
from reconciler.planning.preflight.claims import Claim
from reconciler.planning.preflight.demands import Demand
from reconciler.planning.preflight.placing import Refusals, Shortfall
from reconciler.planning.preflight.rooms import Refusal, Rooms, has_plugin

NAMED_MAX = 5
"""Nodes that a message names."""

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30

ASKED_BY = {
    Refusal.PLUGIN: "TaskTemplate.Networks",
    Refusal.CONSTRAINT: "TaskTemplate.Placement.Constraints",
    Refusal.PLATFORM: "TaskTemplate.ContainerSpec.Image",
    Refusal.RESOURCES: "TaskTemplate.Resources.Reservations",
    Refusal.HOST_PORT: "EndpointSpec.Ports",
    Refusal.MAX_REPLICAS: "TaskTemplate.Placement.MaxReplicas",
}
"""The field of a service whose line a reason points at."""


def problem(short: Shortfall, rooms: Rooms, wanted: DesiredObject | None) -> Problem:
    """Return the warning about tasks that find no node; `wanted` is None for a service that no manifest declares."""
    return Problem(
        ErrorCode.UNSCHEDULABLE,
        _what(short),
        why=_why(short),
        hint=hint_for(short, rooms),
        place=_place(short, wanted),
        severity=Severity.WARNING,
    )


def _place(short: Shortfall, wanted: DesiredObject | None) -> Place | None:
    """Return the line that asks for what no node has."""
    if wanted is None:
        return None
    reason = _closest(short.refusals)
    path = "UpdateConfig.Order" if short.beside else ASKED_BY.get(reason) if reason else None
    return wanted.place_of(path) if path else wanted.place


def _closest(refusals: Refusals) -> Refusal | None:
    """Return the reason of the nodes that are nearest to taking a task: the last that is looked for."""
    return refusals[-1][0] if refusals else None


def _what(short: Shortfall) -> str:
    demand, missing = short.demand, short.missing
    name = f"Service {demand.service}"
    if short.beside:
        return f"{name}: its start-first update can't begin{_on_nodes(demand, missing)}."
    if demand.mode.is_global:
        if not demand.bound:
            return f"{name}: no node can run its task."
        return f"{name}: its task can't run on {_of(missing, len(demand.bound))} nodes that it is meant for."
    at_once = " that it runs at a time" if demand.mode.is_job else ""
    if demand.total == 1:
        return f"{name}: its task can't be placed."
    return f"{name}: {_of(missing, demand.total)} tasks{at_once} can't be placed."


def _of(missing: int, total: int) -> str:
    return f"{missing} of {total}"


def _on_nodes(demand: Demand, missing: int) -> str:
    return f" on {missing} of {len(demand.bound)} nodes" if demand.bound else ""


def _why(short: Shortfall) -> str:
    reasons = explained(short.refusals)
    if short.beside:
        return f"A new task must run before the old one stops, and both find no room: {reasons}.{_meanwhile(short)}"
    if short.demand.mode.is_global and short.demand.bound:
        return f"{reasons[:1].upper()}{reasons[1:]}.{_meanwhile(short)}"
    text = f"No suitable node ({reasons})." if reasons else "No suitable node."
    if short.shared:
        text += " That is with the other services of this plan in place."
    return text + _meanwhile(short)


def _meanwhile(short: Shortfall) -> str:
    """Return who has the room that is lacking, though only for a while."""
    if short.later:
        has, gives = ("has", "gives") if len(short.later) == 1 else ("have", "give")
        names = f"{some(short.later, NAMED_MAX)} {has} what {short.demand.service} needs"
        return f" {names}, and {gives} it back only after that: the plan waits for {short.demand.service} first."
    if short.rivals:
        wait = "waits" if len(short.rivals) == 1 else "wait"
        return f" So {wait} {some(short.rivals, NAMED_MAX)}, updated start-first as well, and none makes room."
    return ""


def explained(refusals: Refusals) -> str:
    """Return why nodes refuse, as Swarm words it, the reason of most nodes first, with the nodes' names."""
    by_number = sorted(refusals, key=lambda one: -len(one[1]))
    return "; ".join(_explained(reason, names) for reason, names in by_number)


def _explained(reason: Refusal, names: tuple[str, ...]) -> str:
    nodes = "1 node" if len(names) == 1 else f"{len(names)} nodes"
    shown = some(names, NAMED_MAX)
    if reason is Refusal.NOT_AVAILABLE:
        return f"{nodes} {reason.value} ({shown})"
    return f"{reason.value} {nodes} ({shown})"


def hint_for(short: Shortfall, rooms: Rooms) -> str:
    """Return what would help the nodes that are nearest to taking the tasks."""
    if short.later:
        first = some(short.later, NAMED_MAX)
        return f"Commit and apply what becomes of {first} first, on its own; or make room for both."
    if short.beside:
        return "Update it with `order: stop-first`, or make room for one more task."
    said: dict[Refusal, Callable[[Demand, Rooms], str]] = {
        Refusal.NOT_AVAILABLE: _hint_available,
        Refusal.PLUGIN: _hint_plugin,
        Refusal.CONSTRAINT: _hint_constraint,
        Refusal.PLATFORM: _hint_platform,
        Refusal.RESOURCES: _hint_resources,
        Refusal.HOST_PORT: _hint_port,
        Refusal.MAX_REPLICAS: _hint_replicas,
    }
    return said[_closest(short.refusals) or Refusal.NOT_AVAILABLE](short.demand, rooms)


def _hint_available(_demand: Demand, _rooms: Rooms) -> str:
    return "See `docker node ls`: bring a node up, or give one `availability: active`."


def _hint_plugin(demand: Demand, rooms: Rooms) -> str:
    needs = demand.claim.needs
    nodes = [room.node for room in rooms.meeting(needs.constraints)]
    lacked = [one for one in needs.plugins if not all(has_plugin(node, *one) for node in nodes)]
    wanted = ", ".join(f"{name} ({kind.lower()})" for kind, name in lacked)
    return f"It needs {wanted}: install that on the nodes, or do without it."


def _hint_constraint(demand: Demand, rooms: Rooms) -> str:
    constraints = demand.claim.needs.constraints
    nodes = [room.node for room in rooms.by_id.values() if room.takes_tasks]
    unmet = [text for text in constraints if not any(constraints_hold((text,), node) for node in nodes)]
    unknown = [text for text in unmet if not is_known_key(text)]
    if unknown:
        keys = ", ".join((*PLAIN_KEYS, *(f"{key}NAME" for key in LABEL_KEYS)))
        return f"No node ever meets {', '.join(unknown)}: Swarm knows no such key. Write one of {keys}."
    if unmet:
        told = f"No available node meets {', '.join(unmet)}."
    else:
        told = f"No available node that has room meets all of {', '.join(constraints)}."
    if any("node.labels." in text.lower() for text in unmet or constraints):
        return f"{told} Label a node under `nodes` in swarm.yaml, or with docker node update --label-add."
    return f"{told} Change the constraint, or add such a node."


def _hint_platform(demand: Demand, rooms: Rooms) -> str:
    images = ", ".join("/".join(part or "any" for part in one) for one in demand.claim.needs.platforms)
    found = sorted(
        {
            f"{platform.get('OS', '')}/{platform.get('Architecture', '')}"
            for room in rooms.by_id.values()
            if (platform := room.node.description.get("Platform") or {})
        }
    )
    return (
        f"The image is for {images}, the nodes are {', '.join(found)}. Build it for them as well, or add such a node."
    )


def _hint_resources(demand: Demand, rooms: Rooms) -> str:
    suited = rooms.suited(demand.claim.needs)
    most = []
    if suited and demand.claim.nano_cpus:
        most.append(_cpus(max(room.nano_cpus for room in suited)))
    if suited and demand.claim.memory_bytes:
        most.append(_memory(max(room.memory_bytes for room in suited)))
    told = f"A task reserves {_amounts(demand.claim)}"
    if most:
        told += f"; before this plan's tasks one node has at most {', '.join(most)} free"
    return f"{told}. Lower deploy.resources.reservations or the number of tasks, or add a node."


def _amounts(claim: Claim) -> str:
    amounts = [f"{amount} {kind}" for kind, amount in claim.generic]
    if claim.memory_bytes:
        amounts.insert(0, _memory(claim.memory_bytes))
    if claim.nano_cpus:
        amounts.insert(0, _cpus(claim.nano_cpus))
    return ", ".join(amounts)


def _cpus(nano_cpus: int) -> str:
    number = _number(max(0, nano_cpus) / 1e9)
    return f"{number} CPU" if number == "1" else f"{number} CPUs"


def _memory(memory_bytes: int) -> str:
    free = max(0, memory_bytes)
    return f"{_number(free / GIBIBYTE)} GiB" if free >= GIBIBYTE else f"{_number(free / MEBIBYTE)} MiB"


def _number(value: float) -> str:
    """Return a number with three decimals at most, and never with an exponent."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _hint_port(demand: Demand, _rooms: Rooms) -> str:
    ports = ", ".join(f"{port}/{protocol}" for protocol, port in demand.claim.host_ports)
    return f"Each node has host port {ports} once: run no more tasks than nodes, or publish in ingress mode."


def _hint_replicas(demand: Demand, _rooms: Rooms) -> str:
    limit = demand.claim.max_replicas
    return f"Lower `replicas`, raise max_replicas_per_node (it is {limit}), or add a node."
