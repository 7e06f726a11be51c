"""Overlays that have fewer free addresses than a plan's tasks need, or none to begin an update with.

Swarm takes one address of an overlay for each task, one for each service that has a virtual IP there, one for each
node with a task on it (its load balancer), and one for the gateway. A task that finds none stays `new`, and no
message ever says why; a node that finds none keeps its tasks `assigned`. (swarmkit.md 8; moby #35849)
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonMapping, JsonObject, dig
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType
from reconciler.model.words import many, some
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.demands import Demand, Survey
from reconciler.planning.preflight.placing import Placement
from reconciler.planning.preflight.subnets import is_overlay

SUBNET_SIZE = 24
"""Bits of the subnet that Swarm gives a network which asks for none, unless the swarm was made with another size."""

NOT_FOR_TASKS = 3
"""Of a subnet: its own address, the broadcast address and the gateway."""


class Use(msgspec.Struct):
    """What is to have addresses of one network when the plan is done. `growing` are services that get more tasks."""

    tasks: int = 0
    new_tasks: int = 0
    """Of the tasks, those that are still to get theirs."""
    virtual_ips: int = 0
    standing_nodes: set[str] = msgspec.field(default_factory=set)
    most_nodes: int = 0
    """Of the services on it, the widest spread; they may share nodes, so that no more is certain."""
    growing: list[str] = msgspec.field(default_factory=list)

    @property
    def nodes(self) -> int:
        return max(len(self.standing_nodes), self.most_nodes)

    @property
    def total(self) -> int:
        return self.tasks + self.virtual_ips + self.nodes

    def beside(self, demand: Demand) -> Use:
        """Return the use as a start-first update begins: its old tasks have the addresses that its new ones will."""
        old_on = {node_id for node_id, _ in demand.beside}
        return replace(self, standing_nodes=self.standing_nodes | old_on)

    @property
    def told(self) -> str:
        """What takes the addresses, for people."""
        return (
            f"1 for each of {many(self.tasks, 'task')}, {self.virtual_ips} for virtual IPs of services and "
            f"{self.nodes} for nodes"
        )

    def left_out(self, size: int) -> int:
        """Return how many of the new tasks find no room among `size` addresses, at least.

        A task that does not run may spare its node's address besides its own, and no more.
        """
        for fewer in range(self.new_tasks):
            nodes = max(len(self.standing_nodes), self.most_nodes - fewer)
            if self.tasks - fewer + self.virtual_ips + nodes <= size:
                return fewer
        return self.new_tasks


def exhausted(context: Context, survey: Survey, uses: dict[str, Use], sizes: dict[str, int]) -> Iterator[Problem]:
    """Yield a warning for each overlay on which the draft's tasks need more addresses than there are.

    Where they have just enough, yield one for each start-first update: it needs one more to begin. `uses` and `sizes`
    are those of the draft.
    """
    declared = {wanted.name: wanted for wanted in context.desired.objects if wanted.kind is Kind.NETWORK}
    for name, use in uses.items():
        if use.growing and use.total > sizes[name]:
            yield short_of(name, use, sizes[name], declared.get(name))
    yield from _never_begun(context, survey, uses, sizes)


def _never_begun(context: Context, survey: Survey, uses: dict[str, Use], sizes: dict[str, int]) -> Iterator[Problem]:
    """Yield a warning for each start-first update on an overlay that has no address for one more task.

    A network that the update itself brings does not count, as the old tasks have no address there; nor does one that
    is short anyway, of which more is told.
    """
    before = {found.name: found.spec for found in context.actual.services}
    declared = {wanted.name: wanted for wanted in context.desired.of_kind(Kind.SERVICE)}
    ingress = ingress_of(context)
    for demand in survey.demands:
        if not demand.beside or not demand.count or demand.service not in before:
            continue
        both = attached(context, before[demand.service], ingress) & attached(context, demand.spec, ingress)
        enough = (name for name in sorted(both & uses.keys()) if uses[name].total <= sizes[name])
        crowded = {name: uses[name].beside(demand) for name in enough}
        full = {name: use for name, use in crowded.items() if use.total >= sizes[name]}
        if full:
            yield _stuck(demand, full, sizes, declared.get(demand.service))


def sizes_of(context: Context, draft: Draft) -> dict[str, int]:
    """Return {overlay name: how many addresses tasks, services and nodes may have there}."""
    default = default_bits(context)
    sizes = {found.name: size_of(found.spec, default) for found in context.actual.networks if is_overlay(found.spec)}
    for action in draft.actions:
        if action.kind is not Kind.NETWORK or action.type is ActionType.DELETE:
            continue
        if action.spec is not None and is_overlay(action.spec):
            sizes[action.name] = size_of(action.spec, default)
    return sizes


def default_bits(context: Context) -> int:
    """Return the bits of the subnets that the swarm gives to networks which ask for none."""
    given = context.actual.swarm.dig("SubnetSize")
    return given if isinstance(given, int) and given else SUBNET_SIZE


def size_of(spec: JsonMapping, default_bits: int) -> int:
    """Return how many IPv4 addresses a network's subnets leave for tasks, services and nodes."""
    total, found = 0, False
    for block in dig(spec, "IPAM", "Config") or ():
        usable = _usable(block)
        if usable is not None:
            total, found = total + usable, True
    return total if found else (1 << (32 - default_bits)) - NOT_FOR_TASKS


