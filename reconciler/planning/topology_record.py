"""What swarm.yaml last asked of nodes and of the swarm's settings, as the swarm itself remembers it, in a label.

Services and networks carry what was asked of them on themselves (planning/inventory.py). Nodes don't: their labels are
what services are placed by, and swarm.yaml gives them whole. So one record on the swarm tells it of all of them:

    {"settings": {"Raft": {...}}, "nodes": {node id: {"Role": "worker", "Labels": {...}}}}

It has only what swarm.yaml said; what is missing there was nobody's to say.
"""

from __future__ import annotations

import msgspec

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredNode, DesiredState
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.planning.context import Context, Draft, action_id
from reconciler.planning.inventory import packed, unpacked

SETTINGS, NODES = "settings", "nodes"

PACKED_BYTES_MAX = 256 * 1024
"""A swarm's spec travels in one message of 4 MB with all that others keep there. What packs to more is not recorded:
some 10,000 nodes with labels of their own."""


def topology_label(owner: str) -> str:
    """Return the swarm's label that holds what the repository `owner` last asked."""
    return f"{labels.TOPOLOGY}.{owner}"


def recorded_topology(actual: ActualState, owner: str) -> JsonObject | None:
    """Return what `owner` last asked of settings and nodes, None where nothing is recorded, or nothing of ours."""
    record = unpacked(actual.swarm.labels.get(topology_label(owner))) if owner else None
    if not isinstance(record, dict):
        return None
    settings, nodes = record.get(SETTINGS), record.get(NODES)
    if not isinstance(settings, dict) or not isinstance(nodes, dict):
        return None
    return {SETTINGS: settings, NODES: {key: value for key, value in nodes.items() if isinstance(value, dict)}}


class LastAsked(msgspec.Struct, frozen=True):
    """What was last asked of settings and nodes, by the baseline or else by the swarm's record; read once for a plan.

    None where nothing is recorded. What a baseline does not mention, it leaves as it is.
    """

    baseline: DesiredState | None
    record: JsonObject | None

    @classmethod
    def of(cls, context: Context) -> LastAsked:
        baseline = context.options.baseline
        record = recorded_topology(context.actual, context.desired.cluster) if baseline is None else None
        return cls(baseline, record)

    def of_settings(self) -> JsonObject | None:
        if self.baseline is not None:
            return self.baseline.settings
        asked: JsonObject | None = self.record[SETTINGS] if self.record is not None else None
        return asked

    def of_node(self, selector: str, node_id: str | None) -> JsonObject | None:
        """Return what was asked of a node; `selector` is what swarm.yaml calls it."""
        if self.baseline is not None:
            selectors = (selector, node_id)
            return next((asked_of(node) for node in self.baseline.nodes if node.selector in selectors), {})
        asked: JsonObject | None = self.record[NODES].get(node_id) if self.record is not None else None
        return asked


def swarm_spec_with_topology(spec: JsonObject, owner: str, record: JsonObject) -> JsonObject:
    """Return a copy of the swarm's own Spec that has `record`; without any, where it is too large."""
    kept = {key: value for key, value in (spec.get("Labels") or {}).items() if key != topology_label(owner)}
    value = packed(record)
    if len(value) <= PACKED_BYTES_MAX:
        kept[topology_label(owner)] = value
    return {**spec, "Labels": kept}


def topology_after(context: Context, draft: Draft) -> JsonObject | None:
    """Return what the swarm is to record once all actions are done; None: leave it as it is.

    Of what is blocked, what was recorded stays. As with the inventory, nothing is recorded for its own sake.
    """
    owner = context.desired.cluster
    if not owner or not draft.actions or context.options.stacks is not None:
        return None
    before = recorded_topology(context.actual, owner)
    nodes = {
        node_id: asked_of(wanted)
        for node_id, wanted in draft.listed.items()
        if not wanted.absent and draft.why_blocked(action_id(Kind.NODE, wanted.selector)) is None
    }
    blocked = draft.listed.keys() - nodes.keys()
    earlier = before[NODES] if before is not None else {}
    nodes |= {node_id: asked for node_id, asked in earlier.items() if node_id in blocked}
    record: JsonObject = {SETTINGS: context.desired.settings, NODES: nodes}
    unchanged = record == before or (before is None and not any(record.values()))
    return None if unchanged else record


def asked_of(wanted: DesiredNode) -> JsonObject:
    """Return what swarm.yaml says of a node, in the shape of a NodeSpec; what it leaves out is not there."""
    given = {
        "Role": wanted.role.value if wanted.role else None,
        "Availability": wanted.availability,
        "Labels": dict(wanted.labels) if wanted.labels is not None else None,
    }
    return {key: value for key, value in given.items() if value is not None}


def laid_over(below: JsonObject, over: JsonObject) -> JsonObject:
    """Return the settings `below`, with those of `over` in their place."""
    merged = dict(below)
    for key, value in over.items():
        merged[key] = laid_over(merged.get(key) or {}, value) if isinstance(value, dict) else value
    return merged
