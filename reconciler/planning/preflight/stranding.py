"""Whether nodes may go: what runs on them must find another place."""

from __future__ import annotations

from collections.abc import Collection

from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.objects import Kind
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.demands import (
    Survey,
    displaced_demand,
    held_claim,
    is_placed,
    live_tasks,
    network_drivers,
)
from reconciler.planning.preflight.placing import Shortfall, place
from reconciler.planning.preflight.rooms import planned_rooms
from reconciler.planning.preflight.words import explained, hint_for


def stranded_by(context: Context, draft: Draft, leaving: Collection[str]) -> tuple[Problem, ...]:
    """Return one problem for each service whose replicas fit nowhere once the nodes with the ids `leaving` take none.

    Only replicas that run on those nodes now are looked for a place, as many as the service is still to have by what
    is desired. Services that could not be placed before either are not the nodes' fault, and are left out. So are
    global services and jobs, of which Swarm moves nothing. What the draft does to nodes so far counts as done.
    """
    gone = frozenset(leaving)
    surveyed = Survey(planned_rooms(context, draft, gone))
    driver_of = network_drivers(context, draft)
    by_service = live_tasks(context)
    declared = {wanted.name: wanted for wanted in context.wanted(Kind.SERVICE)}
    for found in sorted(context.actual.services, key=lambda one: one.name):  # not as an engine happens to list them
        placed = [task for task in by_service.get(found.id, ()) if is_placed(task)]
        moving = [task for task in placed if task.node_id in gone]
        for task in placed:
            if task.node_id not in gone:
                surveyed.stay(found.name, held_claim(task, found), task.node_id)
        if not moving:
            continue
        spec = declared[found.name].spec if found.name in declared else found.spec
        demand = displaced_demand(found.name, spec, len(moving), driver_of)
        if demand is not None:
            surplus = max(0, len(placed) - demand.total)
            surveyed.demands.append(demand.fewer(surplus))
    made = place(surveyed.demands, surveyed.rooms)
    return tuple(_problem(short, surveyed, declared.get(short.demand.service)) for short in made.shortfalls)


def _problem(short: Shortfall, surveyed: Survey, wanted: DesiredObject | None) -> Problem:
    demand = short.demand
    return Problem(
        ErrorCode.UNSCHEDULABLE,
        f"Service {demand.service}: {short.missing} of {demand.total} tasks would have nowhere to go.",
        why=f"No other node takes them ({explained(short.refusals)}).",
        hint=hint_for(short, surveyed.rooms),
        place=wanted.place if wanted else None,
    )
