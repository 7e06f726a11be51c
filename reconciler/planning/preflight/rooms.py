"""What each node has left for tasks, and why it does not take one."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from reconciler.model.constraints import constraints_hold, parse_constraint
from reconciler.model.json import dig
from reconciler.model.nodes import Availability, NodeRecord, NodeState
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.plan import ActionType
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.claims import Claim, HostPort, Needs, architecture, counted

ENOUGH = 1 << 30
"""More tasks than anybody asks for: what a node takes of those that need no room."""


class Refusal(enum.Enum):
    """Why a node does not take a task, in Swarm's words (swarmkit.md 3.2).

    Swarm tells the first reason that it finds, and looks at resources early. Here what can't be mended by making room
    comes first: that a node is full is no news where a constraint excludes it anyway.
    """

    NOT_AVAILABLE = "not available for new tasks"
    CONSTRAINT = "scheduling constraints not satisfied on"
    PLUGIN = "missing plugin on"
    PLATFORM = "unsupported platform on"
    RESOURCES = "insufficient resources on"
    HOST_PORT = "host-mode port already in use on"
    MAX_REPLICAS = "max replicas per node limit exceed on"


class Room(msgspec.Struct):
    """One node as it will be, and what tasks have left of it. Numbers below 0 mean that it is overcommitted."""

    node: NodeRecord
    nano_cpus: int
    memory_bytes: int
    generic: Counter[str]
    """{kind: how many}; one that it does not have is not in it."""
    ports: Counter[HostPort] = msgspec.field(default_factory=Counter)
    replicas: Counter[str] = msgspec.field(default_factory=Counter)
    """{service name: tasks here}"""
    tasks: int = 0
    takes_tasks: bool = False
    """Whether Swarm gives it new tasks at all."""

    def __post_init__(self) -> None:
        self.takes_tasks = self.node.takes_tasks

    def copy(self) -> Room:
        """Return a room that takes tasks without this one taking them."""
        return replace(self, generic=self.generic.copy(), ports=self.ports.copy(), replicas=self.replicas.copy())

    def keeps(self, constraints: tuple[str, ...]) -> bool:
        """Return whether a task that runs here may stay. A paused or unreachable node keeps what it has."""
        if self.node.state is NodeState.DOWN or self.node.availability is Availability.DRAIN:
            return False
        return constraints_hold(constraints, self.node)

    def take(self, service: str, claim: Claim, count: int = 1) -> None:
        """Put `count` tasks here; a negative count takes them away."""
        self.nano_cpus -= count * claim.nano_cpus
        self.memory_bytes -= count * claim.memory_bytes
        for kind, amount in claim.generic:
            if count * amount:
                self.generic[kind] -= count * amount
        for port in claim.host_ports:
            self.ports[port] += count
        self.replicas[service] += count
        self.tasks += count

    def stay(self, service: str, claim: Claim) -> None:
        """Have a task here that stays. To SwarmKit, a node no longer has a kind that is used up."""
        self.take(service, claim)
        for kind, _ in claim.generic:
            if self.generic[kind] <= 0:
                del self.generic[kind]

    def has_resources(self, claim: Claim) -> bool:
        if claim.nano_cpus > self.nano_cpus and claim.nano_cpus:
            return False
        if claim.memory_bytes > self.memory_bytes and claim.memory_bytes:
            return False
        # A claim to 0 of a kind asks for the kind all the same.
        return all(kind in self.generic and amount <= self.generic[kind] for kind, amount in claim.generic)

    def has_ports(self, claim: Claim) -> bool:
        return not claim.host_ports or not any(self.ports[port] > 0 for port in claim.host_ports)

    def has_room(self, service: str, claim: Claim) -> bool:
        """Return whether one more task fits, on a node that suits it."""
        if claim.max_replicas and self.replicas[service] >= claim.max_replicas:
            return False
        return self.has_resources(claim) and self.has_ports(claim)

    def capacity(self, service: str, claim: Claim) -> int:
        """Return how many more tasks fit, on a node that suits them."""
        if not self.has_room(service, claim):
            return 0
        limits = [amount and self.generic[kind] // amount for kind, amount in claim.generic]
        limits.append(claim.nano_cpus and self.nano_cpus // claim.nano_cpus)
        limits.append(claim.memory_bytes and self.memory_bytes // claim.memory_bytes)
        limits.append(1 if claim.host_ports else 0)
        limits.append(claim.max_replicas and claim.max_replicas - self.replicas[service])
        return min((limit for limit in limits if limit), default=ENOUGH)

    def refusal(self, service: str, claim: Claim, *, meets: bool) -> Refusal | None:
        """Return why one more task can't come here, None when it can; `meets` is whether the constraints hold."""
        if not self.takes_tasks:
            return Refusal.NOT_AVAILABLE
        if not meets:
            return Refusal.CONSTRAINT
        if (missing := lacking(self.node, claim.needs)) is not None:
            return missing
        if not self.has_resources(claim):
            return Refusal.RESOURCES
        if not self.has_ports(claim):
            return Refusal.HOST_PORT
        return None if self.has_room(service, claim) else Refusal.MAX_REPLICAS


