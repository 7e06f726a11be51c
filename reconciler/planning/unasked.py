"""What swarm.yaml asked of nodes and settings before, and says nothing of now: it stays, and a plan tells so. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.desired import DesiredNode
from reconciler.model.errors import ErrorCode, Place, Problem, Severity
from reconciler.model.json import JsonObject
from reconciler.model.objects import ObservedObject
from reconciler.planning.context import Context, Draft
from reconciler.planning.topology_record import LastAsked, asked_of

_WHY = "What swarm.yaml does not say is left alone, also where it said it before."


def note_unasked(context: Context, draft: Draft, last: LastAsked) -> None:
    """Note what was last asked of listed nodes and of settings, is so still, and is asked by nobody any more.

    Nodes that are listed no more are told by themselves. A plan for some stacks is about none of these.
    """
    if context.options.stacks is not None:
        return
    live = context.actual.swarm
    before = last.of_settings() or {}
    if kept := sorted(_kept_settings(before, context.desired.settings, live.spec)):
        what = f"The swarm keeps settings that swarm.yaml no longer gives: {', '.join(kept)}."
        draft.notes.append(_note(what, "Write the values that they shall have under spec.settings."))
    by_id = {node.id: node for node in context.actual.nodes}
    for node_id, wanted in draft.listed.items():
        before = last.of_node(wanted.selector, node_id) or {}
        if not wanted.absent:
            _note_node(draft, before, wanted, by_id[node_id])


def _note_node(draft: Draft, before: JsonObject, wanted: DesiredNode, node: ObservedObject) -> None:
    """Tell the availability and labels that stay; a role is no news, nor is a node that simply takes tasks."""
    asked, live = asked_of(wanted), node.spec
    kept, instead = [], []
    availability = before.get("Availability", "active")
    if availability != "active" and "Availability" not in asked and live.get("Availability") == availability:
        kept.append(f"availability {availability}")
        instead.append("`availability: active`")
    there = live.get("Labels") or {}
    stay = [key for key, value in (before.get("Labels") or {}).items() if there.get(key) == value]
    if stay and "Labels" not in asked:
        kept += [f"label {key}" for key in stay]
        instead.append("`labels: {}`")
    if kept:
        what = f"Node {node.name} keeps what swarm.yaml no longer says of it: {', '.join(kept)}."
        draft.notes.append(_note(what, f"Write what it shall have: {', '.join(instead)}, for example.", wanted.place))


def _kept_settings(before: JsonObject, asked: JsonObject, live: JsonObject, path: str = "") -> Iterator[str]:
    for key, value in before.items():
        if isinstance(value, dict):
            yield from _kept_settings(value, asked.get(key) or {}, live.get(key) or {}, f"{path}{key}.")
        elif key not in asked and live.get(key) == value:
            yield path + key


def _note(what: str, hint: str, place: Place | None = None) -> Problem:
    return Problem(ErrorCode.NOT_RESET, what, why=_WHY, hint=hint, place=place, severity=Severity.WARNING)
