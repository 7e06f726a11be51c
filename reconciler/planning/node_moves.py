"""What a node's new labels, role or availability do to tasks of services that the plan need not touch at all, counted.

Swarm's constraint enforcer ends the tasks on a node that no longer meets what their services ask for, as soon as the
node is written; those of replicated services and jobs are placed anew. A node that has come to suit a global service
gets a task of it, and one that has come to suit tasks for which no node was found may get some of these. Where a paused
node becomes active, the task of a global service that was updated meanwhile is replaced. The global jobs that there are
take no notice. (facts, swarmkit.md 2.3 and 2.7)
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from reconciler.model.constraints import constraints_hold
from reconciler.model.modes import mode_of
from reconciler.model.nodes import Availability, NodeRecord
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, TaskCounts, TaskEffect
from reconciler.model.tasks import is_enforced
from reconciler.model.words import many, some
from reconciler.planning.context import Context, Draft
from reconciler.planning.relabelled import Relabelled
from reconciler.planning.renewal import constraints_of

SERVICES_TOLD_MAX = 5


def count_moves(context: Context, draft: Draft, nodes: tuple[Relabelled, ...]) -> None:
    """Put into the draft's actions on nodes, where they may move tasks, which ones they do move.

    The draft has its actions on services: what one of these counts as started or restarted is not told again.
    """
    by_action = {node.action: node for node in nodes}
    for index, action in enumerate(draft.actions):
        node = by_action.get(action.id)
        if node is not None and action.effect is TaskEffect.MOVE:
            draft.actions[index] = _counted(context, draft, action, node)


def _counted(context: Context, draft: Draft, action: Action, node: Relabelled) -> Action:
    counts = {one.object_id: one.tasks for one in draft.actions if one.kind is Kind.SERVICE}
    told = [
        text
        for service in context.actual.services
        for text in _told(context, service, node, counts.get(service.id) or TaskCounts())
    ]
    if not told:
        return replace(action, effect=TaskEffect.NONE, effect_text="no task moves")
    return replace(action, effect_text=some(told, SERVICES_TOLD_MAX))


def _told(context: Context, service: ObservedObject, node: Relabelled, counted: TaskCounts) -> Iterator[str]:
    """Yield what becomes of the service's tasks on the node, if anything does that its own action has not `counted`."""
    constraints, mode = constraints_of(service.spec), mode_of(service.spec)
    on_it = [one for one in context.tasks_of(service.id) if one.node_id == node.after.id]
    there = [one for one in on_it if is_enforced(one.state, one.desired_state)]
    here = len(there)
    active = node.after.availability is Availability.ACTIVE
    evicted = here and active and not constraints_hold(constraints, node.after)
    if evicted and not counted.restart and not counted.stop:
        stays_away = mode.startswith("Global")
        verb = ("stops" if here == 1 else "stop") if stays_away else ("moves" if here == 1 else "move")
        yield f"{many(here, 'task')} of {service.name} {verb}"
    if not _takes(node.after, constraints) or _takes(node.before, constraints):
        return
    if mode == "Global":
        if not here and not counted.start:
            yield f"1 task of {service.name} starts"
        elif here and not counted.restart and not any(one.up_to_date for one in there):
            yield f"1 task of {service.name} restarts"
    elif waiting := sum(1 for one in context.tasks_of(service.id) if one.no_node_because and not one.node_id):
        yield f"{many(waiting, 'waiting task')} of {service.name} may start"


def _takes(node: NodeRecord, constraints: tuple[str, ...]) -> bool:
    return node.takes_tasks and constraints_hold(constraints, node)