def lacking(node: NodeRecord, needs: Needs) -> Refusal | None:
    """Return what the engine on a node lacks, however empty the node is."""
    if not all(has_plugin(node, kind, name) for kind, name in needs.plugins):
        return Refusal.PLUGIN
    return Refusal.PLATFORM if needs.platforms and not _is_platform(node, needs.platforms) else None


def has_plugin(node: NodeRecord, kind: str, name: str) -> bool:
    """Return whether the node has a plugin. One that lists none but for logs has (the embedded swarm's processes need
    none), and so has, for logs, one that lists no log plugins at all.
    """
    plugins = dig(node.description, "Engine", "Plugins") or ()
    if kind != "Log" and all(one.get("Type") == "Log" for one in plugins):
        return True
    listed = [one.get("Name") for one in plugins if one.get("Type") == kind]
    return name in listed or f"{name}:latest" in listed or (kind == "Log" and not listed)


def _is_platform(node: NodeRecord, platforms: tuple[tuple[str, str], ...]) -> bool:
    platform = node.description.get("Platform")
    if not platform:
        return False
    own = (str(platform.get("OS") or "").lower(), architecture(platform))
    return any(os in ("", own[0]) and arch in ("", own[1]) for os, arch in platforms)


class Rooms(msgspec.Struct):
    """Every node of the swarm, {id: room}, in the order observed."""

    by_id: dict[str, Room]
    _suited: dict[Needs, tuple[str, ...]] = msgspec.field(default_factory=dict)
    _meeting: dict[tuple[str, ...], tuple[str, ...]] = msgspec.field(default_factory=dict)

    def copy(self) -> Rooms:
        """Return rooms that take tasks without these taking them. What suits whom is looked up once for all copies."""
        return self.changing(self.by_id)

    def changing(self, node_ids: Iterable[str]) -> Rooms:
        """Return rooms of which those with `node_ids` take tasks without these taking them; the others are the same."""
        changed = {node_id: self.by_id[node_id].copy() for node_id in node_ids}
        return Rooms({**self.by_id, **changed}, self._suited, self._meeting)

    def meeting(self, constraints: tuple[str, ...]) -> tuple[Room, ...]:
        """Return the nodes that take new tasks and meet `constraints`; none where these can't be parsed."""
        found = self._meeting.get(constraints)
        if found is None:
            found = self._meeting[constraints] = tuple(self._find_meeting(constraints))
        return tuple(self.by_id[node_id] for node_id in found)

    def suited(self, needs: Needs) -> tuple[Room, ...]:
        """Return the nodes that take new tasks and have what `needs` asks for, full or not."""
        found = self._suited.get(needs)
        if found is None:
            found = self._suited[needs] = tuple(
                room.node.id for room in self.meeting(needs.constraints) if lacking(room.node, needs) is None
            )
        return tuple(self.by_id[node_id] for node_id in found)

    def _find_meeting(self, constraints: tuple[str, ...]) -> Iterator[str]:
        try:
            parsed = [parse_constraint(text) for text in constraints]
        except ValueError:
            return
        for node_id, room in self.by_id.items():
            if room.takes_tasks and all(constraint.holds(room.node) for constraint in parsed):
                yield node_id


def planned_rooms(context: Context, draft: Draft, leaving: frozenset[str] = frozenset()) -> Rooms:
    """Return the nodes as the draft makes them, all empty; those with ids in `leaving` are drained as well."""
    planned = {action.object_id: action for action in draft.actions if action.kind is Kind.NODE}
    rooms: dict[str, Room] = {}
    for found in context.actual.nodes:
        action = planned.get(found.id)
        if action is not None and action.type is ActionType.DELETE:
            continue
        spec = found.spec if action is None or action.spec is None else action.spec
        if found.id in leaving:
            spec = {**spec, "Availability": Availability.DRAIN.value}
        rooms[found.id] = _empty_room(found, spec, context.actual.observed_at)
    return Rooms(rooms)


def _empty_room(found: ObservedObject, spec: dict[str, Any], observed_at: datetime) -> Room:
    resources = found.dig("Description", "Resources") or {}
    return Room(
        node_as(found, spec, observed_at),
        resources.get("NanoCPUs") or 0,
        resources.get("MemoryBytes") or 0,
        Counter(counted(resources.get("GenericResources") or ())),
    )


def node_as(found: ObservedObject, spec: dict[str, Any], observed_at: datetime) -> NodeRecord:
    """Return an observed node as it is once it has `spec`."""
    return NodeRecord(
        id=found.id,
        version=found.version,
        created_at=observed_at,
        updated_at=observed_at,
        spec={**spec, "Role": _role(spec), "Availability": _availability(spec)},
        # the inventory of a node names it even where the engine's description is missing
        description={"Hostname": found.name, **(found.dig("Description") or {})},
        state=_state(found),
        message="",
        address=str(found.dig("Status", "Addr") or ""),
    )


def _role(spec: dict[str, Any]) -> str:
    given = str(spec.get("Role") or "").lower()
    return given if given in set(NodeRole) else NodeRole.WORKER.value


def _availability(spec: dict[str, Any]) -> str:
    given = str(spec.get("Availability") or "").lower()
    return given if given in set(Availability) else Availability.ACTIVE.value


def _state(found: ObservedObject) -> NodeState:
    given = str(found.dig("Status", "State") or "").lower()
    return NodeState(given) if given in set(NodeState) else NodeState.UNKNOWN
