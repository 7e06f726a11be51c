"""A Plan as JSON, for programs. Sensitive values are left out, which the field `sensitive` says."""

from __future__ import annotations

from typing import Any

from reconciler.model.errors import Place, Problem
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.plan import Absent, Action, ActionType, Change, Plan

FORMAT_VERSION = 1


def render(plan: Plan) -> JsonObject:
    """Return the plan as a JSON object of format FORMAT_VERSION."""
    return {
        "format_version": FORMAT_VERSION,
        "revision": plan.revision,
        "commit": plan.commit,
        "endpoint": plan.endpoint,
        "actions": [_action(action) for action in plan.actions],
        "blocked": [{"id": one.id, **problem(one.problem)} for one in plan.blocked],
        "notes": [problem(note) for note in plan.notes],
        "summary": {
            "add": plan.count(ActionType.CREATE, ActionType.REPLACE),
            "change": plan.count(ActionType.UPDATE),
            "destroy": plan.count(ActionType.DELETE, ActionType.REPLACE),
            "blocked": len(plan.blocked),
        },
    }


def _action(action: Action) -> JsonObject:
    return {
        "id": action.id,
        "action": action.type.value,
        "kind": action.kind.value,
        "name": action.name,
        "stack": action.stack,
        "reason": action.reason,
        "effect": action.effect.name.lower(),
        "effect_text": action.effect_text,
        "changes": [_change(change) for change in action.changes],
        "after": list(action.after),
        "place": _place(action.place),
    }


def _change(change: Change) -> JsonObject:
    shown: JsonObject = {"path": change.path, "sensitive": change.sensitive}
    if not change.sensitive:
        shown |= _side("old", change.old) | _side("new", change.new)
    return shown


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
