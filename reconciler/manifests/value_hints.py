"""What to write in place of a value that has the wrong type or form."""

from __future__ import annotations

from typing import Any, Final

from reconciler.manifests.yaml_scalars import plain_scalar
from reconciler.model.json import JsonObject, JsonValue

_OF_DAYS: Final = "a duration such as 30d"
"""How a duration is called that may be days long: to offer seconds would be to have a token renewed twice a minute."""

_EXAMPLES: Final = {
    _OF_DAYS: "Write numbers with units, such as 30d or 1h30m.",
    "a duration": "Write numbers with units, such as 30s or 1m30s.",
    "a size": "Write a number and a unit, such as 512M.",
    "a subnet": "Write an address and a prefix length, such as 10.0.9.0/24.",
    "an address": "Write an address, such as 10.0.9.1.",
    "a number": 'Write a number in quotes, such as "0.5".',
}
_KEYS_SHOWN_MAX: Final = 3
"""Keys of a mapping that a hint names."""


def example_hint(expected: str) -> str:
    """Return a hint with an example for what a message calls `expected`, such as "a duration of a day"."""
    found = (hint for start, hint in _EXAMPLES.items() if expected.startswith(start))
    return next(found, f"Write {expected}.")


def type_hint(types: str | list[str], schema: JsonObject, value: JsonValue, written: str) -> str:
    """Return what to write where JSON Schema's `types` are taken and `value` is none of them.

    `schema` is the part that says so; its x-expected and properties make the hint closer. `written` is a scalar as
    the file writes it.
    """
    types = [types] if isinstance(types, str) else types
    expected = schema.get("x-expected", "")
    if value is None:
        return "Give it a value, or remove the key."
    if isinstance(value, bool | int | float) and "string" in types:
        return _scalar_hint(expected, value, written)
    if "boolean" in types and isinstance(value, str):
        return "Write true or false without quotes; words such as yes and on are strings to docker."
    if set(types) & {"integer", "number"}:
        return _number_hint(types, value)
    if "array" in types and not ("object" in types and schema.get("properties")):
        return "Write a list: each line starts with `- `."
    if "object" in types:
        return _mapping_hint(schema)
    if expected:
        return example_hint(expected)
    return "Write true or false." if "boolean" in types else "Write one text."


def _scalar_hint(expected: str, value: float | bool, written: str) -> str:
    """Return how to write a number or truth value where a text is taken."""
    is_number = not isinstance(value, bool)
    if expected.startswith(_OF_DAYS) and is_number:
        return f"Write it with a unit: {written}d for days, {written}h for hours."
    if expected.startswith("a duration") and is_number:
        return f"Write it with a unit: {written}s."
    if expected.startswith(tuple(_EXAMPLES)):
        return example_hint(expected)
    return f'Put it in quotes: "{written}".'


def _number_hint(types: list[str], value: JsonValue) -> str:
    is_whole = "number" not in types
    meant: Any = plain_scalar(value) if isinstance(value, str) else value
    is_number = isinstance(meant, int | float) and not isinstance(meant, bool)
    if isinstance(value, str) and is_number and (not is_whole or float(meant).is_integer()):
        return "Remove the quotes."
    return "Write a whole number in digits, such as 3." if is_whole else "Write a number in digits, such as 0.5."


def _mapping_hint(schema: JsonObject) -> str:
    keys = [key for key, inner in (schema.get("properties") or {}).items() if "x-unsupported" not in inner]
    named = ", ".join(f"`{key}`" for key in keys[:_KEYS_SHOWN_MAX])
    return "Write lines of `key: value` below it" + (f", with keys such as {named}." if named else ".")
