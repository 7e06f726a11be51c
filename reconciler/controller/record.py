"""Writes down in the swarm what the repository has created, once an apply knows how its actions ended."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.controller.patience import Patience, Tries
from reconciler.controller.ports import Cluster
from reconciler.controller.write import STALE_RETRIES_MAX
from reconciler.model.errors import ErrorCode, Problem, Severity, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Plan
from reconciler.model.progress import ActionProgress, ActionStatus
from reconciler.planning.inventory import swarm_spec_with


def names_to_record(
    plan: Plan, ended: Iterable[ActionProgress], written: Iterable[str], undone: Iterable[ActionProgress] = ()
) -> frozenset[str] | None:
    """Return what the inventory is to name after these endings, or None when the plan leaves it alone.

    What was not created is not there, and what was not removed still is. `written` are the ids of the actions that
    were carried out, whatever became of their tasks; `undone` are the writes that put stacks back. Pure.
    """
    if plan.inventory is None:
        return None
    names, sent = set(plan.inventory), frozenset(written)
    for one in ended:
        if one.action.kind in (Kind.SWARM, Kind.NODE):
            continue  # nobody creates these, and so nobody owns them
        if one.action.id not in sent and one.action.type is ActionType.CREATE:
            names.discard(_name(one.action))
        elif one.action.id not in sent and one.action.type is ActionType.DELETE:
            names.add(_name(one.action))
    for one in undone:
        if one.status is not ActionStatus.DONE:
            continue
        if one.action.type is ActionType.DELETE:
            names.discard(_name(one.action))
        else:
            names.add(_name(one.action))
    return frozenset(names)


def _name(action: Action) -> str:
    return f"{action.kind}.{action.name}"


async def record(cluster: Cluster, patience: Patience, owner: str, names: frozenset[str]) -> Problem | None:
    """Write `names` to the swarm as what `owner` has created; return a warning where that did not succeed.

    One write, made on what the swarm's settings are now; made again when they move in between, within a limit.
    """
    tries, moved = Tries(), 0
    try:
        while True:
            swarm = await patience.read(lambda: cluster.get(Kind.SWARM, ""))
            spec = swarm_spec_with(swarm.spec, owner, names)
            if spec == swarm.spec:
                return None
            try:
                await cluster.update(Kind.SWARM, swarm.id, swarm.version, spec)
            except SwarmctlError as error:
                moved += error.code is ErrorCode.STALE_VERSION
                if moved > STALE_RETRIES_MAX:
                    raise
                if error.code is not ErrorCode.STALE_VERSION:
                    await patience.bear(error, tries)
            else:
                patience.heard()
                return None
    except SwarmctlError as error:
        first = error.problems[0]
        return Problem(
            first.code,
            "What this repository has created could not be written down in the swarm.",
            why=first.why or first.what,
            hint="The next apply that writes something does it; until then, what loses its labels counts as foreign.",
            severity=Severity.WARNING,
        )
