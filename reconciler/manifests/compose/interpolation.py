"""`$VAR` and `${VAR:-default}` in a stack file's values, by docker's rules, and the types they turn into.

Source: measured on docker CLI 28.2 (docs/decisions/0006). What looks odd is docker's: an operator is also taken without
braces, defaults are not expanded again, and a later good substitution forgives an earlier bad one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from reconciler.manifests.document import Document
from reconciler.manifests.problems import KeyPath, ProblemList, key_path_text
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonValue

_NAME: Final = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATOR: Final = re.compile(":?[-?]")
_NESTED: Final = re.compile(r"(?<!\$)\$\{[_a-zA-Z][_a-zA-Z0-9]*:?[-?][^}]*\$\{")
"""A variable in another's default, as in ${A:-${B}}: `docker compose` fills it in, `docker stack deploy` does not."""


class BadTemplate(ValueError):
    """A text with variables that cannot be filled in; the message says why."""


class _Variable(msgspec.Struct, frozen=True):
    """What a `$` stands for: `expression` is None where it starts no variable. The text goes on at `end`."""

    expression: str | None
    end: int


def substitute(template: str, environment: Mapping[str, str]) -> str:
    """Return `template` with its variables filled in. Raises BadTemplate."""
    failure: str | None = None
    parts: list[str] = []
    position = 0
    last_brace = template.rfind("}")
    while (start := template.find("$", position)) >= 0:
        parts.append(template[position:start])
        if template.startswith("$$", start):
            parts.append("$")
            position = start + 2
            continue
        variable = _variable_at(template, start, last_brace)
        position = variable.end
        if variable.expression is None:
            failure = "it holds a `$` that starts no variable"
            continue
        try:
            parts.append(_value(variable.expression, environment))
            failure = None
        except BadTemplate as error:
            failure = str(error)
    if failure is not None:
        raise BadTemplate(failure)
    return "".join((*parts, template[position:]))


def _variable_at(template: str, start: int, last_brace: int) -> _Variable:
    """Return the variable at the `$` at `start`.

    A scanner and no expression: docker's own takes time by the square of the length for many open braces.
    """
    braced = template.startswith("{", start + 1)
    begin = start + 2 if braced else start + 1
    name = _NAME.match(template, begin)
    if name is None:
        return _Variable(None, start + 1)
    end = name.end()
    if _OPERATOR.match(template, end):
        end = template.find("}", end) if last_brace > end else -1
        if end < 0 and not braced:
            end = len(template)
    if not braced:
        return _Variable(template[begin:end], end)
    if end < 0 or not template.startswith("}", end):
        return _Variable(None, start + 1)
    return _Variable(template[begin:end], end + 1)


def _value(expression: str, environment: Mapping[str, str]) -> str:
    for operator in (":-", "-", ":?", "?"):
        name, found, rest = expression.partition(operator)
        if not found:
            continue
        value = environment.get(name)
        if value if operator[0] == ":" else value is not None:
            return value or ""
        if operator in (":-", "-"):
            return rest
        raise BadTemplate(f"the variable {name[:80]} is required and not set{f' ({rest[:80]})' if rest else ''}")
    return environment.get(expression, "")


def _to_int(text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,19}", text):
        raise ValueError("no whole number")
    return int(text)


