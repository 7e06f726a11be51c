"""A document held against a JSON Schema: every deviation as a Problem with its place and a hint.

The schemas of schemas/ carry annotations of ours; this is where they take effect:
x-since and x-object-since (first Compose version that knows a key, or a mapping there), x-ignored and x-deprecated
(a warning, with the reason; x-silent where docker has none, x-taken where docker uses the key all the same),
x-unsupported (an error, with what to write instead), x-lenient (unknown keys only warn), x-names (a pattern for a
mapping's keys), x-expected (how a message describes the value). x-one-of (exactly one of these keys) and x-pattern are
for editors, who get all of it in the standard's words (published_schema.py); the readers tell it better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from reconciler.manifests.document import Document
from reconciler.manifests.problems import KeyPath, ProblemList, did_you_mean, key_path_text, shown
from reconciler.manifests.requests import DEPRECATED, UNSUPPORTED
from reconciler.manifests.schema_fast import fast_check
from reconciler.manifests.value_hints import example_hint, type_hint
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonObject, JsonValue

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


class SchemaCheck(msgspec.Struct, frozen=True):
    """How one kind of file is checked.

    `minor` is the Compose minor version of the file (13 for 3.13), or None where x-since does not apply.
    `key_hints` maps names that people try, and no schema knows, to what to write instead.
    """

    schema: JsonObject
    key_hints: Mapping[str, str]
    minor: int | None = None

    def run(self, document: Document, value: JsonValue, problems: ProblemList) -> frozenset[KeyPath]:
        """Check `value`, the document's after substitution; return the paths that have errors."""
        if self.minor is None and fast_check(self.schema, None)(value):
            return frozenset()
        # Not before something is wrong: to import jsonschema takes as long as to load a stack.
        from reconciler.manifests.schema_keywords import errors_of  # noqa: PLC0415

        bad: set[KeyPath] = set()
        for error in errors_of(self.schema, value):
            for leaf in _leaves(error):
                path: KeyPath = tuple(leaf.absolute_path)
                if problems.has_enough_warnings and _only_warns(leaf):
                    continue
                problem = self._problem(document, leaf, path)
                if problem is None:
                    continue
                problems.add(problem)
                if problem.severity is Severity.ERROR:
                    bad.add(path)
        return frozenset(bad)

    def _problem(self, document: Document, error: ValidationError, path: KeyPath) -> Problem | None:
        name = key_path_text(path) or "The file"
        keyword = str(error.validator)
        if keyword in ("x-since", "x-object-since"):
            return self._too_new(document, error, path)
        if keyword in ("x-ignored", "x-deprecated"):
            what, place = f"`{name}` is ignored by Swarm.", document.key_place(path)
            docker = (
                f"{UNSUPPORTED}{path[-1]}" if keyword == "x-ignored" else f"{DEPRECATED}{path[-1]}: {error.message}"
            )
            schema = error.schema if isinstance(error.schema, dict) else {}
            if schema.get("x-silent"):
                docker = ""
            if schema.get("x-taken"):
                what = f"`{name}` is not ignored, though `docker stack deploy` says so."
            return Problem(ErrorCode.UNSUPPORTED_KEY, what, error.message, "", place, Severity.WARNING, docker)
        if keyword == "x-unsupported":
            why = "`docker stack deploy` refuses the key: Swarm has no such option."
            what = f"`{name}` is not supported in a stack."
            return Problem(ErrorCode.UNSUPPORTED_KEY, what, why, error.message, document.key_place(path))
        if keyword == "additionalProperties":
            return self._unknown_key(document, error, path)
        if keyword == "required":
            what = f"`{error.message}` is missing in {f'`{name}`' if path else 'the file'}."
            hint = f"Add `{error.message}:`."
            return Problem(ErrorCode.MISSING_KEY, what, "The key is required.", hint, document.key_place(path))
        return _value_problem(document, error, path)

    def _too_new(self, document: Document, error: ValidationError, path: KeyPath) -> Problem | None:
        since = error.message
        if self.minor is None or int(since.split(".")[1]) <= self.minor:
            return None
        name = key_path_text(path)
        what = f"`{name}` needs version {since} of the file format."
        if error.validator == "x-object-since":
            what = f"`{name}` is a mapping, which needs version {since} of the file format."
            hint = f'Write one text in place of it, or `version: "{since}"` or newer.'
            code, place = ErrorCode.WRONG_TYPE, document.key_place(path)
            return Problem(code, what, f"The file says version 3.{self.minor}.", hint, place)
        why = f"The file says version 3.{self.minor}."
        hint = f'Write `version: "{since}"` or newer, or remove `version`.'
        return Problem(ErrorCode.UNKNOWN_KEY, what, why, hint, document.key_place(path))

    def _unknown_key(self, document: Document, error: ValidationError, path: KeyPath) -> Problem:
        schema = error.schema if isinstance(error.schema, dict) else {}
        key, around = error.message, key_path_text(path[:-1])
        known = [name for name, inner in (schema.get("properties") or {}).items() if "x-unsupported" not in inner]
        what = f"Unknown key `{shown(key)[1:-1]}`" + (f" in `{around}`." if around else ".")
        if schema.get("x-lenient"):
            place, why = document.key_place(path), "Docker ignores it."
            return Problem(ErrorCode.UNKNOWN_KEY, what, why, did_you_mean(key, known), place, Severity.WARNING)
        hint = self.key_hints.get(key) or did_you_mean(key, known) or "Remove the key."
        why = "The format has no such key here."
        return Problem(ErrorCode.UNKNOWN_KEY, what, why, hint, document.key_place(path))


