"""Which objects are this repository's once a plan has been carried out, for the swarm's own record of it."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.model import labels
from reconciler.model.json import dig
from reconciler.model.objects import ObservedObject
from reconciler.model.plan import Action, ActionType
from reconciler.planning.context import Context, Draft, action_id
from reconciler.planning.inventory import INVENTORIED_KINDS
from reconciler.planning.marks import KEPT, is_kept


def inventory_after(context: Context, draft: Draft) -> frozenset[str] | None:
    """Return what the swarm is to record once all actions are done ("service.web_api"); None: leave it as it is.

    That is what the plan writes, and what is owned by now and stays. What somebody else removed stays on the record
    while it is asked for, or while this plan has no say about it: else nobody could tell later that it was there.
    Nothing is recorded for its own sake: a plan without actions writes nothing. And what must never be pruned is not
    recorded at all: should somebody drop its labels, nothing makes it look like ours to remove.
    """
    if not context.desired.cluster or not draft.actions:
        return None
    there = {action_id(kind, found.name): found for kind in INVENTORIED_KINDS for found in context.actual.of_kind(kind)}
    asked_for = {action_id(wanted.kind, wanted.name) for wanted in context.desired.objects}
    ours = [action for action in draft.actions if action.kind in INVENTORIED_KINDS]
    names = {name for name, found in there.items() if context.owned(found)}
    names |= {
        name
        for name in context.recorded
        if name not in there and (name in asked_for or context.options.stacks is not None)
    }
    names |= {action.id for action in ours if action.type is not ActionType.DELETE}
    names -= {action.id for action in ours if action.type is ActionType.DELETE}
    names -= _kept(context, there, ours)
    return None if names == context.recorded else frozenset(names)


def _kept(context: Context, there: Mapping[str, ObservedObject], actions: list[Action]) -> set[str]:
    """Return what the cluster holds back from pruning once the plan is done, and what a manifest asks to."""
    kept = {name for name, found in there.items() if is_kept(found)}
    for action in actions:
        kept.discard(action.id)
        if dig(action.spec, "Labels", labels.PRUNE) == KEPT:
            kept.add(action.id)
    return kept | {action_id(wanted.kind, wanted.name) for wanted in context.desired.objects if not wanted.prune}