def _to_float(text: str) -> float:
    if not re.fullmatch(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?", text):
        raise ValueError("no number")
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("no number")
    return number


def _to_bool(text: str) -> bool:
    word = text.lower()
    if word in ("true", "y", "yes", "on"):
        return True
    if word in ("false", "n", "no", "off"):
        return False
    raise ValueError("neither true nor false")


_Cast = Callable[[str], JsonValue]
_ANY: Final = "*"


def _service_casts() -> dict[KeyPath, _Cast]:
    ints: list[KeyPath] = [
        ("configs", _ANY, "mode"),
        ("secrets", _ANY, "mode"),
        ("healthcheck", "retries"),
        ("deploy", "replicas"),
        ("deploy", "update_config", "parallelism"),
        ("deploy", "rollback_config", "parallelism"),
        ("deploy", "restart_policy", "max_attempts"),
        ("deploy", "placement", "max_replicas_per_node"),
        ("ports", _ANY, "target"),
        ("ports", _ANY, "published"),
        ("ulimits", _ANY),
        ("ulimits", _ANY, "hard"),
        ("ulimits", _ANY, "soft"),
        ("oom_score_adj",),
    ]
    bools: list[KeyPath] = [
        ("healthcheck", "disable"),
        ("privileged",),
        ("read_only",),
        ("stdin_open",),
        ("tty",),
        ("volumes", _ANY, "read_only"),
        ("volumes", _ANY, "volume", "nocopy"),
    ]
    floats: list[KeyPath] = [
        ("deploy", "update_config", "max_failure_ratio"),
        ("deploy", "rollback_config", "max_failure_ratio"),
    ]
    casts: dict[KeyPath, _Cast] = {}
    for paths, cast in ((ints, _to_int), (bools, _to_bool), (floats, _to_float)):
        casts |= {("services", _ANY, *path): cast for path in paths}
    return casts


_CASTS: Final[dict[KeyPath, _Cast]] = _service_casts() | {
    (section, _ANY, key): _to_bool
    for section, key in (
        ("networks", "external"),
        ("networks", "internal"),
        ("networks", "attachable"),
        ("volumes", "external"),
        ("secrets", "external"),
        ("configs", "external"),
    )
}
_CAST_DEPTHS: Final = frozenset(len(path) for path in _CASTS)


def _cast_for(path: KeyPath) -> _Cast | None:
    if len(path) not in _CAST_DEPTHS:
        return None
    for pattern, cast in _CASTS.items():
        if len(pattern) == len(path) and all(
            wanted in (_ANY, step) for wanted, step in zip(pattern, path, strict=True)
        ):
            return cast
    return None


def takes_variable(path: KeyPath) -> bool:
    """Return whether a variable's value is cast to the type of that place: `${NAME}` may stand for a number there."""
    return _cast_for(path) is not None


class Interpolation(msgspec.Struct, frozen=True):
    """Fills in the variables of one document; problems (bad-interpolation) go to `problems`.

    Only a text that changed is cast to the type of its place, as docker does.
    """

    document: Document
    environment: Mapping[str, str]
    problems: ProblemList
    failed: set[KeyPath] = msgspec.field(default_factory=set)
    """Paths of the texts that could not be filled in; they keep what the file says."""

    def apply(self, value: JsonValue, path: KeyPath = ()) -> JsonValue:
        """Return a copy of `value` with every text below it filled in; keys stay as they are."""
        if isinstance(value, dict):
            return {key: self.apply(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "$" in value:
            return self._text(value, path)
        return value

    def _text(self, template: str, path: KeyPath) -> JsonValue:
        try:
            text = substitute(template, self.environment)
        except BadTemplate as error:
            hint = "Write `$$` for a plain `$`, or set the variable."
            self._problem(path, f"{error}.", hint)
            return template
        if _NESTED.search(template):
            self._tell_nested(path)
        cast = _cast_for(path) if text != template else None
        if cast is None:
            return text
        try:
            return cast(text)
        except ValueError as error:
            # The value may be a secret that got into the wrong place: it is not repeated.
            self._problem(path, f"its value is {error}.", "Set the variable to a fitting value.")
            return template

    def _tell_nested(self, path: KeyPath) -> None:
        what = f"A variable in the default of another is not filled in: in `{key_path_text(path)}`."
        why = (
            "Docker ends the default at the first `}`: what `${B}` stands for is not looked up, and a `}` is left over."
        )
        hint = "Write one variable with a plain default, and set it where swarmctl runs."
        place = self.document.place(path)
        self.problems.add(Problem(ErrorCode.BAD_INTERPOLATION, what, why, hint, place, Severity.WARNING))

    def _problem(self, path: KeyPath, why: str, hint: str) -> None:
        self.failed.add(path)
        what = f"The variables in `{key_path_text(path)}` cannot be filled in."
        why = why[:1].upper() + why[1:]
        self.problems.add(Problem(ErrorCode.BAD_INTERPOLATION, what, why, hint, self.document.place(path)))