def _usable(block: JsonObject) -> int | None:
    """Return what one IPAM block leaves; None for IPv6, which Swarm does not give out, and for the unreadable."""
    try:
        subnet = ipaddress.ip_network(block.get("Subnet") or "", strict=False)
        pool = ipaddress.ip_network(block.get("IPRange") or subnet, strict=False)
        gateway = ipaddress.ip_address(block["Gateway"]) if block.get("Gateway") else subnet[1]
    except (ValueError, IndexError):
        return None
    if subnet.version != 4:
        return None
    reserved = {subnet.network_address, subnet.broadcast_address, gateway}
    return pool.num_addresses - sum(address in pool for address in reserved)


def uses_of(context: Context, draft: Draft, survey: Survey, made: Placement, overlays: Iterable[str]) -> dict[str, Use]:
    """Return {overlay name: its use} when the draft is carried out, of those of `overlays` that a service is on."""
    placing = {demand.service: demand for demand in survey.demands}
    standing: dict[str, dict[str, int]] = defaultdict(dict)
    for (service, node_id), count in survey.standing.items():
        standing[service][node_id] = count
    known = set(overlays)
    short = {one.demand.service: one.missing for one in made.shortfalls}
    uses: dict[str, Use] = {}
    ingress = ingress_of(context)
    for service, spec in _final_specs(context, draft).items():
        demand = placing.get(service)
        new = demand.count - short.get(service, 0) if demand else 0
        here = standing.get(service, {})
        spread = {node_id for node_id, count in made.placed.get(service, {}).items() if count}
        for name in attached(context, spec, ingress):
            if name not in known:
                continue
            use = uses.setdefault(name, Use())
            use.tasks += sum(here.values()) + new
            use.new_tasks += new
            use.virtual_ips += (dig(spec, "EndpointSpec", "Mode") or "vip") == "vip"
            use.standing_nodes |= here.keys()
            use.most_nodes = max(use.most_nodes, len(here.keys() | spread))
            if new:
                use.growing.append(service)
    if ingress in uses:  # every node has its load balancer there, with tasks or without
        uses[ingress].standing_nodes |= survey.rooms.by_id.keys()
    return uses


def _final_specs(context: Context, draft: Draft) -> dict[str, JsonObject]:
    """Return {name: spec} of the services that there are when the draft is carried out."""
    specs = {found.name: found.spec for found in context.actual.services}
    for action in draft.actions:
        if action.kind is not Kind.SERVICE:
            continue
        if action.type is ActionType.DELETE:
            specs.pop(action.name, None)
        elif action.spec is not None:
            specs[action.name] = action.spec
    return specs


def ingress_of(context: Context) -> str | None:
    """Return the name of the network by which published ports are reached, None where there is none."""
    return next((found.name for found in context.actual.networks if found.spec.get("Ingress")), None)


def attached(context: Context, spec: JsonObject, ingress: str | None) -> set[str]:
    """Return the names of the networks on which a service's tasks have an address."""
    names = context.id_names[Kind.NETWORK]
    targets = (one.get("Target", "") for one in dig(spec, "TaskTemplate", "Networks") or ())
    attached = {names.get(target, target) for target in targets}
    ports = dig(spec, "EndpointSpec", "Ports") or ()
    if ingress and any((port.get("PublishMode") or "ingress") == "ingress" for port in ports):
        attached.add(ingress)
    return attached


def short_of(name: str, use: Use, size: int, wanted: DesiredObject | None, later: Sequence[str] = ()) -> Problem:
    """Return what to say of an overlay with too few addresses; `later` are services that give some back too late."""
    users, hint = some(use.growing, 3), "Give it a larger subnet, move services to another network, or lower the number"
    why, hint = f"It takes {use.told}.", f"{hint} of tasks."
    if later:
        names = some(later, 3)
        why += f" {names} {'gives' if len(later) == 1 else 'give'} some back, but only after those tasks run."
        hint = f"Commit and apply the change of {names} first, on its own; or give the network a larger subnet."
    return Problem(
        ErrorCode.UNSCHEDULABLE,
        f"Network {name} has {_addresses(size)}, and the tasks of {users} make it need {use.total}.",
        why=(
            f"{why} At least {use.left_out(size)} of the {many(use.new_tasks, 'new task')} would never "
            "run: they stay `new`, or are rejected again and again."
        ),
        hint=hint,
        place=wanted.place_of("IPAM.Config[0].Subnet") if wanted else None,
        severity=Severity.WARNING,
    )


def _stuck(demand: Demand, full: dict[str, Use], sizes: dict[str, int], wanted: DesiredObject | None) -> Problem:
    told = " ".join(f"Network {name} has {_addresses(sizes[name])}, all taken: {full[name].told}." for name in full)
    return Problem(
        ErrorCode.UNSCHEDULABLE,
        f"Service {demand.service}: its start-first update can't begin.",
        why=f"A new task must run before the old one stops, and finds no address: it would stay `new`. {told}",
        hint="Update it with `order: stop-first`, or give the network a larger subnet.",
        place=wanted.place_of("UpdateConfig.Order") if wanted else None,
        severity=Severity.WARNING,
    )


def _addresses(size: int) -> str:
    return "1 address" if size == 1 else f"{size} addresses"
