"""What an atomic stack was before an apply began to write to it, as the swarm itself remembers it (`rollback: stack`).

An apply that is interrupted can't put a stack back any more, and the next one finds the new specs there. So before the
first write to such a stack its services' specs are put on the swarm object, packed (planning/inventory.py), and they
stay there until the stack has converged or was put back, by whichever apply. Pure: decided here, written elsewhere.

It is a label, which anybody may write: what is no record, or a broken one, counts as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reconciler.controller.write import with_ids
from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Plan
from reconciler.planning import canonical
from reconciler.planning.inventory import packed, unpacked
from reconciler.planning.versions import referenced_ids

Before = dict[str, JsonObject | None]
"""{service: its last good spec, with networks by name; None where there was no such service}."""


def undo_label(owner: str, stack: str) -> str:
    """Return the swarm's label for one stack; `owner` is "" for a lone stack file."""
    return ".".join(part for part in (labels.UNDO, owner, stack) if part)


def left_open(plan: Plan, actual: ActualState) -> dict[str, Before]:
    """Return {atomic stack of the plan: its record}, as far as an earlier apply has left one."""
    found = {name: _before(actual, plan.owner, name) for name in plan.atomic_stacks}
    return {name: before for name, before in found.items() if before}


def to_open(plan: Plan, actual: ActualState) -> dict[str, Before]:
    """Return the records of those atomic stacks to whose services the plan writes.

    Where an earlier apply has left one, what it says is older, and stays: nothing since then is known to be good.
    """
    earlier = left_open(plan, actual)
    opened: dict[str, Before] = {}
    for action in plan.actions:
        if action.kind is Kind.SERVICE and action.stack in plan.atomic_stacks and action.stack is not None:
            before = opened.setdefault(action.stack, dict(earlier.get(action.stack, {})))
            before.setdefault(action.name, by_network_names(action.read_spec, actual) if action.read_spec else None)
    return opened


def outlived(plan: Plan, actual: ActualState) -> tuple[str, ...]:
    """Return the stacks that have a record, are part of the plan, and are atomic no more."""
    stacks = {action.stack for action in plan.actions}
    stacks |= {found.labels.get(labels.STACK_NAMESPACE) for found in actual.services if found.name in plan.services}
    names = sorted(name for name in stacks if name and name not in plan.atomic_stacks)
    return tuple(name for name in names if undo_label(plan.owner, name) in actual.swarm.labels)


def swarm_spec_with_undo(spec: JsonObject, owner: str, records: Mapping[str, Before | None]) -> JsonObject:
    """Return a copy of the swarm's own Spec with the record of each stack of `records`, None for one to be removed."""
    written = dict(spec.get("Labels") or {})
    for stack, before in records.items():
        if before is None:
            written.pop(undo_label(owner, stack), None)
        else:
            written[undo_label(owner, stack)] = packed(before)
    return {**spec, "Labels": written} if written != (spec.get("Labels") or {}) else spec


def to_hold_back(actions: Sequence[Action], records: Iterable[Before]) -> tuple[Action, ...]:
    """Return the removals of what a recorded spec needs, should it come back, but for those that others wait for."""
    needed = {reference for before in records for spec in before.values() if spec for reference in referenced_ids(spec)}
    needed_first = {name for action in actions for name in action.after}
    return tuple(
        action
        for action in actions
        if action.type is ActionType.DELETE
        and action.id not in needed_first
        and {(action.kind, action.object_id), (action.kind, action.name)} & needed
    )


def by_network_names(spec: JsonObject, before: ActualState) -> JsonObject:
    """Return an observed spec with its networks by name: one that was made anew has another id now."""
    attachments = dig(spec, "TaskTemplate", "Networks")
    if not attachments:
        return spec
    names = {network.id: network.name for network in before.networks}
    named = [{**item, "Target": names.get(item.get("Target", ""), item.get("Target", ""))} for item in attachments]
    return {**spec, "TaskTemplate": {**spec["TaskTemplate"], "Networks": named}}


def _before(actual: ActualState, owner: str, stack: str) -> Before:
    record = unpacked(actual.swarm.labels.get(undo_label(owner, stack)))
    if not isinstance(record, dict) or not all(_is_spec_of(name, spec) for name, spec in record.items()):
        return {}
    return record


def _is_spec_of(name: str, spec: JsonValue) -> bool:
    """Return whether a record's entry is no service, or a spec of that name that all may read that read one."""
    if spec is None:
        return True
    if not isinstance(spec, dict) or spec.get("Name") != name:
        return False
    try:
        list(referenced_ids(spec))
        with_ids(spec, {})
        canonical.service(spec, networks={}, secrets={}, configs={})
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return True
