"""Nodes that a plan drains while it updates services as well.

Swarm's updater counts each task of an update that ends before its time as failed, those that a drain ends too: the
update is paused or rolled back then, though nothing is wrong with it. So a service is updated once the nodes that it
may have new tasks on have been drained. A drain waits for no service: what fails on a node may be why it is drained.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reconciler.model.constraints import constraints_hold
from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeRecord
from reconciler.model.objects import Kind
from reconciler.model.plan import Action
from reconciler.planning.context import Context, Draft
from reconciler.planning.effects import Effect
from reconciler.planning.preflight.rooms import planned_rooms
from reconciler.planning.renewal import constraints_of
from reconciler.planning.topology.steps import DRAIN, demotes


class Drained(msgspec.Struct, frozen=True):
    """A node that takes tasks before the plan, and the id of the action that drains it."""

    before: NodeRecord
    action: str


def drained_nodes(context: Context, draft: Draft) -> tuple[Drained, ...]:
    """Return the nodes that give up tasks by the draft: one that takes none as it is loses none of an update."""
    drains = [action for action in draft.actions if _drains(action)]
    if not drains:
        return ()
    rooms = planned_rooms(context, Draft()).by_id
    found = [(rooms[action.object_id], action.id) for action in drains if action.object_id in rooms]
    return tuple(Drained(room.node, name) for room, name in found if room.takes_tasks)


def emptied_first(nodes: Iterable[Drained], body: JsonObject, effect: Effect) -> tuple[str, ...]:
    """Return the drains that an update of a service to `body` comes after; none where it replaces no task."""
    if not effect.tasks.restart:
        return ()
    constraints = constraints_of(body)
    return tuple(node.action for node in nodes if constraints_hold(constraints, node.before))


def _drains(action: Action) -> bool:
    """Return whether the action takes a node from those that run tasks. A demotion does only where none runs there."""
    if action.kind is not Kind.NODE or action.spec is None or demotes(action):
        return False
    return action.spec.get("Availability") == DRAIN and (action.read_spec or {}).get("Availability") != DRAIN
