"""Our schemas as an editor, or any validator of JSON Schema, understands them: in the standard's own keywords.

The files in schemas/ say more than the standard can, so that a message can: a key that only warns, one that docker
refuses, how a value is described. And they are for values whose variables are filled in, where an editor sees `${N}`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from reconciler.manifests.compose.interpolation import takes_variable
from reconciler.manifests.problems import KeyPath
from reconciler.model.json import JsonObject, JsonValue

_OURS: Final = "x-"
_VARIABLE: Final[JsonObject] = {"type": "string", "pattern": r"\$"}
_SECTIONS: Final = ("services", "networks", "volumes", "secrets", "configs")
"""Where variables are filled in."""
_CHOOSY: Final = frozenset({"enum", "pattern", "x-pattern"})
_MAPS: Final = ("properties", "patternProperties", "$defs")
"""Keywords whose values are mappings of schemas by name."""


def published(schema: JsonObject) -> JsonObject:
    """Return the schema for editors: it takes what the loader takes, and refuses what the loader finds by its schema.

    What needs more than the file to be told, such as a version that is too old for a key or a network that is not
    declared, only the loader tells.
    """
    holds_variables = _places_of_variables(schema) if "services" in (schema.get("properties") or {}) else set()
    return _published(schema, holds_variables)


def _published(schema: JsonObject, variables: set[int]) -> JsonObject:
    told = {key: _inner(key, value, variables) for key, value in schema.items() if not key.startswith(_OURS)}
    told.pop("$comment", None)
    if "x-names" in schema:
        told["propertyNames"] = {"pattern": schema["x-names"]}
    if "x-pattern" in schema:
        told["pattern"] = schema["x-pattern"]
    if "x-one-of" in schema:
        told["oneOf"] = [{"required": [key]} for key in schema["x-one-of"]]
    if schema.get("x-lenient"):
        told.pop("additionalProperties", None)
    if "x-ignored" in schema or "x-deprecated" in schema:
        told["deprecated"] = True
    if "x-unsupported" in schema:
        told |= {"deprecated": True, "not": {}}
    if "x-expected" in schema:
        told["errorMessage"] = f"Expected {schema['x-expected']}."  # not the standard's, but what editors show
    if id(schema) not in variables:
        return told
    outside = {key: told.pop(key) for key in ("description", "deprecated") if key in told}
    return outside | {"anyOf": [told, _VARIABLE]}


def _inner(key: str, value: JsonValue, variables: set[int]) -> JsonValue:
    if key in _MAPS:
        return {name: _published(inner, variables) if _is_schema(inner) else inner for name, inner in value.items()}
    if key in ("items", "additionalProperties", "if", "then", "else") and _is_schema(value):
        return _published(value, variables)
    if key in ("anyOf", "oneOf", "allOf"):
        return [_published(inner, variables) for inner in value]
    return value


def _is_schema(value: JsonValue) -> bool:
    return isinstance(value, dict)


def _places_of_variables(root: JsonObject) -> set[int]:
    """Return the ids of the schemas for whose values a file may say `${NAME}`, though no text is wanted there."""
    found: set[int] = set()
    done: set[tuple[int, KeyPath]] = set()

    def visit(schema: JsonValue, path: KeyPath) -> None:
        if not _is_schema(schema) or (id(schema), path) in done:
            return
        done.add((id(schema), path))
        if takes_variable(path) or _is_choosy_text(schema, path):
            found.add(id(schema))
        _each_below(schema, path, visit)
        if "$ref" in schema:
            target: JsonValue = root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            if takes_variable(path):
                _each_below(target, path, visit)
            else:
                visit(target, path)

    visit(root, ())
    return found


def _is_choosy_text(schema: JsonObject, path: KeyPath) -> bool:
    is_filled_in = bool(path) and path[0] in _SECTIONS
    return is_filled_in and schema.get("type") == "string" and not _CHOOSY.isdisjoint(schema)


def _each_below(schema: JsonObject, path: KeyPath, visit: Callable[[JsonValue, KeyPath], None]) -> None:
    for key, inner in (schema.get("properties") or {}).items():
        visit(inner, (*path, key))
    visit(schema.get("additionalProperties"), (*path, "NAME"))
    visit(schema.get("items"), (*path, 0))
