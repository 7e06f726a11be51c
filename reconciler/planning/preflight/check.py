"""The pre-flight of a whole plan."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.errors import Problem
from reconciler.model.objects import Kind
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.addresses import exhausted, short_of, sizes_of, uses_of
from reconciler.planning.preflight.beforehand import crowded_out
from reconciler.planning.preflight.crowding import crowding
from reconciler.planning.preflight.demands import Demand, Survey, survey
from reconciler.planning.preflight.placing import Placement, Shortfall, beside, place, refusals
from reconciler.planning.preflight.pool import without_subnet
from reconciler.planning.preflight.ports import taken_ports
from reconciler.planning.preflight.rooms import Rooms, planned_rooms
from reconciler.planning.preflight.subnets import overlapping
from reconciler.planning.preflight.unallocated import staying_new
from reconciler.planning.preflight.waiting import waiting
from reconciler.planning.preflight.words import problem

PLACING = (Kind.NODE, Kind.NETWORK, Kind.SERVICE)
"""Kinds whose actions may leave tasks without a place."""


def preflight(context: Context, draft: Draft) -> tuple[Problem, ...]:
    """Return one warning for each service that the draft leaves with tasks that no node can run, and why.

    Warnings about what no task could be reached by come with them: overlays without enough addresses, with a subnet
    that another one has or with none left for them, and ports that the engine will refuse. Each is true of the cluster
    as observed, with everything that this plan does to nodes and services already done; Swarm itself could not place
    these tasks all at once either. Where nodes are not known (a plan without a cluster), nothing is said of them.
    Services that the plan leaves alone are told where Swarm itself says that it finds no node for their tasks, or where
    these stay `new`.
    """
    overlaps = tuple(overlapping(context, draft))
    if not any(action.kind in PLACING for action in draft.actions):
        return (*overlaps, *waiting(context, draft), *staying_new(context, draft))
    problems = [*overlaps, *taken_ports(context, draft)]
    if not context.actual.nodes:
        return tuple(problems)
    surveyed = survey(context, draft, planned_rooms(context, draft))
    made = place(surveyed.demands, surveyed.rooms)
    short_of_addresses = _short_of_addresses(context, draft, surveyed, made)
    left_out = without_subnet(context, draft, surveyed)
    left_alone = (*waiting(context, draft, surveyed), *staying_new(context, draft, surveyed, made))
    return (*_unplaceable(context, draft, surveyed, made), *short_of_addresses, *problems, *left_out, *left_alone)


def _short_of_addresses(context: Context, draft: Draft, surveyed: Survey, made: Placement) -> Iterator[Problem]:
    """Yield a warning for each overlay without addresses for the draft's tasks, in the end or until a later step."""
    if not any(demand.count for demand in surveyed.demands):
        return
    sizes = sizes_of(context, draft)
    uses = uses_of(context, draft, surveyed, made, sizes.keys())
    yield from exhausted(context, surveyed, uses, sizes)
    declared = {wanted.name: wanted for wanted in context.desired.of_kind(Kind.NETWORK)}
    for one in crowding(context, draft, surveyed, uses, sizes):
        yield short_of(one.network, one.use, sizes[one.network], declared.get(one.network), one.later)


def preflight_without_cluster(context: Context, draft: Draft) -> tuple[Problem, ...]:
    """Return the warnings that hold whatever nodes there are: of ports and subnets that one repository claims twice."""
    if not any(action.kind in PLACING for action in draft.actions):
        return ()
    return (*overlapping(context, draft), *taken_ports(context, draft))


def _unplaceable(context: Context, draft: Draft, surveyed: Survey, made: Placement) -> list[Problem]:
    short_of = {short.demand.service: short for short in made.shortfalls}
    declared = {wanted.name: wanted for wanted in context.desired.of_kind(Kind.SERVICE)}
    for demand in surveyed.demands:
        short = short_of.get(demand.service) or _nowhere(demand, surveyed.rooms) or beside(demand, surveyed.rooms)
        if short is not None:
            short_of[demand.service] = short
    short_of |= crowded_out(context, draft, surveyed, short_of)
    found: list[Problem] = []
    for demand in surveyed.demands:
        short = short_of.get(demand.service)
        if short is not None:
            found.append(problem(short, surveyed.rooms, declared.get(demand.service)))
    return found


def _nowhere(demand: Demand, rooms: Rooms) -> Shortfall | None:
    """Return what to say of a global service that no node is meant for. One node that takes it is enough."""
    if not demand.mode.is_global or demand.total:
        return None
    return Shortfall(demand, 0, refusals(rooms, demand))
