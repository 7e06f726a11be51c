"""What a task's log driver asks of its output, by an engine's rules and in its words. Pure.

Two drivers keep output here, json-file and local; `none` keeps none. What an engine refuses when it creates a container
is refused when a task is prepared (`check_options`), what it refuses when it starts one when it is started (`kept_by`).

Source: moby daemon/logger (factory.go, jsonfilelog, local) of 20.10, and what it was seen to say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import msgspec

from reconciler.adapters.process_runtime.refusal import cannot_run
from reconciler.model.assignments import Assignment
from reconciler.model.errors import SwarmctlError
from reconciler.model.json import JsonObject

NONE, JSON_FILE, LOCAL = "none", "json-file", "local"
LOG_DRIVERS = (JSON_FILE, LOCAL)
"""Those that a node tells of whose tasks are processes; `none` is no plugin."""

_OF_ALL = ("mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress")
_OF_DRIVER = {
    JSON_FILE: ("max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag"),
    LOCAL: ("max-file", "max-size", "compress"),
}
_UNKNOWN = {
    JSON_FILE: "unknown log opt '{}' for json-file log driver",
    LOCAL: "unknown log opt '{}' for log driver local",
}

_SIZE = re.compile(r"(\d+(?:\.\d+)*) ?([kKmMgGtTpP])?[iI]?[bB]?", re.ASCII)
_POWERS = " kmgtp"
_DECIMAL, _BINARY = 1000, 1024
_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_INT64_MAX = 2**63 - 1


class Kept(msgspec.Struct, frozen=True):
    """How much of a task's output is kept: `files` of at most `file_bytes` each, the oldest given up for a new one."""

    files: int
    file_bytes: int


NOTHING = Kept(0, 0)
DEFAULT = Kept(2, 5 * 1024 * 1024)
"""Without `max-size`, where an engine's json-file grows without end."""

_LOCAL_DEFAULT = Kept(5, 20 * 1024 * 1024)


def check_options(assignment: Assignment) -> None:
    """Refuse a driver that isn't here, and options that it has not."""
    driver, options = _driver(assignment)
    if driver == NONE:
        return
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise cannot_run(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise cannot_run("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        if _size(options["max-buffer-size"], _BINARY) is None:
            raise cannot_run(f"error parsing option max-buffer-size: {_invalid_size(options['max-buffer-size'])}")
    if driver not in LOG_DRIVERS:
        raise cannot_run(f"logger: no log driver named '{driver}' is registered")
    for name in sorted(options):
        if name not in _OF_ALL and name not in _OF_DRIVER[driver]:
            raise cannot_run(_UNKNOWN[driver].format(name))


def kept_by(assignment: Assignment) -> Kept:
    """Return how much of a new task's output is kept; refuse values that mean nothing."""
    driver, options = _driver(assignment)
    if driver == NONE:
        return NOTHING
    try:
        return _local(options) if driver == LOCAL else _json_file(options)
    except _BadValue as error:
        raise cannot_run(f"starting container failed: failed to initialize logging driver: {error}") from None


def kept_by_adopted(assignment: Assignment) -> Kept:
    """Return how much is kept of a task that runs already, whatever its driver asks for."""
    try:
        check_options(assignment)
        return kept_by(assignment)
    except SwarmctlError:
        return DEFAULT


class _BadValue(Exception):
    """An option's value means nothing. The message is the engine's."""


def _driver(assignment: Assignment) -> tuple[str, Mapping[str, str]]:
    """Return the driver and its options; options without a driver count for nothing, as on an engine."""
    given: JsonObject = assignment.spec.get("LogDriver") or {}
    if not given.get("Name"):
        return JSON_FILE, {}
    return str(given["Name"]), {str(name): str(value) for name, value in (given.get("Options") or {}).items()}


def _json_file(options: Mapping[str, str]) -> Kept:
    file_bytes = None
    if "max-size" in options:
        file_bytes = _size(options["max-size"], _DECIMAL)
        if file_bytes is None:
            raise _BadValue(_invalid_size(options["max-size"]))
        if file_bytes <= 0:
            raise _BadValue("max-size must be a positive number")
    files = _integer(options.get("max-file", "1"))
    if files < 1:
        raise _BadValue("max-file cannot be less than 1")
    if _boolean(options.get("compress", "false")) and (files == 1 or file_bytes is None):
        raise _BadValue("compress cannot be true when max-file is less than 2 or max-size is not set")
    return DEFAULT if file_bytes is None else Kept(files, file_bytes)


def _local(options: Mapping[str, str]) -> Kept:
    """Return what `local` keeps, which is compressed elsewhere. A size or number of 0 means no limit there."""
    file_bytes = _LOCAL_DEFAULT.file_bytes
    if "max-size" in options:
        found = _size(options["max-size"], _BINARY)
        if found is None:
            raise _BadValue(f"invalid value for max-size: {options['max-size']}: {_invalid_size(options['max-size'])}")
        file_bytes = found or file_bytes
    files = _LOCAL_DEFAULT.files
    if "max-file" in options:
        try:
            files = _integer(options["max-file"])
        except _BadValue as error:
            raise _BadValue(f"invalid value for max-file: {options['max-file']}: {error}") from None
    try:
        compressed = _boolean(options.get("compress", "true"))
    except _BadValue as error:
        raise _BadValue(f"error reading compress log option: {error}") from None
    if files < 0:
        raise _BadValue("max file count cannot be less than 0")
    if compressed and files <= 1:
        raise _BadValue("compression cannot be enabled when max file count is 1")
    return Kept(max(files, 1), file_bytes)


def _size(text: str, base: int) -> int | None:
    """Return the bytes of a size by the grammar of docker's go-units, None for what is none."""
    found = _SIZE.fullmatch(text)
    if found is None or found[1].count(".") > 1:
        return None
    size = float(found[1]) * base ** _POWERS.index((found[2] or " ").lower())
    return min(int(size), _INT64_MAX) if math.isfinite(size) else _INT64_MAX


def _invalid_size(text: str) -> str:
    return f"invalid size: '{text}'"


def _integer(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise _BadValue(f'strconv.Atoi: parsing "{text}": invalid syntax')
    if not -_INT64_MAX - 1 <= int(text[:40]) <= _INT64_MAX:
        raise _BadValue(f'strconv.Atoi: parsing "{text}": value out of range')
    return int(text)


def _boolean(text: str) -> bool:
    if text not in (*_TRUE, *_FALSE):
        raise _BadValue(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE
