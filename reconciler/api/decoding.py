"""Bodies, field by field: of the type that the Engine API gives them, or refused in the words of its decoder.

The rules are those of Go's encoding/json, which clients rely on without knowing: the case of a key does not matter
(docker-py sends {"replicated": ...}), a key that no field has is ignored, null leaves a field as it is, a key that
comes twice counts twice, and what follows the first value is not read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from reconciler.api.faults import Refused
from reconciler.api.json_text import Literal, Pairs, Parsed
from reconciler.model.json import JsonObject, JsonValue

INT64 = (-(2**63), 2**63 - 1)
UINT64 = (0, 2**64 - 1)
UINT32 = (0, 2**32 - 1)
BASE64_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class Text(msgspec.Struct, frozen=True):
    name: str = "string"


class Flag(msgspec.Struct, frozen=True):
    name: str = "bool"


class Number(msgspec.Struct, frozen=True):
    """A whole number within `limits`; any number if there are none."""

    name: str
    limits: tuple[int, int] | None


class Bytes(msgspec.Struct, frozen=True):
    """Bytes in base64, or a list of numbers; base64 once it is decoded."""

    name: str = "[]uint8"


class Items(msgspec.Struct, frozen=True):
    """A list of `of`."""

    of: Shape
    name: str


class Table(msgspec.Struct, frozen=True):
    """An object with any keys, and values of one shape."""

    of: Shape
    name: str


@dataclass(frozen=True, slots=True)
class Struct:
    """An object with these fields. `name` is that of the Go type with its package, as errors tell it."""

    name: str
    fields: Mapping[str, Shape]
    folded: dict[str, str] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.folded.update({name.casefold(): name for name in self.fields})

    def field_of(self, key: str) -> str | None:
        """Return the name of the field that a key means."""
        return key if key in self.fields else self.folded.get(key.casefold())

    @property
    def bare_name(self) -> str:
        return self.name.rpartition(".")[2]


class Anything(msgspec.Struct, frozen=True):
    """What the swarm keeps without reading it."""

    name: str = "interface {}"


Shape: TypeAlias = Text | Flag | Number | Bytes | Items | Table | Struct | Anything


class _Place(msgspec.Struct, frozen=True):
    """Where a value stands: the struct whose field holds it, and the fields that lead there."""

    struct: str = ""
    path: tuple[str, ...] = ()

    def below(self, struct: Struct, name: str) -> _Place:
        return _Place(struct.bare_name, (*self.path, name))

    def __str__(self) -> str:
        return f"struct field {'.'.join((self.struct, *self.path))}" if self.path else "value"


def decoded(body: Parsed, shape: Struct) -> JsonObject:
    """Return a body's fields, each of its type; raises Refused (400) for the first that is not. null has none."""
    if body is None:
        return {}
    if not isinstance(body, Pairs):
        raise _mismatch(body, shape.name, _Place())
    return _object(body, shape, _Place())


def _object(pairs: Pairs, shape: Struct, place: _Place) -> JsonObject:
    found: JsonObject = {}
    for key, value in pairs:
        name = shape.field_of(key)
        if name is None:
            continue
        inner = shape.fields[name]
        if value is None:
            if not isinstance(inner, Text | Flag | Number):
                found.pop(name, None)
            continue
        checked = _checked(value, inner, place.below(shape, name))
        earlier = found.get(name)
        if isinstance(inner, Struct | Table) and isinstance(earlier, dict) and isinstance(checked, dict):
            checked = {**earlier, **checked}
        found[name] = checked
    return found


def _checked(value: Parsed, shape: Shape, place: _Place) -> JsonValue:
    match shape:
        case Struct() if isinstance(value, Pairs):
            return _object(value, shape, place)
        case Table() if isinstance(value, Pairs):
            return {_clean(key): _checked(_zeroed(one, shape.of), shape.of, place) for key, one in value}
        case Items() if _is_list(value):
            return [_checked(_zeroed(one, shape.of), shape.of, place) for one in value]
        case Bytes():
            return _bytes(value, place)
        case Text() if isinstance(value, str):
            return _clean(value)
        case Flag() if isinstance(value, bool):
            return value
        case Number() if _is_number(value, shape):
            return float(value) if isinstance(value, Literal) else value
        case Anything():
            return _any(value)
    raise _mismatch(value, shape.name, place)


def _mismatch(value: Parsed, wanted: str, place: _Place) -> Refused:
    told = (
        f"number {value}"
        if wanted.startswith(("int", "uint", "time.", "fs.")) and _is_numeric(value)
        else kind_of(value)
    )
    return Refused(400, f"json: cannot unmarshal {told} into Go {place} of type {wanted}")


def _bytes(value: Parsed, place: _Place) -> str:
    if isinstance(value, str):
        try:
            base64.b64decode(value.replace("\r", "").replace("\n", ""), validate=True)
        except (binascii.Error, ValueError):
            raise Refused(400, f"illegal base64 data at input byte {_illegal_at(value)}") from None
        return value
    if not _is_list(value):
        raise _mismatch(value, Bytes().name, place)
    octet = Number("uint8", (0, 255))
    numbers = [_checked(_zeroed(one, octet), octet, place) for one in value]
    return base64.b64encode(bytes(numbers)).decode()


def _illegal_at(text: str) -> int:
    """Return where Go's decoder stops: at the first character that can't be, else where the last four begin."""
    for position, character in enumerate(text):
        if character not in BASE64_CHARACTERS and character not in "=\r\n":
            return position
    return max(len(text) - 1, 0) // 4 * 4


def _any(value: Parsed) -> JsonValue:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Pairs):
        return {_clean(key): _any(inner) for key, inner in value}
    if isinstance(value, Literal):
        return float(value)
    return [_any(inner) for inner in value] if isinstance(value, list) else value


def _zeroed(value: Parsed, shape: Shape) -> Parsed:
    """Return what Go makes of a null inside a list or a map: the zero of its type."""
    if value is not None:
        return value
    zeros: dict[type, Parsed] = {
        Text: "",
        Flag: False,
        Number: 0,
        Bytes: "",
        Items: [],
        Table: Pairs(),
        Struct: Pairs(),
    }
    return zeros.get(type(shape))


def _is_list(value: Parsed) -> bool:
    return isinstance(value, list) and not isinstance(value, Pairs)


def _is_numeric(value: Parsed) -> bool:
    return isinstance(value, int | Literal) and not isinstance(value, bool)


def _is_number(value: Parsed, shape: Number) -> bool:
    if not _is_numeric(value):
        return False
    if shape.limits is None:
        return True
    return isinstance(value, int) and shape.limits[0] <= value <= shape.limits[1]


def _clean(text: str) -> str:
    """Return a text that is Unicode: half of a surrogate pair becomes the replacement character, as in Go."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def kind_of(value: Parsed) -> str:
    """Return what JSON value this is, as Go calls it."""
    if isinstance(value, Pairs):
        return "object"
    kinds = {bool: "bool", int: "number", Literal: "number", str: "string", list: "array"}
    return kinds.get(type(value), "null")
