"""A Plan as JSON, for programs, as schemas/plan.schema.json describes it. Sensitive values are left out."""

from __future__ import annotations

from typing import Any

from reconciler.model.errors import Place, Problem
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.plan import NO_STACK, Absent, Action, Change, Plan, TaskCounts
from reconciler.planning.render_counts import by_stack, counts, drift

FORMAT_VERSION = 2
"""Counts up when a field changes its meaning or goes; new fields may come without."""


def render(plan: Plan) -> JsonObject:
    """Return the plan as a JSON object of format FORMAT_VERSION."""
    return {
        "format_version": FORMAT_VERSION,
        "revision": plan.revision,
        "commit": plan.commit,
        "endpoint": plan.endpoint,
        "actions": [_action(action) for action in plan.actions],
        "blocked": [{"id": one.id, **problem(one.problem)} for one in plan.blocked],
        "unplaceable": [problem(one) for one in plan.unplaceable],
        "notes": [problem(note) for note in plan.notes],
        "services": list(plan.services),
        "stacks": _stacks(plan),
        "drift": _drift(plan),
        "summary": {
            **_counts(plan.actions),
            "blocked": len(plan.blocked),
            "unplaceable": len(plan.unplaceable),
        },
    }


def _counts(actions: tuple[Action, ...] | list[Action]) -> JsonObject:
    counted = counts(actions)
    return {"add": counted.add, "change": counted.change, "destroy": counted.destroy}


def _stacks(plan: Plan) -> list[JsonObject]:
    touched = by_stack(plan)
    unchanged: dict[str, list[Action]] = {name: [] for name in plan.atomic_stacks if name not in touched}
    return [
        {
            "name": None if name == NO_STACK else name,
            "atomic": name in plan.atomic_stacks,
            **_counts(actions),
            "actions": [action.id for action in actions],
        }
        for name, actions in (touched | unchanged).items()
    ]


def _drift(plan: Plan) -> JsonObject:
    moved = drift(plan)
    return {
        "fields": moved.fields,
        "objects": moved.objects,
        "changed": [action.id for action in moved.changed],
        "removed": [action.id for action in moved.removed],
    }


def _action(action: Action) -> JsonObject:
    return {
        "id": action.id,
        "action": action.type.value,
        "kind": action.kind.value,
        "name": action.name,
        "stack": action.stack,
        "reason": action.reason,
        "origin": action.origin.value,
        "effect": action.effect.name.lower(),
        "effect_text": action.effect_text,
        "tasks": _tasks(action.tasks),
        "changes": [_change(change) for change in action.changes],
        "after": list(action.after),
        "awaits": list(action.awaits),
        "object_id": action.object_id,
        "version": action.version,
        "force": action.force,
        "rotates": [role.value for role in action.rotates],
        "place": _place(action.place),
    }


def _tasks(tasks: TaskCounts | None) -> JsonObject | None:
    if tasks is None:
        return None
    return {"restart": tasks.restart, "start": tasks.start, "stop": tasks.stop, "seconds": tasks.seconds}


def _change(change: Change) -> JsonObject:
    shown: JsonObject = {"path": change.path, "sensitive": change.sensitive, "origin": change.origin.value}
    if not change.sensitive:
        shown |= _side("old", change.old) | _side("new", change.new) | _side("applied", change.applied)
    return shown | {"place": _place(change.place)}


def _side(name: str, value: JsonValue | Absent) -> dict[str, Any]:
    """Return {name: value}, or nothing for an absent value: null is a value."""
    return {} if isinstance(value, Absent) else {name: value}


def problem(one: Problem) -> JsonObject:
    """Return a problem as a JSON object."""
    return {
        "code": one.code.value,
        "severity": one.severity.value,
        "what": one.what,
        "why": one.why,
        "hint": one.hint,
        "place": _place(one.place),
    }


def _place(place: Place | None) -> JsonObject | None:
    if place is None:
        return None
    return {"file": place.file, "line": place.line, "column": place.column, "key_path": place.key_path}
