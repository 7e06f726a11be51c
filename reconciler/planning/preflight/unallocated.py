"""Services that the plan leaves alone, though tasks of theirs stay `new`: Swarm finds no address for them."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.objects import Kind
from reconciler.model.tasks import ObservedTask
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.addresses import attached, ingress_of, sizes_of, uses_of
from reconciler.planning.preflight.demands import Survey, survey
from reconciler.planning.preflight.placing import Placement
from reconciler.planning.preflight.rooms import planned_rooms
from reconciler.planning.preflight.subnets import is_unallocated
from reconciler.planning.preflight.waiting import left_alone

NEW_GRACE_S = 30.0
"""Seconds for which a task must have been `new`: Swarm gives no reason, and a busy engine takes a while."""


def staying_new(
    context: Context, draft: Draft, surveyed: Survey | None = None, made: Placement | None = None
) -> Iterator[Problem]:
    """Yield a warning for each desired service without an action that has tasks which stay `new`.

    `surveyed` and `made` are given where the plan changes what nodes, services or networks have: nothing is said of
    tasks that may get their addresses by that.
    """
    stuck: dict[str, list[ObservedTask]] = {}
    for task in context.actual.tasks:
        if _stays_new(context, task):
            stuck.setdefault(task.service_id, []).append(task)
    left = left_alone(context, draft, surveyed, stuck)
    if not left:
        return
    freed = _freed(context, draft, surveyed, made) if surveyed and made else set()
    frees_subnets = any(action.kind is Kind.NETWORK and action.object_id for action in draft.actions)
    unallocated = {found.name for found in context.actual.networks if is_unallocated(found)}
    ingress = ingress_of(context)
    for wanted, found, tasks in left:
        networks = attached(context, found.spec, ingress)
        lost = sorted(networks & unallocated)
        if networks & freed or (lost and frees_subnets):
            continue
        yield _problem(wanted, tasks, lost)


def _stays_new(context: Context, task: ObservedTask) -> bool:
    since = task.reached_at if task.lacks_addresses else None
    return since is not None and (context.actual.observed_at - since).total_seconds() >= NEW_GRACE_S


def _freed(context: Context, draft: Draft, surveyed: Survey, made: Placement) -> set[str]:
    """Return the names of the overlays on which the draft leaves fewer addresses in use than there are now."""
    nothing = Draft()
    standing = survey(context, nothing, planned_rooms(context, nothing))
    names = sizes_of(context, draft).keys()
    before = uses_of(context, nothing, standing, Placement({}, []), names)
    after = uses_of(context, draft, surveyed, made, names)
    return {name for name, use in before.items() if name not in after or after[name].total < use.total}


def _problem(wanted: DesiredObject, tasks: list[ObservedTask], lost: list[str]) -> Problem:
    stay, them = ("1 task stays", "it") if len(tasks) == 1 else (f"{len(tasks)} tasks stay", "them")
    if lost:
        why = f"Its network {lost[0]} has no subnet: Swarm can't allocate it."
        hint = "Give the network a subnet that no other one overlaps, or remove networks that nobody uses."
    else:
        why = f"Swarm finds no address for {them}, or can't allocate a network."
        hint = "Give its networks larger subnets, or lower the number of tasks on them."
    return Problem(
        ErrorCode.UNSCHEDULABLE,
        f"Service {wanted.name}: {stay} new, and this plan does not change that.",
        why=why,
        hint=hint,
        place=wanted.place_of("TaskTemplate.Networks"),
        severity=Severity.WARNING,
    )
