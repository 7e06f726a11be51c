"""The keywords of our schemas for jsonschema: those of the standard that we tell better, and those of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from reconciler.model.json import JsonObject, JsonValue

_Errors = Iterator[ValidationError]


def _known(schema: JsonObject, key: str) -> bool:
    patterns = schema.get("patternProperties") or {}
    return key in (schema.get("properties") or {}) or any(re.search(pattern, key) for pattern in patterns)


def _additional(validator: Any, value: JsonValue, instance: JsonValue, schema: JsonObject) -> _Errors:
    if not isinstance(instance, dict):
        return
    for key, item in instance.items():
        if _known(schema, key):
            continue
        if isinstance(value, dict):
            yield from validator.descend(item, value, path=key)
        elif value is False:
            yield ValidationError(key, path=(key,))


def _enum(validator: Any, value: JsonValue, instance: JsonValue, schema: JsonObject) -> _Errors:
    # A value of another type is told as that: a second problem on the spot would only say the same.
    types = schema.get("type", [])
    fits = any(validator.is_type(instance, one) for one in ([types] if isinstance(types, str) else types))
    if instance not in value and (fits or not types):
        yield ValidationError(f"none of {value}")


def _required(_validator: Any, value: JsonValue, instance: JsonValue, _schema: JsonObject) -> _Errors:
    if isinstance(instance, dict):
        for key in value:
            if key not in instance:
                yield ValidationError(key)


def _unique(_validator: Any, value: JsonValue, instance: JsonValue, _schema: JsonObject) -> _Errors:
    # The library compares each item with each other one once an item is no text: a long list would take hours.
    if not value or not isinstance(instance, list):
        return
    first_at: dict[Any, int] = {}
    for index, item in enumerate(instance):
        first = first_at.setdefault(_identity(item), index)
        if first != index:
            yield ValidationError(str(first), path=(index,))


def _identity(value: JsonValue) -> Any:
    if isinstance(value, dict):
        return ("mapping", frozenset((key, _identity(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(_identity(item) for item in value))
    return (type(value) is bool, value)


def _names(_validator: Any, value: str, instance: JsonValue, _schema: JsonObject) -> _Errors:
    if isinstance(instance, dict):
        for key in instance:
            if not re.fullmatch(value, key):
                yield ValidationError(key, path=(key,))


def _object_since(_validator: Any, value: JsonValue, instance: JsonValue, _schema: JsonObject) -> _Errors:
    if isinstance(instance, dict):
        yield ValidationError(str(value))


def _annotation(_validator: Any, value: JsonValue, _instance: JsonValue, _schema: JsonObject) -> _Errors:
    yield ValidationError(str(value))


_Validator: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "additionalProperties": _additional,
        "enum": _enum,
        "required": _required,
        "uniqueItems": _unique,
        "x-names": _names,
        "x-since": _annotation,
        "x-object-since": _object_since,
        "x-ignored": _annotation,
        "x-deprecated": _annotation,
        "x-unsupported": _annotation,
    },
)


def errors_of(schema: JsonObject, value: JsonValue) -> Iterator[ValidationError]:
    """Yield every deviation of `value` from `schema`."""
    yield from _Validator(schema).iter_errors(value)
