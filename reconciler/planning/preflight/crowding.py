"""Overlays whose addresses suffice once a plan is done, but not before: what gives some back comes only later.

What is pruned goes last, and what depends on others is written after them. A task that finds no address stays `new`
until one is given back; where those wait for that task, it stays so for ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

import msgspec

from reconciler.model.objects import Kind
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.addresses import Use, attached, ingress_of, uses_of
from reconciler.planning.preflight.beforehand import followers_of, waits
from reconciler.planning.preflight.demands import Survey, live_tasks, survey
from reconciler.planning.preflight.placing import place
from reconciler.planning.preflight.rooms import planned_rooms


class Crowding(msgspec.Struct, frozen=True):
    """An overlay that is short while `services` get their tasks: `later` give addresses back only after those run."""

    network: str
    use: Use
    services: tuple[str, ...]
    later: tuple[str, ...]


def crowding(
    context: Context, draft: Draft, surveyed: Survey, uses: Mapping[str, Use], sizes: Mapping[str, int]
) -> Iterator[Crowding]:
    """Yield each overlay that is short of addresses only until later steps are done.

    `uses` is what there is when the draft is carried out, `sizes` how many addresses each overlay has.
    """
    if not context.options.waits:
        return
    waiting = {action.name for action in draft.actions if action.kind is Kind.SERVICE and waits(action)}
    networks = _networks_of(context, waiting)
    most = _most(context, networks, uses)
    tight = {name for name, bound in most.items() if uses[name].total <= sizes[name] < bound}
    if not tight:  # as nearly always: who waits for whom takes long to find out
        return
    for services, later in _groups(draft, surveyed, waiting).items():
        giving = {name: networks[name] & tight for name in later if networks.get(name, set()) & tight}
        if not giving:
            continue
        early = Draft([one for one in draft.actions if one.kind is not Kind.SERVICE or one.name not in later])
        before = survey(context, early, planned_rooms(context, early))
        made = place(before.demands, before.rooms)
        for name, use in uses_of(context, early, before, made, tight).items():
            growing = tuple(service for service in use.growing if service in services)
            if growing and use.total > sizes[name]:
                yield Crowding(name, use, growing, tuple(sorted(one for one in giving if name in giving[one])))


def _groups(draft: Draft, surveyed: Survey, waiting: set[str]) -> dict[frozenset[str], frozenset[str]]:
    """Return {services that get tasks: those of `waiting` that are written only once all of these run}."""
    growing = {demand.service for demand in surveyed.demands if demand.count}
    groups: dict[frozenset[str], set[str]] = defaultdict(set)
    for service, later in followers_of(draft, waiting).items():
        if service in growing and service not in later:
            groups[frozenset(later)].add(service)
    return {frozenset(services): later for later, services in groups.items()}


def _networks_of(context: Context, names: Collection[str]) -> dict[str, set[str]]:
    """Return {service: the networks that it is on now}, of those of `names` that exist."""
    ingress = ingress_of(context)
    return {one.name: attached(context, one.spec, ingress) for one in context.actual.services if one.name in names}


def _most(context: Context, giving: Mapping[str, set[str]], uses: Mapping[str, Use]) -> dict[str, int]:
    """Return {network: the most addresses in use as long as the services of `giving` are as they are}: a bound."""
    ids = {found.id: found.name for found in context.actual.services if found.name in giving}
    most: dict[str, int] = {}
    for service_id, tasks in live_tasks(context).items():
        for network in giving.get(ids.get(service_id, ""), ()):
            if network in uses:
                most.setdefault(network, uses[network].total + len(context.actual.nodes))
                most[network] += len(tasks) + 1
    return most
