"""Nodes that a plan labels otherwise, or promotes, under services that it updates as well.

Swarm looks at constraints from both sides: a node that changes loses the tasks of services whose constraints it no
longer meets (swarmkit's constraint enforcer), and a service that changes loses those on nodes that don't meet its own.
Which tasks are replaced therefore hangs on which of the two is written first; here it is always the node.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reconciler.model.constraints import constraints_hold
from reconciler.model.json import JsonObject
from reconciler.model.nodes import Availability, NodeRecord
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight.rooms import planned_rooms
from reconciler.planning.renewal import constraints_of


class Relabelled(msgspec.Struct, frozen=True):
    """A node as it is and as the plan makes it, and the id of the one action that does."""

    before: NodeRecord
    after: NodeRecord
    action: str

    def matters_to(self, constraints: Iterable[str]) -> bool:
        """Return whether the node meets the constraints either before or after the action only."""
        return constraints_hold(constraints, self.before) != constraints_hold(constraints, self.after)


def relabelled_nodes(context: Context, draft: Draft) -> tuple[Relabelled, ...]:
    """Return the nodes that change and go on taking tasks. Of one that is emptied on the way its own steps tell."""
    steps: dict[str, list[Action]] = {}
    for action in draft.actions:
        if action.kind is Kind.NODE and action.object_id is not None:
            steps.setdefault(action.object_id, []).append(action)
    alone = {node_id: found[0] for node_id, found in steps.items() if len(found) == 1}
    changed = {node_id: one for node_id, one in alone.items() if one.type is ActionType.UPDATE}
    if not changed:
        return ()
    before, after = planned_rooms(context, Draft()).by_id, planned_rooms(context, draft).by_id
    return tuple(
        Relabelled(before[node_id].node, after[node_id].node, action.id)
        for node_id, action in changed.items()
        if after[node_id].node.availability is not Availability.DRAIN
    )


def first_written(nodes: Iterable[Relabelled], old: JsonObject, new: JsonObject) -> tuple[str, ...]:
    """Return the actions on nodes that an update of a service from spec `old` to `new` comes after."""
    both = constraints_of(old), constraints_of(new)
    return tuple(node.action for node in nodes if any(node.matters_to(constraints) for constraints in both))


def evicting(nodes: Iterable[Relabelled], spec: JsonObject) -> frozenset[str]:
    """Return the ids of the nodes that lose the tasks of a service with `spec` as soon as they are written."""
    constraints = constraints_of(spec)
    return frozenset(
        node.after.id
        for node in nodes
        if node.after.availability is Availability.ACTIVE  # a paused one keeps what it has
        and node.matters_to(constraints)
        and not constraints_hold(constraints, node.after)
    )
