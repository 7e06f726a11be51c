"""Networks that ask for a subnet which another one has."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from msgspec.structs import replace

from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonMapping, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ActionType
from reconciler.planning.context import Context, Draft

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network

OVERLAY = "overlay"


def subnets_of(spec: JsonMapping) -> tuple[Subnet, ...]:
    """Return the subnets of a network, from a create body or from an inspect answer; unreadable ones are left out."""
    found = []
    for block in dig(spec, "IPAM", "Config") or ():
        try:
            found.append(ipaddress.ip_network(block.get("Subnet") or "", strict=False))
        except ValueError:
            continue
    return tuple(found)


def is_overlay(spec: JsonMapping) -> bool:
    """Return whether the swarm itself gives out a network's addresses."""
    return (spec.get("Driver") or OVERLAY) == OVERLAY


def is_unallocated(found: ObservedObject) -> bool:
    """Return whether the swarm has not given a network of its own anything yet: neither a driver nor a subnet.

    It then shows nothing of what was asked of driver, options and addresses, and allocates the network by itself once
    what is in the way is gone.
    """
    return not found.spec.get("Driver") and not dig(found.spec, "IPAM", "Config")


def overlapping(context: Context, draft: Draft) -> Iterator[Problem]:
    """Yield a warning for each overlay of the draft whose subnet overlaps that of another one.

    Docker accepts such a network, and never allocates it: tasks on it stay `new` without a word. (moby #35849)
    What is there like that, and stays, is told as well.
    """
    yield from _made_in_vain(context, draft)
    yield from _standing_in_vain(context, draft)


def _made_in_vain(context: Context, draft: Draft) -> Iterator[Problem]:
    made = [
        action
        for action in draft.actions
        if action.kind is Kind.NETWORK
        and action.type is not ActionType.DELETE
        and action.spec
        and is_overlay(action.spec)
    ]
    if not any(subnets_of(action.spec or {}) for action in made):
        return
    gone = {action.object_id for action in draft.actions if action.kind is Kind.NETWORK}
    standing = [
        (found, subnet)
        for found in context.actual.networks
        if is_overlay(found.spec)
        for subnet in subnets_of(found.spec)
    ]
    taken = [(found.name, subnet) for found, subnet in standing if found.id not in gone]
    declared = {wanted.name: wanted for wanted in context.desired.of_kind(Kind.NETWORK)}
    for action in made:
        own = subnets_of(action.spec or {})
        for name, subnet in taken:
            clash = next((one for one in own if _overlap(one, subnet)), None)
            if clash is not None:
                yield _problem(action.name, clash, name, subnet, declared.get(action.name))
        late = removed_after_users_of(action.name, context, draft)
        for found, subnet in standing:
            clash = next((one for one in own if found.id in late and _overlap(one, subnet)), None)
            if clash is not None:
                yield _problem(action.name, clash, found.name, subnet, declared.get(action.name), last=True)
        taken += [(action.name, subnet) for subnet in own]


def _standing_in_vain(context: Context, draft: Draft) -> Iterator[Problem]:
    """Yield a warning for each declared network that the draft leaves unallocated, since another one has its subnet."""
    planned = {action.object_id for action in draft.actions if action.kind is Kind.NETWORK}
    there = [found for found in context.actual.networks if found.id not in planned]
    bare = {found.name for found in there if is_unallocated(found)}
    for wanted in context.wanted(Kind.NETWORK) if bare else ():
        if wanted.name not in bare:
            continue
        taken = [(found.name, subnet) for found in there if is_overlay(found.spec) for subnet in subnets_of(found.spec)]
        pairs = ((own, name, subnet) for own in subnets_of(wanted.spec) for name, subnet in taken)
        if clash := next((one for one in pairs if _overlap(one[0], one[2])), None):
            own, name, subnet = clash
            yield replace(
                _problem(wanted.name, own, name, subnet, wanted),
                why="So Swarm has not allocated it: tasks on it never leave the state `new`.",
                hint=f"Remove {name}, and Swarm allocates it at once. Or remove the services on it from Git and apply, "
                "then bring them back with another subnet for it, or none, and Swarm chooses one.",
            )


def removed_after_users_of(network: str, context: Context, draft: Draft) -> set[str]:
    """Return the ids of the networks that the draft removes only once a service on this one runs."""
    if not context.options.waits:
        return set()
    users = {action.id for action in draft.actions if action.starts_tasks and _is_on(action.spec or {}, network)}
    return {
        action.object_id
        for action in draft.actions
        if action.kind is Kind.NETWORK and action.type is ActionType.DELETE and action.object_id
        if users & set(action.after)
    }


def _is_on(spec: JsonMapping, network: str) -> bool:
    return any(one.get("Target") == network for one in dig(spec, "TaskTemplate", "Networks") or ())


def _overlap(one: Subnet, other: Subnet) -> bool:
    return one.version == other.version and one.overlaps(other)


def _problem(
    name: str, subnet: Subnet, other: str, others: Subnet, wanted: DesiredObject | None, *, last: bool = False
) -> Problem:
    why = "Docker accepts such a network, but can't allocate it: tasks on it would never leave the state `new`."
    hint = "Give it a subnet of its own, or none, and Swarm chooses one."
    if last:
        why += f" This plan removes {other}, but only after those tasks run."
        hint = f"Commit and apply the removal of {other} first, on its own; or give {name} another subnet."
    return Problem(
        ErrorCode.UNSCHEDULABLE,
        f"Network {name}: its subnet {subnet} overlaps {others} of network {other}.",
        why=why,
        hint=hint,
        place=wanted.place_of("IPAM.Config[0].Subnet") if wanted else None,
        severity=Severity.WARNING,
    )
