"""What a request says, parsed and bounded: filters, versions, flags, bodies. Bad input is Refused with 400."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from aiohttp import web

from reconciler.api.decoding import Struct, decoded, kind_of
from reconciler.api.faults import Refused
from reconciler.api.json_text import Malformed, Pairs, Parsed, first_value, only_value
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind

BODY_BYTES_MAX = 4 * 1024 * 1024
"""Enough for a config's 1,024,000 bytes in base64, and for any sensible service."""
NESTING_MAX = 64
FILTER_VALUES_MAX = 1_000
TAIL_LINES_MAX = 100_000
VERSION_MAX = 2**64 - 1
NANOSECONDS = 1_000_000_000
MOMENT_MAX_NS = 2**63 - 1
VERSION_DIGITS_MAX = 400
TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
FALSE = frozenset({"", "0", "f", "F", "false", "FALSE", "False"})
GO_SAYS = '{0}: strconv.ParseBool: parsing "{1}": invalid syntax'
"""What `strict_flag` mostly tells."""
REGISTRY_AUTH_HEADER = "X-Registry-Auth"

Filters = Mapping[str, tuple[str, ...]]


async def body_of(request: web.Request, shape: Struct) -> JsonObject:
    """Return the request's JSON object, its fields of the types that `shape` gives them."""
    return decoded(parsed(await request.read()), shape)


def parsed(content: bytes) -> Parsed:
    """Return a body's first JSON value; raises Refused for what is none, or nested too deep."""
    if not content.strip():
        raise Refused(400, "got EOF while reading request body")
    try:
        found = first_value(content)
    except Malformed as error:
        raise Refused(400, str(error)) from None
    except RecursionError:
        raise Refused(400, "exceeded max depth") from None
    if _depth(found) > NESTING_MAX:
        raise Refused(400, "exceeded max depth")
    return found


def _depth(value: Parsed) -> int:
    depth, level = 0, [value]
    while level and depth <= NESTING_MAX:
        depth += 1
        inner: list[Parsed] = []
        for found in level:
            if isinstance(found, Pairs):
                inner.extend(one for _, one in found)
            elif isinstance(found, list):
                inner.extend(found)
        level = inner
    return depth


def filters_of(request: web.Request, known: frozenset[str] | None) -> Filters:
    """Return {key: values} of ?filters={"key":["value"]}, or its old form {"key":{"value":true}}.

    `known` are the keys that there are; None takes any, as events do.
    """
    text = request.query.get("filters", "")
    if not text:
        return {}
    try:
        found = only_value(text.encode("utf-8", "replace"))
    except Malformed as error:
        raise Refused(400, str(error)) from None
    except RecursionError:
        raise Refused(400, "exceeded max depth") from None
    if found is None:
        return {}
    if not isinstance(found, Pairs):
        raise _no_filters(found, "map[string]map[string]bool")
    filters: dict[str, tuple[str, ...]] = {}
    for key, values in found:
        chosen = _chosen(values)
        if known is not None and key not in known:
            raise Refused(400, f"Invalid filter '{key}'")
        if len(chosen) > FILTER_VALUES_MAX:
            raise Refused(400, f"Invalid filter '{key}': more than {FILTER_VALUES_MAX} values")
        if chosen:
            filters[key] = chosen
    return filters


def _chosen(values: Parsed) -> tuple[str, ...]:
    if isinstance(values, Pairs):
        if not all(isinstance(wanted, bool) for _, wanted in values):
            raise _no_filters(next(one for _, one in values if not isinstance(one, bool)), "bool")
        return tuple(value for value, wanted in values if wanted)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _no_filters(values, "map[string]bool")
    return tuple(values)


def _no_filters(found: Parsed, wanted: str) -> Refused:
    return Refused(400, f"json: cannot unmarshal {kind_of(found)} into Go value of type {wanted}")


def version_of(request: web.Request, kind: Kind) -> int:
    """Return ?version=N, which every update must give."""
    text = request.query.get("version", "")
    wrong = None if text.isascii() and text.isdigit() else "invalid syntax"
    if wrong is None and (len(text) > VERSION_DIGITS_MAX or int(text) > VERSION_MAX):
        wrong = "value out of range"
    if wrong is None:
        return int(text)
    if kind in (Kind.SECRET, Kind.CONFIG):
        raise Refused(400, f"invalid {kind} version")
    raise Refused(400, f"invalid {kind} version '{text}': strconv.ParseUint: parsing {json.dumps(text)}: {wrong}")


def flag(request: web.Request, name: str) -> bool:
    """Return a boolean parameter as the engine reads it."""
    return request.query.get(name, "").strip().lower() not in ("", "0", "no", "false", "none")


def strict_flag(request: web.Request, name: str, told: str = "{0}") -> bool:
    """Return a boolean parameter that an engine reads as Go's strconv.ParseBool does; False if it is not there.

    `told` is what the refusal of another text says, {0} standing for "invalid value for NAME: TEXT", {1} for TEXT.
    """
    text = request.query.get(name, "")
    if text in TRUE or text in FALSE:
        return text in TRUE
    raise Refused(400, told.format(f"invalid value for {name}: {text}", text))


def instant_of(request: web.Request, name: str) -> float | None:
    """Return a moment as seconds since the epoch, as the CLI sends it ("1700000000.5"); None when there is none."""
    text = request.query.get(name, "")
    if text in ("", "0"):
        return None
    return moment_ns(text) / NANOSECONDS


def since_of(request: web.Request) -> int:
    """Return the moment, in nanoseconds since the epoch, from which on lines of a log are asked for; 0 for all."""
    try:
        return moment_ns(request.query.get("since", "") or "0")
    except Refused as refused:
        raise Refused(400, f"could not parse since timestamp: {refused.message}") from None


def moment_ns(text: str) -> int:
    """Return what "seconds.nanoseconds" is in nanoseconds, as Go's time types read it."""
    seconds, _, fraction = text.partition(".")
    for part in (seconds, *([fraction] if fraction else [])):
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", part, re.ASCII):
            raise Refused(400, f"strconv.ParseInt: parsing {json.dumps(part)}: invalid syntax")
    nanoseconds = int(int(fraction or 0) * 10 ** (9 - len(fraction))) if fraction else 0
    return min(max(int(seconds) * NANOSECONDS + nanoseconds, 0), MOMENT_MAX_NS)


def tail_of(request: web.Request) -> int:
    """Return how many lines of a log are asked for; all of them means TAIL_LINES_MAX."""
    text = request.query.get("tail", "")
    if text in ("", "all"):
        return TAIL_LINES_MAX
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
        raise Refused(400, 'tail value must be a positive integer or "all"')
    if int(text) < 0:
        raise Refused(400, "negative tail values not supported")
    return min(int(text), TAIL_LINES_MAX)
