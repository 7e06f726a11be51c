"""Names for JSON-shaped values, which is what the Docker Engine API speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

JsonValue: TypeAlias = Any
"""None, bool, int, float, str, list of JsonValue, or a JsonObject. `Any`, because a recursive alias would
make every reader of a spec cast at each step."""

JsonObject: TypeAlias = dict[str, JsonValue]
"""A JSON object. Specs keep the Engine API's own field names, so that unmodelled fields pass through (law 10)."""

JsonMapping: TypeAlias = Mapping[str, JsonValue]
"""A JsonObject that the receiver must not change."""


def dig(value: JsonMapping | None, *keys: str) -> JsonValue:
    """Return the value at the path `keys`, or None where any step is missing or no object."""
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
