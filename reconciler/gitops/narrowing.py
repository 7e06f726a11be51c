"""A whole plan without what is held. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Plan
from reconciler.planning.inventory import INVENTORIED_KINDS
from reconciler.planning.topology_record import NODES, SETTINGS, recorded_topology


def without(plan: Plan, held: Collection[str], actual: ActualState) -> Plan:
    """Return `plan` without the actions whose ids are in `held`, and without what the swarm would record of them."""
    if not held:
        return plan
    left_out = [action for action in plan.actions if action.id in held]
    return replace(
        plan,
        actions=tuple(action for action in plan.actions if action.id not in held),
        inventory=_inventory(plan, left_out),
        topology=_topology(plan, left_out, recorded_topology(actual, plan.owner)),
    )


def _inventory(plan: Plan, left_out: list[Action]) -> frozenset[str] | None:
    if plan.inventory is None:
        return None
    ours = [action for action in left_out if action.kind in INVENTORIED_KINDS]
    names = plan.inventory - {action.id for action in ours if action.type is ActionType.CREATE}
    return names | {action.id for action in ours if action.type is ActionType.DELETE}


def _topology(plan: Plan, left_out: list[Action], before: JsonObject | None) -> JsonObject | None:
    if plan.topology is None:
        return None
    known: Mapping[str, JsonObject] = before or {SETTINGS: {}, NODES: {}}
    settings, nodes = plan.topology[SETTINGS], dict(plan.topology[NODES])
    for action in left_out:
        if action.kind is Kind.SWARM:
            settings = known[SETTINGS]
        elif action.kind is Kind.NODE:
            nodes.pop(action.object_id, None)
            if action.object_id in known[NODES]:
                nodes[action.object_id] = known[NODES][action.object_id]
    return {SETTINGS: settings, NODES: nodes}
