"""Who moved: each difference is blamed on Git, on the cluster, or on both, from what was last applied.

The differ does it field by field; here is what it compares against, and what becomes of a whole object.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

from reconciler.model.desired import DesiredObject, DesiredState
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, Change, Origin
from reconciler.planning.canonical import image_without_digest
from reconciler.planning.context import Context, action_id
from reconciler.planning.differ import changes_between


def with_origin(changes: tuple[Change, ...], origin: Origin) -> tuple[Change, ...]:
    """Return the changes, all blamed on `origin`."""
    return tuple(replace(change, origin=origin) for change in changes)


def with_places(changes: tuple[Change, ...], wanted: DesiredObject, origin: Origin | None = None) -> tuple[Change, ...]:
    """Return the changes, each with the line that asks for it; and all blamed on `origin`, where one is given."""
    if origin is None:
        return tuple(replace(change, place=wanted.place_of(change.path)) for change in changes)
    return tuple(replace(change, place=wanted.place_of(change.path), origin=origin) for change in changes)


def origin_of(changes: tuple[Change, ...]) -> Origin:
    """Return what changes are blamed on together: BOTH where they don't agree."""
    origins = {change.origin for change in changes}
    if not origins:
        return Origin.INTENT
    return origins.pop() if len(origins) == 1 else Origin.BOTH


def origin_of_creation(context: Context, kind: Kind, logical_name: str, name: str) -> Origin:
    """Return DRIFT when the object was there and somebody removed it, else INTENT.

    `logical_name` is what the manifests call it, `name` what the cluster does.
    """
    if context.baseline is not None:
        was_there = (kind, logical_name) in context.baseline
    else:
        was_there = action_id(kind, name) in context.recorded
    return Origin.DRIFT if was_there else Origin.INTENT


def with_image_of(applied: JsonObject, live: JsonObject, wanted: JsonObject) -> JsonObject:
    """Return the canonical `applied` service spec with the image of whichever side has the same tag.

    Which digest a registry gave a tag at the last deploy is nobody's change, as canonical.adopt_pinned_image has it,
    unless the two sides differ in nothing but that. Changes none of the three.
    """
    was, now, asked = (_image(spec) for spec in (applied, live, wanted))
    if not was or image_without_digest(now) == image_without_digest(asked):
        return applied
    if image_without_digest(was) == image_without_digest(now):
        same = live
    elif image_without_digest(was) == image_without_digest(asked):
        same = wanted
    else:
        return applied
    adopted = copy.deepcopy(applied)
    template = adopted["TaskTemplate"]
    template["ContainerSpec"]["Image"] = _image(same)
    platforms = dig(same, "TaskTemplate", "Placement", "Platforms")
    placement = template.pop("Placement", None)
    placement = {**placement} if isinstance(placement, dict) else {}
    placement.pop("Platforms", None)
    if platforms:
        placement["Platforms"] = platforms
    if placement:
        template["Placement"] = placement
    return adopted


def _image(spec: JsonObject) -> str:
    return str(dig(spec, "TaskTemplate", "ContainerSpec", "Image") or "")


def attributed(context: Context, action: Action) -> Action:
    """Return an action on the swarm or on a node with who moved; others have it already, and are returned as they are.

    Neither has a record of what was last applied: only another Revision tells it.
    """
    if action.kind not in (Kind.SWARM, Kind.NODE) or not action.changes:
        return action
    if context.options.baseline is None:
        changes = with_origin(action.changes, Origin.UNKNOWN)
    else:
        live, asked = action.read_spec or {}, action.spec or {}
        applied = _settings_before(context.options.baseline, action, live)
        known = {change.path: change for change in changes_between(live, asked, applied=applied)}
        changes = tuple(_as_in(change, known) for change in action.changes)
    return replace(action, changes=changes, origin=origin_of(changes))


def _as_in(change: Change, known: Mapping[str, Change]) -> Change:
    same = known.get(change.path)
    return change if same is None else replace(change, origin=same.origin, applied=same.applied)


def _settings_before(baseline: DesiredState, action: Action, live: JsonObject) -> JsonObject:
    """Return `live` with what the baseline says of the swarm or the node laid over it: the rest is nobody's to say."""
    if action.kind is Kind.SWARM:
        return _laid_over(live, baseline.settings)
    for node in baseline.nodes:
        if node.selector in (action.name, action.object_id):
            given = {
                "Role": node.role.value if node.role else None,
                "Availability": node.availability,
                "Labels": dict(node.labels) if node.labels is not None else None,
            }
            return {**live, **{key: value for key, value in given.items() if value is not None}}
    return live


def _laid_over(below: JsonObject, over: JsonObject) -> JsonObject:
    merged = dict(below)
    for key, value in over.items():
        merged[key] = _laid_over(merged.get(key) or {}, value) if isinstance(value, dict) else value
    return merged
