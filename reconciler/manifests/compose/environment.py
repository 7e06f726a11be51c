"""A service's environment: env_file and environment, and what the surroundings add.

Source: measured on docker CLI 28.2 (docs/decisions/0006).
"""

from __future__ import annotations

from reconciler.manifests.compose.pairs import pairs
from reconciler.manifests.compose.source import StackSource
from reconciler.manifests.compose.written import EnvironmentFile
from reconciler.manifests.paths import resolve
from reconciler.manifests.problems import KeyPath, key_path_text
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.json import JsonObject


def environment_list(source: StackSource, at: KeyPath, service: JsonObject) -> list[str]:
    """Return `NAME=value` texts sorted bytewise as wholes; a name without a value anywhere stands alone.

    Outside stacks they stay in their order, as `docker service create` has them.
    """
    variables = service_variables(source, at, service)
    for name, value in variables.items():
        if value and "{{" in value:
            source.check_template(_variable_path(at, service, name), value)
    entries = [name if value is None else f"{name}={value}" for name, value in variables.items()]
    return entries if source.standalone else sorted(entries)


def _variable_path(at: KeyPath, service: JsonObject, name: str) -> KeyPath:
    """Return where a variable is written: in `environment`, or by a file that `env_file` names."""
    written = service.get("environment") or ()
    if isinstance(written, dict):
        return (*at, "environment", name) if name in written else (*at, "env_file")
    found = [index for index, item in enumerate(written) if item.partition("=")[0] == name]
    return (*at, "environment", found[-1]) if found else (*at, "env_file")


def service_variables(source: StackSource, at: KeyPath, service: JsonObject) -> dict[str, str | None]:
    """Return {name: value} of env_file and environment; the surroundings stand in for what is empty or null.

    Not so outside stacks: an empty variable is empty there.
    """
    files = service.get("env_file") or ()
    named: dict[str, str | None] = {}
    for index, written in enumerate([files] if isinstance(files, str) else files):
        spot = (*at, "env_file") if isinstance(files, str) else (*at, "env_file", index)
        named |= _file_variables(source, spot, written)
    named |= pairs(service.get("environment"))
    if source.standalone:
        return named
    surroundings = source.inputs.environment
    return {name: value or surroundings.get(name, value) for name, value in named.items()}


def _file_variables(source: StackSource, at: KeyPath, written: str) -> dict[str, str | None]:
    content = source.read(written, at)
    if content is None:
        return {}
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"The file that `{key_path_text(at)}` names is not UTF-8 text."
        # The byte is not told: it may be one of a secret.
        number = content.count(b"\n", 0, error.start) + 1
        why = f"Its line {number} holds a byte that starts no UTF-8 character."
        hint = "Save it as UTF-8."
        source.problems.add(Problem(ErrorCode.NOT_UTF8, what, why, hint, source.document.place(at)))
        return {}
    source.env_files[source.document.file, at] = EnvironmentFile(_shown(source, written), text)
    named: dict[str, str | None] = {}
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        name, found, value = line.partition("=")
        fault = _name_fault(name)
        if fault:
            _bad_line(source, at, number, fault)
        elif found:
            named[name] = value
        elif name in source.inputs.environment:
            named[name] = source.inputs.environment[name]
    return named


def _shown(source: StackSource, written: str) -> str:
    return source.revision.display(resolve(source.folder, written) or written)


def _name_fault(name: str) -> str:
    if not name:
        return "the line has no name before its `=`"
    # Only the name is looked at, and it is not repeated: a line that went wrong may be half of a secret.
    return "the name before `=` contains white space" if any(char.isspace() for char in name) else ""


def _bad_line(source: StackSource, at: KeyPath, number: int, fault: str) -> None:
    what = f"The environment file that `{key_path_text(at)}` names has a line that is no NAME=value."
    why = f"On line {number} {fault}."
    hint = "Docker takes such files literally: no `export`, no quotes, no comments after a value."
    source.problems.add(Problem(ErrorCode.INVALID_VALUE, what, why, hint, source.document.place(at)))
