"""Who moved: each difference is blamed on Git, on the cluster, or on both, from what was last applied.

The differ does it field by field; here is what it compares against, and what becomes of a whole object.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.desired import DesiredObject
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, Change, Origin
from reconciler.planning.canonical import image_without_digest
from reconciler.planning.context import Context, action_id
from reconciler.planning.differ import changes_between
from reconciler.planning.topology_record import LastAsked, laid_over


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


def origin_of_removal(context: Context, kind: Kind, name: str) -> Origin:
    """Return DRIFT when somebody else made the object, with our label on it, else INTENT: a commit took it out.

    Where nothing is recorded of what we made, nobody is blamed.
    """
    if context.baseline is not None or not context.recorded:
        return Origin.INTENT
    return Origin.INTENT if action_id(kind, name) in context.recorded else Origin.DRIFT


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


def attributed(context: Context, last: LastAsked, action: Action) -> Action:
    """Return an action on the swarm or on a node with who moved; others have it already, and are returned as they are.

    What a step of several only takes back of the one before it was moved by nobody but us, and says INTENT.
    """
    if action.kind not in (Kind.SWARM, Kind.NODE) or not action.changes:
        return action
    live, asked = _observed_spec(context, action), action.spec or {}
    is_swarm = action.kind is Kind.SWARM
    applied = last.of_settings() if is_swarm else last.of_node(action.name, action.object_id)
    if applied is None:
        changes = tuple(one if _is_token(one) else replace(one, origin=Origin.UNKNOWN) for one in action.changes)
    else:
        before = laid_over(live, applied) if is_swarm else _node_as_left(live, applied)
        known = {one.path: one for one in changes_between(live, asked, applied=before)}
        changes = tuple(_as_in(change, known) for change in action.changes)
    return replace(action, changes=changes, origin=origin_of(changes))


def _node_as_left(live: JsonObject, applied: JsonObject) -> JsonObject:
    """Return the NodeSpec that we left: what was asked, labels whole or not at all, and what we drained for a while.

    That label stands where an apply ended between the drain before a demotion and what comes after it.
    """
    left = {**live, **applied}
    before_drain = (live.get("Labels") or {}).get(labels.AVAILABILITY)
    if before_drain is not None:
        left["Labels"] = {**(left.get("Labels") or {}), labels.AVAILABILITY: before_drain}
        left["Availability"] = live.get("Availability")
    return left


def _as_in(change: Change, known: Mapping[str, Change]) -> Change:
    same = known.get(change.path)
    return change if same is None else replace(change, origin=same.origin, applied=same.applied)


def _is_token(change: Change) -> bool:
    """Return whether a join token is renewed, which swarm.yaml asks for by the clock."""
    return change.path.startswith("JoinTokens.")


def _observed_spec(context: Context, action: Action) -> JsonObject:
    """Return what the cluster has: a later step on a node reads what the one before it writes."""
    found = next((one for one in context.actual.of_kind(action.kind) if one.id == action.object_id), None)
    return found.spec if found is not None else action.read_spec or {}
