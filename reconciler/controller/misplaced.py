"""Tasks on nodes that have come not to suit them, and that swarm is about to end. Pure.

A node is written, and swarm looks at its tasks afterwards (swarmkit's constraint enforcer): a look in between finds all
as it was. That it stays so is no reason to wait for ever, since nothing tells when swarm has looked.
"""

from __future__ import annotations

from reconciler.controller.assess import Crew, takes_tasks
from reconciler.model.actual import ActualState
from reconciler.model.constraints import constraints_hold
from reconciler.model.tasks import TaskState
from reconciler.planning.preflight.rooms import node_as
from reconciler.planning.renewal import constraints_of

MISPLACED_GRACE_S = 5.0
"""Seconds for which swarm may take to look at a node that was written to."""


def misplaced(crew: Crew, actual: ActualState) -> frozenset[str]:
    """Return the ids of tasks that are to run on nodes that take tasks, and don't meet what their service asks for."""
    constraints = constraints_of(crew.service.spec)
    if not constraints:
        return frozenset()
    away = {
        node.id
        for node in actual.nodes
        if takes_tasks(node) and not constraints_hold(constraints, node_as(node, node.spec, actual.observed_at))
    }
    return frozenset(
        task.id
        for task in crew.tasks
        if task.node_id in away and task.desired_state is TaskState.RUNNING and task.state <= TaskState.RUNNING
    )
