"""Placement constraints: `<key> <op> <value>` with == or !=, all of which a node must meet.

Comparison is plain and ignores case. Grammar and keys: facts of swarmkit's constraint package.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from reconciler.model.json import dig
from reconciler.model.nodes import NodeRecord

OPERATORS = ("==", "!=")
PLAIN_KEYS = ("node.id", "node.hostname", "node.role", "node.ip", "node.platform.os", "node.platform.arch")
LABEL_KEYS = ("node.labels.", "engine.labels.")
_KEY = re.compile(r"[a-zA-Z_][a-zA-Z0-9\-_.]+")
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE)


class Constraint(msgspec.Struct, frozen=True):
    """One parsed constraint; `wanted` says whether the values must be equal (==) or must not (!=)."""

    key: str
    value: str
    wanted: bool

    def holds(self, node: NodeRecord) -> bool:
        """Return whether `node` meets it. A missing label counts as ""; an unknown key is met by no node."""
        if self.key.lower() == "node.ip":
            return self._ip_holds(node.address)
        actual = _value_of(self.key, node)
        return actual is not None and (actual.lower() == self.value.lower()) is self.wanted

    def _ip_holds(self, address: str) -> bool:
        try:
            inside = ipaddress.ip_address(address) in ipaddress.ip_network(self.value, strict=False)
        except ValueError:
            return False
        return inside is self.wanted


def _value_of(key: str, node: NodeRecord) -> str | None:
    lowered = key.lower()
    if lowered.startswith("node.labels."):
        return str(node.labels.get(key[len("node.labels.") :], ""))
    if lowered.startswith("engine.labels."):
        labels = dig(node.description, "Engine", "Labels") or {}
        return str(labels.get(key[len("engine.labels.") :], ""))
    match lowered:
        case "node.id":
            return node.id
        case "node.hostname":
            return node.hostname
        case "node.role":
            return str(node.role)
        case "node.platform.os":
            return str(dig(node.description, "Platform", "OS") or "")
        case "node.platform.arch":
            return str(dig(node.description, "Platform", "Architecture") or "")
    return None


@lru_cache(maxsize=10_000)
def parse_constraint(text: str) -> Constraint:
    """Return the constraint that `text` writes; raises ValueError with Swarm's own text."""
    for operator in OPERATORS:
        if operator in text:
            key, value = (part.strip() for part in text.split(operator, 1))
            if not _KEY.fullmatch(key):
                raise ValueError(f"key '{key}' is invalid")
            if not _VALUE.fullmatch(value):
                raise ValueError(f"value '{value}' is invalid")
            return Constraint(key, value, operator == "==")
    raise ValueError("constraint expected one operator from ==, !=")


def is_known_key(text: str) -> bool:
    """Return whether the constraint that `text` writes asks for something that nodes have."""
    key = text.partition("!=" if "!=" in text else "==")[0].strip().lower()
    return key in PLAIN_KEYS or key.startswith(LABEL_KEYS)


def constraints_hold(texts: Iterable[str], node: NodeRecord) -> bool:
    """Return whether `node` meets all of `texts`; what cannot be parsed is met by no node."""
    try:
        return all(parse_constraint(text).holds(node) for text in texts)
    except ValueError:
        return False
