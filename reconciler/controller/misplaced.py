"""Tasks on nodes that don't suit them: those that swarm is about to end, and those that it ends again and again. Pure.

A node is written, and swarm looks at its tasks afterwards (swarmkit's constraint enforcer): a look in between finds all
as it was. That it stays so is no reason to wait for ever, since nothing tells when swarm has looked.

A global job's task is given to its node whether or not that has what the task reserves; the enforcer rejects it there
at once, and the job makes another. A global service's task waits in that case, and says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from reconciler.controller.assess import EVICTED, Crew, takes_tasks
from reconciler.model.actual import ActualState
from reconciler.model.constraints import constraints_hold
from reconciler.model.objects import ObservedObject
from reconciler.model.tasks import TaskState
from reconciler.planning.preflight.rooms import node_as
from reconciler.planning.renewal import constraints_of

MISPLACED_GRACE_S = 5.0
"""Seconds for which swarm may take to look at a node that was written to."""


TURNED_AWAY_MAX = 3
"""Rejections on one node after which another one tells nothing new."""


def misplaced(crew: Crew, actual: ActualState) -> frozenset[str]:
    """Return the ids of tasks that are to run on nodes that take tasks, and don't meet what their service asks for."""
    constraints = constraints_of(crew.service.spec)
    if not constraints:
        return frozenset()
    away = {node.id for node in actual.nodes if takes_tasks(node) and not _suits(constraints, node, actual)}
    return frozenset(
        task.id
        for task in crew.tasks
        if task.node_id in away and task.desired_state is TaskState.RUNNING and task.state <= TaskState.RUNNING
    )


def turned_away(crew: Crew, actual: ActualState, before: Container[str], at_least: int = TURNED_AWAY_MAX) -> str:
    """Return what to say of a global job of which a node has rejected so many tasks for want of room; else "".

    `before` are ids of tasks that don't count. Nodes that came not to meet the job's constraints don't either.
    """
    if crew.mode != "GlobalJob":
        return ""
    times = Counter(
        task.node_id
        for task in crew.tasks
        if task.state is TaskState.REJECTED and task.message == EVICTED and task.id not in before
    )
    done = {task.node_id for task in crew.tasks if TaskState.RUNNING <= task.state <= TaskState.COMPLETE}
    constraints = constraints_of(crew.service.spec)
    for node in actual.nodes:
        is_short = times[node.id] >= at_least and node.id not in done
        if is_short and takes_tasks(node) and _suits(constraints, node, actual):
            return f"task on {node.name} rejected: the node lacks what it reserves"
    return ""


def _suits(constraints: tuple[str, ...], node: ObservedObject, actual: ActualState) -> bool:
    return constraints_hold(constraints, node_as(node, node.spec, actual.observed_at))
