"""Overlays that ask for no subnet, where the swarm's address pool has none left to give.

The pool is cut into subnets of one size, and each network gets the first that overlaps none in use. One that finds
none stays as it is until one is freed, and no message ever says so. (swarmkit.md 8; moby #35849)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Network

import msgspec

from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonMapping, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType
from reconciler.model.words import many, some
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.addresses import attached, default_bits, ingress_of
from reconciler.planning.preflight.demands import Survey
from reconciler.planning.preflight.subnets import is_overlay, is_unallocated, removed_after_users_of, subnets_of

DEFAULT_POOL = ("10.0.0.0/8",)
"""What a swarm that was made without one cuts into subnets."""

BLOCKS_SHOWN_MAX = 3


class AddressPool(msgspec.Struct, frozen=True):
    """The IPv4 ranges that the swarm cuts into subnets of `bits`."""

    blocks: tuple[IPv4Network, ...]
    bits: int

    @classmethod
    def of(cls, context: Context) -> AddressPool:
        """Return the swarm's pool; ranges that can't be read, or are smaller than a subnet, are left out."""
        bits = default_bits(context)
        blocks = []
        for text in context.actual.swarm.dig("DefaultAddrPool") or DEFAULT_POOL:
            try:
                block = IPv4Network(text, strict=False)
            except ValueError:
                continue
            if block.prefixlen <= bits:
                blocks.append(block)
        return cls(tuple(blocks), bits)

    @property
    def count(self) -> int:
        """How many subnets there are in all."""
        return sum(1 << (self.bits - block.prefixlen) for block in self.blocks)

    def free(self, taken: Iterable[IPv4Network]) -> int:
        """Return how many subnets overlap none of `taken`. Subnets are counted between those, never one by one."""
        held = sorted(self._numbers(subnet) for subnet in taken)
        found = 0
        for block in self.blocks:
            following, last = self._numbers(block)
            for first_held, last_held in held:
                found += max(0, min(first_held, last + 1) - following)
                following = max(following, last_held + 1)
            found += max(0, last + 1 - following)
        return found

    def _numbers(self, subnet: IPv4Network) -> tuple[int, int]:
        """Return the first and the last of the subnets that `subnet` overlaps, counted from 0.0.0.0 on."""
        shift = 32 - self.bits
        return int(subnet.network_address) >> shift, int(subnet.broadcast_address) >> shift


def without_subnet(context: Context, draft: Draft, survey: Survey) -> Iterator[Problem]:
    """Yield a warning for each overlay that the draft makes, or that its tasks are to use, and no subnet is left for.

    Networks that exist without one stand in the line first.
    """
    made = [action for action in draft.actions if action.kind is Kind.NETWORK and action.type is not ActionType.DELETE]
    declared = {wanted.name: wanted for wanted in context.desired.of_kind(Kind.NETWORK)}
    gone = {action.object_id for action in draft.actions if action.kind is Kind.NETWORK}
    standing = [found for found in context.actual.networks if found.id not in gone and is_overlay(found.spec)]
    waiting = [found.name for found in standing if is_unallocated(found) and _may_get_any(declared.get(found.name))]
    asking = [action.name for action in made if action.spec and _gets_any(action.spec)]
    if not waiting and not asking:
        return
    pool = AddressPool.of(context)
    line = [*waiting, *asking]
    if not pool.blocks:
        return
    left_out = line[pool.free(_taken(standing, made)) :]
    used = _used(context, survey)
    for name in left_out:
        if name in asking or name in used:
            yield _problem(name, pool, declared.get(name))
    for place, name in enumerate(line):
        ids = removed_after_users_of(name, context, draft) if name not in left_out else ()
        late = [found for found in context.actual.networks if found.id in ids and _ipv4(found.spec)]
        if late and place >= pool.free(_taken([*standing, *late], made)):
            yield _problem(name, pool, declared.get(name), [found.name for found in late])


def _gets_any(spec: JsonMapping) -> bool:
    """Return whether Swarm chooses a network's subnet. One that asks for IPv6 alone gets nothing besides."""
    if not is_overlay(spec) or (dig(spec, "IPAM", "Driver") or "default") != "default":
        return False
    return not any(block.get("Subnet") for block in dig(spec, "IPAM", "Config") or ())


def _may_get_any(wanted: DesiredObject | None) -> bool:
    """Return whether a network that has no subnet may wait for any: what it asked for, only its manifest tells."""
    return wanted is None or _gets_any(wanted.spec)


def _taken(standing: Iterable[ObservedObject], made: Iterable[Action]) -> list[IPv4Network]:
    """Return the subnets in use. What a new network asks for in vain, as it overlaps another's, it will not have."""
    taken = [subnet for found in standing for subnet in _ipv4(found.spec)]
    for action in made:
        own = _ipv4(action.spec) if action.spec and is_overlay(action.spec) else []
        if not any(subnet.overlaps(other) for subnet in own for other in taken):
            taken += own
    return taken


def _ipv4(spec: JsonMapping) -> list[IPv4Network]:
    return [subnet for subnet in subnets_of(spec) if isinstance(subnet, ipaddress.IPv4Network)]


def _used(context: Context, survey: Survey) -> Collection[str]:
    """Return the names of the networks on which the draft gives tasks to a service."""
    ingress = ingress_of(context)
    placing = (demand for demand in survey.demands if demand.count)
    return {name for demand in placing for name in attached(context, demand.spec, ingress)}


def _problem(name: str, pool: AddressPool, wanted: DesiredObject | None, late: list[str] | None = None) -> Problem:
    """Return what to say of a network without a subnet; `late` are networks that go only once tasks on it run."""
    blocks = some([str(block) for block in pool.blocks], BLOCKS_SHOWN_MAX)
    until, hint = "once this plan is done", "or remove networks that nobody uses"
    if late:
        names = some(late, BLOCKS_SHOWN_MAX)
        until = f"as long as {names} {'is' if len(late) == 1 else 'are'} there, which this plan removes last"
        hint = f"or commit and apply the removal of {names} first, on its own"
    return Problem(
        ErrorCode.UNSCHEDULABLE,
        f"Network {name}: no subnet is left for it.",
        why=(
            f"The swarm's address pool {blocks} gives out {many(pool.count, 'subnet')} of /{pool.bits}, all in use "
            f"{until}. Docker accepts such a network, but can't allocate it: tasks on it would never "
            "leave the state `new`."
        ),
        hint=(f"Give it a subnet of its own, {hint}. The pool is chosen at `docker swarm init --default-addr-pool`."),
        place=wanted.place_of("IPAM.Config[0].Subnet") if wanted else None,
        severity=Severity.WARNING,
    )