def _only_warns(error: ValidationError) -> bool:
    lenient = isinstance(error.schema, dict) and error.schema.get("x-lenient")
    return error.validator in ("x-ignored", "x-deprecated") or (
        error.validator == "additionalProperties" and bool(lenient)
    )


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    """Yield the errors to tell: of a failed choice those of the branch that fits best, which failed deepest."""
    if error.validator not in ("anyOf", "oneOf") or not error.context:
        yield error
        return
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    best = max(branches.values(), key=lambda inner: (max(len(each.path) for each in inner), -len(inner)))
    for each in best:
        yield from _leaves(each)


def _value_problem(document: Document, error: ValidationError, path: KeyPath) -> Problem:
    name = key_path_text(path) or "The file"
    subject = f"`{name}`" if path else name
    place = document.key_place(path) if isinstance(error.instance, dict | list) else document.place(path)
    keyword = str(error.validator)
    schema = error.schema if isinstance(error.schema, dict) else {}
    expected = schema.get("x-expected")
    tag = document.tag(path) if keyword == "type" and isinstance(error.instance, str) else ""
    here = _written(document, path, error.instance) + (f", which the tag `{tag}` makes of it" if tag else "")
    if keyword == "type":
        words: Any = schema.get("enum")
        wanted = expected or (_LIMITS["enum"](words) if words else _type_names(error.validator_value))
        written = document.source(path) or shown(error.instance)
        hint = _type_problem_hint(error, schema, written, tag)
        return Problem(ErrorCode.WRONG_TYPE, f"{subject} must be {wanted}.", f"Here it is {here}.", hint, place)
    if keyword == "uniqueItems":
        what = f"{subject} repeats item {error.message} of the list."
        return Problem(ErrorCode.INVALID_VALUE, what, "The list takes each item once.", "Remove one of them.", place)
    if keyword == "x-names":
        what = f"`{shown(error.message)[1:-1]}` is no valid name here."
        why, hint = f"Names match {error.validator_value}.", "Use letters, digits, dots, dashes and underscores."
        return Problem(ErrorCode.INVALID_VALUE, what, why, hint, document.key_place(path))
    describe = _LIMITS.get(keyword)
    limit: Any = error.validator_value
    wanted = expected or (describe(limit) if describe else "as the schema describes it")
    if keyword == "enum":
        hint = did_you_mean(str(error.instance), limit, noun="values")
    else:
        hint = example_hint(expected) if expected else _LIMIT_HINTS.get(keyword, "").format(limit)
    return Problem(ErrorCode.INVALID_VALUE, f"{subject} must be {wanted}.", f"Here it is {here}.", hint, place)


def _type_problem_hint(error: ValidationError, schema: JsonObject, written: str, tag: str) -> str:
    """Return what to do about a value of a wrong type, written so; quotes alone make none of an enum's words of it."""
    if tag:
        return f"Remove the tag `{tag}`."
    words: Any = schema.get("enum")
    if words and error.instance is not None:
        return did_you_mean(written, words, noun="values")
    wrong: Any = error.validator_value
    return type_hint(wrong, schema, error.instance, written)


_LIMITS: Final[dict[str, Callable[[Any], str]]] = {
    "enum": lambda words: " or ".join(f"`{word}`" for word in words),
    "minimum": lambda number: f"{number} or more",
    "maximum": lambda number: f"{number} or less",
    "minLength": lambda _number: "given, and not empty",
    "minItems": lambda _number: "given, and not empty",
    "pattern": lambda pattern: f"a text that matches {pattern}",
}
_LIMIT_HINTS: Final = {
    "minimum": "Raise it to {} or more.",
    "maximum": "Lower it to {} or less.",
    "minLength": "Give it a value, or remove the key.",
    "minItems": "Give it a value, or remove the key.",
}

_TYPES: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "empty",
}


def _type_names(types: JsonValue) -> str:
    names = [_TYPES.get(name, str(name)) for name in ([types] if isinstance(types, str) else types)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _written(document: Document, path: KeyPath, value: JsonValue) -> str:
    """Return how the file writes a value: what a variable stood for may be a secret, and is not repeated."""
    source = document.source(path)
    if source is not None and isinstance(value, str) and source != value:
        return f"{shown(source)}, with its variables filled in"
    if isinstance(value, str):
        return f"the string {shown(value)}"
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"the number {shown(value)}"
    return shown(value)
