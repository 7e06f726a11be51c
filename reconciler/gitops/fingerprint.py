"""Whether the cluster moved since an apply failed: by what was asked of it, and by its nodes. Pure.

Not by version indexes: an update that goes on, or ends, moves these as well, and would have every failure tried again.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from reconciler.gitops.state import CLUSTER
from reconciler.model.actual import ActualState
from reconciler.model.json import JsonValue
from reconciler.model.objects import Kind

_OF_STACKS: Final = (Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE)


def fingerprint(actual: ActualState, scope: str) -> str:
    """Return a short hash of a scope's specs, and of which nodes there are, with their roles, labels and states."""
    parts: list[JsonValue] = [
        [node.id, node.spec, node.dig("Status", "State")] for node in sorted(actual.nodes, key=lambda one: one.id)
    ]
    for kind in _OF_STACKS:
        found = (one for one in actual.of_kind(kind) if (one.stack or CLUSTER) == scope)
        parts += [[kind.value, one.id, one.spec] for one in sorted(found, key=lambda one: one.id)]
    if scope == CLUSTER:
        # Our own records are in its labels, and move with every apply.
        parts.append({key: value for key, value in actual.swarm.spec.items() if key != "Labels"})
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
