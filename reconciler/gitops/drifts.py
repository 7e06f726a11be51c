"""What the cluster is that no commit asked for: by object and field, since when, and what becomes of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from reconciler.gitops.look import Look, object_of, scope_of
from reconciler.gitops.state import DriftIncident, LoopState
from reconciler.model.alerts import FieldDifference
from reconciler.model.json import JsonValue
from reconciler.model.plan import ABSENT, SENSITIVE, Absent, Action, ActionType, Change, Origin
from reconciler.model.policies import DriftMode
from reconciler.model.sensitive import is_stand_in

REMOVED: Final = "(removed)"
"""The path of an object that is gone as a whole."""
ADDED: Final = "(added)"
"""The path of an object that somebody made with our label on it."""
TEXT_MAX: Final = 200
PATHS_MAX: Final = 500
"""Fields of one object whose drift is remembered."""
DIFFERENCES_MAX: Final = 20
"""Fields of one object that are told one by one."""
_BY_THE_CLUSTER: Final = (Origin.DRIFT, Origin.BOTH)


def next_drifts(look: Look, state: LoopState, now: datetime) -> dict[str, DriftIncident]:
    """Return {object id: its drift} as of this look. What could not be looked at stays as it was.

    Drift that the policy ignores is none. An incident keeps its beginning and its fields as long as it lasts. What an
    apply is bringing about is its own business: an object that it replaces is gone for a moment.
    """
    if look.plan is None:
        return dict(state.drifts)
    found = {name: one for name, one in state.drifts.items() if one.scope in look.busy}
    for action in look.plan.actions:
        paths, object_id, scope = _paths(action), object_of(action), scope_of(action)
        if not paths or scope in look.busy or look.policies.drift_of(object_id, scope) is DriftMode.IGNORE:
            continue
        before, step = state.drifts.get(object_id), found.get(object_id)
        known = frozenset((*(before.paths if before else ()), *(step.paths if step else ())))
        made = DriftIncident(
            object_id=object_id,
            scope=scope,
            since=before.since if before else now,
            paths=tuple(sorted(known | set(paths)))[:PATHS_MAX],
            commit=_commit_of(state, action),
            differences=_differences(action, step.differences if step else ()),
            healed=before.healed if before else False,
        )
        found[object_id] = made
    return found


def _commit_of(state: LoopState, action: Action) -> str:
    applied = state.scope(scope_of(action)).applied
    return applied.commit if applied else ""


def _paths(action: Action) -> list[str]:
    if action.type is ActionType.CREATE:
        return [REMOVED] if action.origin is Origin.DRIFT else []
    if action.type is ActionType.DELETE:
        return [ADDED] if action.origin is Origin.DRIFT else []
    return [change.path for change in action.changes if change.origin in _BY_THE_CLUSTER]


def _differences(action: Action, earlier: tuple[FieldDifference, ...]) -> tuple[FieldDifference, ...]:
    """Return them with those of an earlier step on the same object, each field once."""
    if action.type is ActionType.CREATE:
        return (FieldDifference(REMOVED, "present", "absent"),)
    if action.type is ActionType.DELETE:
        return (FieldDifference(ADDED, "absent", "present"),)
    drifted = [change for change in action.changes if change.origin in _BY_THE_CLUSTER]
    told = {one.path for one in earlier}
    return (*earlier, *(_difference(one) for one in drifted if one.path not in told))[:DIFFERENCES_MAX]


def _difference(change: Change) -> FieldDifference:
    # With a record of what was applied, that is what the cluster left; without one, what Git says stands for it.
    applied = change.applied if change.applied is not ABSENT or change.origin is Origin.BOTH else change.new
    return FieldDifference(
        change.path, _text(applied, sensitive=change.sensitive), _text(change.old, sensitive=change.sensitive)
    )


def _text(value: JsonValue | Absent, *, sensitive: bool) -> str:
    if isinstance(value, Absent):
        return "absent"
    if sensitive:
        return value if isinstance(value, str) and is_stand_in(value) else SENSITIVE
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= TEXT_MAX else shown[: TEXT_MAX - 1] + "…"


def marked_healed(drifts: Mapping[str, DriftIncident], object_ids: set[str]) -> dict[str, DriftIncident]:
    """Return the drifts, those of `object_ids` marked as written by us."""
    return {name: replace(one, healed=True) if name in object_ids else one for name, one in drifts.items()}
