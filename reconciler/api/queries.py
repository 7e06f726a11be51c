"""What a request says, parsed and bounded: filters, versions, flags, bodies. Bad input is Refused with 400."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from aiohttp import web

from reconciler.api.decoding import Struct, decoded
from reconciler.api.faults import Refused
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind

BODY_BYTES_MAX = 4 * 1024 * 1024
"""Enough for a config's 1,024,000 bytes in base64, and for any sensible service."""
NESTING_MAX = 64
FILTER_VALUES_MAX = 1_000
TAIL_LINES_MAX = 10_000
REGISTRY_AUTH_HEADER = "X-Registry-Auth"

Filters = Mapping[str, tuple[str, ...]]


async def body_of(request: web.Request, shape: Struct) -> JsonObject:
    """Return the request's JSON object, its fields of the types that `shape` gives them."""
    content = await request.read()
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"invalid JSON: {_shape(error)}") from None
    if not isinstance(body, dict):
        raise Refused(400, "invalid JSON: the body must be an object")
    if _depth(body) > NESTING_MAX:
        raise Refused(400, f"invalid JSON: nested deeper than {NESTING_MAX}")
    return decoded(body, shape)


def _shape(error: Exception) -> str:
    """Return what is wrong with the JSON, without quoting it: it may hold a secret."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno} column {error.colno}"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "nested too deep"


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level and depth <= NESTING_MAX:
        depth += 1
        inner: list[object] = []
        for found in level:
            if isinstance(found, dict):
                inner.extend(found.values())
            elif isinstance(found, list):
                inner.extend(found)
        level = inner
    return depth


def filters_of(request: web.Request, known: frozenset[str]) -> Filters:
    """Return {key: values} of ?filters={"key":["value"]}, or its old form {"key":{"value":true}}."""
    text = request.query.get("filters", "")
    if not text:
        return {}
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(400, "Invalid filters: not JSON") from None
    if not isinstance(parsed, dict):
        raise Refused(400, "Invalid filters: not an object")
    filters: dict[str, tuple[str, ...]] = {}
    for key, values in parsed.items():
        if key not in known:
            raise Refused(400, f"Invalid filter '{key}'")
        chosen = [value for value, wanted in values.items() if wanted] if isinstance(values, dict) else values
        if not isinstance(chosen, list) or not all(isinstance(value, str) for value in chosen):
            raise Refused(400, f"Invalid filter '{key}'")
        if len(chosen) > FILTER_VALUES_MAX:
            raise Refused(400, f"Invalid filter '{key}': more than {FILTER_VALUES_MAX} values")
        if chosen:
            filters[key] = tuple(chosen)
    return filters


def version_of(request: web.Request, kind: Kind) -> int:
    """Return ?version=N, which every update must give."""
    text = request.query.get("version", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise Refused(
            400, f"invalid {kind} version '{text}': strconv.ParseUint: parsing {json.dumps(text)}: invalid syntax"
        )
    return int(text)


def flag(request: web.Request, name: str) -> bool:
    """Return a boolean parameter as the engine reads it."""
    return request.query.get(name, "").strip().lower() not in ("", "0", "no", "false", "none")


def instant_of(request: web.Request, name: str) -> float | None:
    """Return a moment as seconds since the epoch, as the CLI sends it ("1700000000.5"); None when there is none."""
    text = request.query.get(name, "")
    if text in ("", "0"):
        return None
    if not re.fullmatch(r"[0-9]{1,12}(?:[.][0-9]{1,12})?", text):
        raise Refused(400, f"failed to parse value as time or duration: {json.dumps(text)}")
    return float(text)


def tail_of(request: web.Request) -> int:
    """Return how many lines of a log are asked for; all of them means TAIL_LINES_MAX."""
    text = request.query.get("tail", "all")
    return min(int(text), TAIL_LINES_MAX) if text.isascii() and text.isdigit() and len(text) < 10 else TAIL_LINES_MAX
