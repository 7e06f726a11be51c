"""Bodies, field by field: of the type that the Engine API gives them, or refused in the words of its decoder.

What is not named in schemas.py passes through unread. `null` stands for silence, as in Go, and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from reconciler.api.faults import Refused
from reconciler.model.json import JsonObject, JsonValue

INT64 = (-(2**63), 2**63 - 1)
UINT64 = (0, 2**64 - 1)
UINT32 = (0, 2**32 - 1)


@dataclass(frozen=True, slots=True)
class Text:
    name: str = "string"


@dataclass(frozen=True, slots=True)
class Flag:
    name: str = "bool"


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number within `limits`; any number if there are none."""

    name: str
    limits: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Items:
    """A list of `of`."""

    of: Shape
    name: str = "[]"


@dataclass(frozen=True, slots=True)
class Table:
    """An object with any keys, and values of one shape."""

    of: Shape
    name: str = "map"


@dataclass(frozen=True, slots=True)
class Struct:
    """An object; fields that are not named here pass through."""

    name: str
    fields: Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class Anything:
    """What the swarm keeps without reading it."""

    name: str = "any"


Shape: TypeAlias = Text | Flag | Number | Items | Table | Struct | Anything


def decoded(body: JsonObject, shape: Struct) -> JsonObject:
    """Return a body without its nulls, every field of its type; raises Refused (400) for the first that is not."""
    return _object(body, shape, shape.name)


def _object(value: JsonObject, shape: Struct, place: str) -> JsonObject:
    found: JsonObject = {}
    for key, inner in value.items():
        if inner is None and key in shape.fields:
            continue
        found[_clean(key)] = _checked(inner, shape.fields.get(key, ANYTHING), f"{place}.{key}")
    return found


def _checked(value: JsonValue, shape: Shape, place: str) -> JsonValue:
    match shape:
        case Struct() if isinstance(value, dict):
            return _object(value, shape, place)
        case Table() if isinstance(value, dict):
            inner = {_clean(key): _zeroed(one, shape.of) for key, one in value.items()}
            return {key: _checked(one, shape.of, place) for key, one in inner.items()}
        case Items() if isinstance(value, list):
            return [_checked(_zeroed(one, shape.of), shape.of, place) for one in value]
        case Text() if isinstance(value, str):
            return _clean(value)
        case Flag() if isinstance(value, bool):
            return value
        case Number() if _is_number(value, shape):
            return value
        case Anything():
            return _any(value)
    raise Refused(
        400, f"invalid JSON: json: cannot unmarshal {_kind(value)} into Go struct field {place} of type {shape.name}"
    )


def _any(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(key): _any(inner) for key, inner in value.items()}
    return [_any(inner) for inner in value] if isinstance(value, list) else value


def _zeroed(value: JsonValue, shape: Shape) -> JsonValue:
    """Return what Go makes of a null inside a list or a map: the zero of its type."""
    if value is not None:
        return value
    zeros = {Text: "", Flag: False, Number: 0, Items: [], Table: {}, Struct: {}}
    return zeros.get(type(shape))


def _is_number(value: JsonValue, shape: Number) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if shape.limits is None:
        return True
    return isinstance(value, int) and shape.limits[0] <= value <= shape.limits[1]


def _clean(text: str) -> str:
    """Return a text that is Unicode: half of a surrogate pair becomes the replacement character, as in Go."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _kind(value: JsonValue) -> str:
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


ANYTHING = Anything()
