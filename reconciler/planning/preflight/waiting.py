"""Services that the plan leaves alone, though the swarm finds no node for some of their tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Place, Problem, Severity
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask
from reconciler.model.words import many, some
from reconciler.planning.context import Context, Draft, belongs_elsewhere
from reconciler.planning.preflight.beforehand import still_waiting
from reconciler.planning.preflight.claims import ResolveDriver, claim_of, mode_and_count
from reconciler.planning.preflight.demands import Demand, Survey, network_drivers, survey
from reconciler.planning.preflight.placing import place
from reconciler.planning.preflight.rooms import planned_rooms
from reconciler.planning.preflight.words import ASKED_BY, NAMED_MAX

Left = tuple[DesiredObject, ObservedObject, list[ObservedTask]]
"""A service as desired and as observed, with its tasks that are stuck."""


def waiting(context: Context, draft: Draft, surveyed: Survey | None = None) -> Iterator[Problem]:
    """Yield a warning for each desired service without an action that has tasks for which Swarm finds no node.

    The reason is Swarm's own. `surveyed` is given where the plan changes what nodes have or hold: nothing is said of
    tasks that find room because of that, and found none before.
    """
    stuck: dict[str, list[ObservedTask]] = {}
    for task in context.actual.tasks:
        if task.no_node_because:
            stuck.setdefault(task.service_id, []).append(task)
    left = left_alone(context, draft, surveyed, stuck)
    silent: set[str] = set()
    if surveyed is not None and left:
        driver_of = network_drivers(context, draft)
        demands = [_demand(found, tasks, driver_of) for _, found, tasks in left]
        nothing = Draft()
        before = survey(context, nothing, planned_rooms(context, nothing))
        silent = _short(before, demands) - _short(surveyed, demands)
        silent -= still_waiting(context, draft, surveyed, [one for one in demands if one.service in silent])
    hostnames = {node.id: node.name for node in context.actual.nodes}
    for wanted, found, tasks in left:
        if found.name not in silent:
            yield _problem(wanted, tasks, hostnames)


def left_alone(
    context: Context, draft: Draft, surveyed: Survey | None, stuck: Mapping[str, list[ObservedTask]]
) -> list[Left]:
    """Return the desired services that the draft has nothing for, of those that `stuck` has tasks of, by service id."""
    if not stuck:
        return []
    silent = {action.name for action in draft.actions if action.kind is Kind.SERVICE}
    if surveyed is not None:
        silent |= {demand.service for demand in surveyed.demands}  # told where they find no room
    declared = {wanted.name: wanted for wanted in context.wanted(Kind.SERVICE)}
    left: list[Left] = []
    for found in context.actual.services:
        tasks, wanted = stuck.get(found.id), declared.get(found.name)
        if tasks and wanted and found.name not in silent and belongs_elsewhere(wanted, found) is None:
            left.append((wanted, found, tasks))
    return left


def _demand(found: ObservedObject, tasks: list[ObservedTask], driver_of: ResolveDriver) -> Demand:
    mode, total = mode_and_count(found.spec)
    bound = tuple(task.node_id for task in tasks) if mode.is_global else None
    return Demand(found.name, found.spec, claim_of(found.spec, driver_of), mode, len(tasks), total, bound)


def _short(surveyed: Survey, demands: list[Demand]) -> set[str]:
    """Return the services of `demands` that do not find room, once what the survey has to place is placed."""
    placeable = [one for one in demands if one.is_placeable(surveyed.rooms)]
    made = place([*surveyed.demands, *placeable], surveyed.rooms)
    return {short.demand.service for short in made.shortfalls}


def _problem(wanted: DesiredObject, tasks: list[ObservedTask], hostnames: Mapping[str, str]) -> Problem:
    reason = tasks[0].no_node_because
    return Problem(
        ErrorCode.UNSCHEDULABLE,
        f"Service {wanted.name}: {_who(tasks, hostnames)}, and this plan does not change that.",
        why=f"{reason[:1].upper()}{reason[1:].rstrip('.')}.",
        hint="Change its placement or its reservations, or add a node that suits.",
        place=_place(wanted, reason),
        severity=Severity.WARNING,
    )


def _who(tasks: list[ObservedTask], hostnames: Mapping[str, str]) -> str:
    """Return which tasks wait, and of a global service's, each of which has its node already, where."""
    one = len(tasks) == 1
    if not tasks[0].node_id:
        return f"{many(len(tasks), 'task')} {'waits' if one else 'wait'} for a node"
    names = some(sorted(hostnames.get(task.node_id, task.node_id) for task in tasks), NAMED_MAX)
    return f"{many(len(tasks), 'task')} can't run on {'its node' if one else 'their nodes'} {names}"


def _place(wanted: DesiredObject, reason: str) -> Place | None:
    """Return the line that asks for what Swarm names first as lacking, else the service's own."""
    named = [(reason.find(refusal.value), path) for refusal, path in ASKED_BY.items() if refusal.value in reason]
    return wanted.place_of(min(named)[1]) if named else wanted.place
