"""Which names Swarm takes for services and networks, and what labels may be."""

from __future__ import annotations

import re

from reconciler.model.json import JsonObject
from reconciler.store.refusal import invalid

_DNS_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?")
NAME_LENGTH_MAX = 63


def is_dns_name(name: str) -> bool:
    """Return whether `name` can be a DNS name component, as Swarm has it (underscores allowed inside)."""
    return bool(_DNS_NAME.fullmatch(name))


def checked_labels(spec: JsonObject) -> dict[str, str]:
    """Return a spec's labels. Whoever looks at an object reads them: nothing else may be in their place."""
    labels = spec.get("Labels")
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise invalid("invalid JSON: Labels is no object", rpc="")
    if not all(isinstance(value, str) for value in labels.values()):
        raise invalid("invalid JSON: a label is no text", rpc="")
    return labels
