"""A JSON Schema turned into functions that only say yes or maybe: the quick way past a sound document.

jsonschema explains what is wrong; asking it whether anything is wrong takes most of a load. Here each schema
becomes one function of nested closures. False means "ask the slow check", which may still find nothing: so does a
key that only warns, and a schema with a keyword that is not known here. The schema stays the only source.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from reconciler.model.json import JsonObject, JsonValue

Check: TypeAlias = Callable[[JsonValue], bool]
"""Whether a value is sound and nothing is to be said of it. Values are JSON-shaped, of exactly Python's types."""

_ANNOTATIONS: Final = frozenset(
    {
        "$schema",
        "$id",
        "$defs",
        "$comment",
        "title",
        "description",
        "examples",
        "default",
        "x-expected",
        "x-lenient",
        "x-one-of",
        "x-pattern",
        "x-silent",
        "x-taken",
        "x-quote-booleans",
    }
)
_TOLD: Final = frozenset({"x-ignored", "x-deprecated", "x-unsupported"})
_CHECKED: Final = frozenset(
    {
        "type",
        "enum",
        "pattern",
        "minLength",
        "minimum",
        "maximum",
        "properties",
        "patternProperties",
        "additionalProperties",
        "required",
        "x-names",
        "items",
        "minItems",
        "uniqueItems",
        "$ref",
        "x-since",
        "x-object-since",
    }
)
_PYTHON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}

_COMPARED_MAX: Final = 20
"""Items that are compared each with each, to see whether one repeats."""


def _never(_value: JsonValue) -> bool:
    return False


def _always(_value: JsonValue) -> bool:
    return True


def fast_check(schema: JsonObject, minor: int | None) -> Check:
    """Return a function that is true only for what the schema takes without an error or a warning.

    `minor` is the Compose minor version of the file, None where x-since does not apply.
    """
    return _Compiler(schema, minor).compiled(schema)


class _Compiler:
    def __init__(self, root: JsonObject, minor: int | None) -> None:
        self._root = root
        self._minor = minor
        self._references: dict[str, Check] = {}

    def compiled(self, schema: JsonValue) -> Check:
        if isinstance(schema, bool):
            return _always if schema else _never
        keys = set(schema) - _ANNOTATIONS
        if keys - _CHECKED or keys & _TOLD or self._is_too_new(schema.get("x-since")):
            return _never
        parts = [self._reference(schema["$ref"])] if "$ref" in schema else []
        if keys - {"$ref", "x-since"}:
            parts.append(self._by_type(schema))
        if len(parts) == 2:
            first, second = parts
            return lambda value: first(value) and second(value)
        return parts[0] if parts else _always

    def _is_too_new(self, since: str | None) -> bool:
        return since is not None and self._minor is not None and int(since.split(".")[1]) > self._minor

    def _reference(self, reference: str) -> Check:
        """Return the check of a definition; of one that is being made (a recursive schema) one that looks it up."""
        if reference not in self._references:
            self._references[reference] = _never
            target = self._root
            for step in reference.removeprefix("#/").split("/"):
                target = target[step]
            self._references[reference] = self.compiled(target)
        return self._references[reference]

    def _by_type(self, schema: JsonObject) -> Check:
        names = schema.get("type", list(_PYTHON_TYPES))
        checks: dict[type, Check] = {}
        for name in [names] if isinstance(names, str) else names:
            for python_type in _PYTHON_TYPES[name]:
                if checks.get(python_type) is not None and name == "integer":
                    continue  # "number" has been there and takes more
                checks[python_type] = self._of_type(name, python_type, schema)
        if len(checks) == 1:
            [(only, check)] = checks.items()
            if check is _always:
                return lambda value: type(value) is only
            return lambda value: type(value) is only and check(value)
        find = checks.get
        return lambda value: (find(type(value)) or _never)(value)

    def _of_type(self, name: str, python_type: type, schema: JsonObject) -> Check:
        tests: list[Check] = []
        if "enum" in schema:
            words = schema["enum"]
            tests.append(lambda value: value in words)
        if python_type is str:
            tests += self._text_tests(schema)
        elif python_type in (int, float):
            tests += self._number_tests(name, python_type, schema)
        elif python_type is dict:
            tests.append(self._mapping(schema))
        elif python_type is list:
            tests += self._list_tests(schema)
        if not tests:
            return _always
        if len(tests) == 1:
            return tests[0]
        return lambda value: all(test(value) for test in tests)

    @staticmethod
    def _text_tests(schema: JsonObject) -> list[Check]:
        tests: list[Check] = []
        if "pattern" in schema:
            search = re.compile(schema["pattern"]).search
            tests.append(lambda value: search(value) is not None)
        if "minLength" in schema:
            least = schema["minLength"]
            tests.append(lambda value: len(value) >= least)
        return tests

    @staticmethod
    def _number_tests(name: str, python_type: type, schema: JsonObject) -> list[Check]:
        tests: list[Check] = []
        if name == "integer" and python_type is float:
            tests.append(lambda value: value.is_integer())
        if "minimum" in schema:
            least = schema["minimum"]
            tests.append(lambda value: value >= least)
        if "maximum" in schema:
            most = schema["maximum"]
            tests.append(lambda value: value <= most)
        return tests

    def _mapping(self, schema: JsonObject) -> Check:
        if self._is_too_new(schema.get("x-object-since")):
            return _never
        known = {key: self.compiled(inner) for key, inner in (schema.get("properties") or {}).items()}
        patterns = [
            (re.compile(pattern).search, self.compiled(inner))
            for pattern, inner in (schema.get("patternProperties") or {}).items()
        ]
        other = self.compiled(schema.get("additionalProperties", True))
        required = tuple(schema.get("required", ()))
        names = re.compile(schema["x-names"]).fullmatch if "x-names" in schema else None
        find = known.get

        def unlisted(key: str, value: JsonValue) -> bool:
            matching = [check for search, check in patterns if search(key)]
            return all(check(value) for check in matching) if matching else other(value)

        def check(mapping: JsonValue) -> bool:
            for key, value in mapping.items():
                inner = find(key)
                if inner is None:
                    if not unlisted(key, value):
                        return False
                elif not inner(value):
                    return False
            if names is not None and not all(map(names, mapping)):
                return False
            return not required or all(key in mapping for key in required)

        return check

    def _list_tests(self, schema: JsonObject) -> list[Check]:
        tests: list[Check] = []
        if "items" in schema:
            item = self.compiled(schema["items"])
            tests.append(lambda values: all(map(item, values)))
        if "minItems" in schema:
            least = schema["minItems"]
            tests.append(lambda values: len(values) >= least)
        if schema.get("uniqueItems"):
            tests.append(_is_unique)
        return tests


def _is_unique(values: JsonValue) -> bool:
    """Return whether no two values are alike; false for a long list of other things than texts."""
    if all(type(value) is str for value in values):
        return len(set(values)) == len(values)
    return len(values) <= _COMPARED_MAX and all(value not in values[:index] for index, value in enumerate(values))
