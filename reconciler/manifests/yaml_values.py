"""Plain YAML straight to values, for the many files that hold nothing unusual: the quick way into a Document.

No tree is built, which is most of the time. Whatever needs one (aliases, tags, merge keys, keys that are no plain
texts, duplicate keys, limits, any error at all) makes this give up, and the slow way says what is to be said.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

import msgspec
import yaml
from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamStartEvent,
)

from reconciler.manifests.yaml_scalars import NAMED, plain_scalar
from reconciler.manifests.yaml_tree import DEPTH_MAX, NODES_MAX, next_document
from reconciler.model.json import JsonValue

MARKED_DEPTH: Final = 2
"""How deep the places of keys are kept: `services.web` has one, what is below it needs the tree."""

_NUMERIC: Final = frozenset("+-.0123456789")
_NO_KEY: Final = object()
_Mark: TypeAlias = tuple[int, int]
_CParser: Final[Any] = getattr(yaml.cyaml, "CParser", None) if yaml.__with_libyaml__ else None


class PlainValues(msgspec.Struct, frozen=True):
    """The first document of a text. `key_marks` has (line, column), counted from 1, of keys up to MARKED_DEPTH.

    The root collection's own is under (); a document that is a single scalar has none. `next_mark` is that of
    `next_document`.
    """

    value: JsonValue
    key_marks: dict[tuple[str, ...], _Mark]
    next_mark: _Mark | None


class _Unusual(Exception):
    """The text has something that only the tree can deal with."""


def plain_values(text: str) -> PlainValues | None:
    """Return the values of `text`, or None when it is not plain, or no good YAML."""
    if _CParser is None:
        return None
    try:
        return _read(_CParser(text).get_event)
    except (_Unusual, yaml.YAMLError):
        return None


def _mark(event: Any) -> _Mark:
    mark = event.start_mark
    return mark.line + 1, mark.column + 1


class _PlainScalars(dict[str, JsonValue]):
    """What the unquoted scalars of one text mean; each is worked out once."""

    def __missing__(self, text: str) -> JsonValue:
        value = plain_scalar(text)
        if value != value or value in (math.inf, -math.inf):  # noqa: PLR0124 - NaN; JSON has no word for these
            raise _Unusual
        self[text] = value
        return value


class _PlainKeys(dict[str, str]):
    """The unquoted keys of one text that are nothing but text."""

    def __missing__(self, text: str) -> str:
        if text == "<<" or text in NAMED or text[0] in _NUMERIC:
            raise _Unusual
        self[text] = text
        return text


def _read(next_event: Any) -> PlainValues:  # noqa: C901, PLR0912 - the hot loop: each call saved counts
    marks: dict[tuple[str, ...], _Mark] = {}
    outer: list[tuple[Any, Any]] = []
    container: Any = None
    key: Any = _NO_KEY
    nodes = 0
    keys, scalars = _PlainKeys(), _PlainScalars()
    while True:
        event = next_event()
        kind = type(event)
        if kind is ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                raise _Unusual
            nodes += 1
            value = event.value
            if not event.style:
                value = keys[value] if key is _NO_KEY and type(container) is dict else scalars[value]
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            if event.anchor is not None or event.tag is not None:
                raise _Unusual
            nodes += 1
            if len(outer) >= DEPTH_MAX or nodes > NODES_MAX or (key is _NO_KEY and type(container) is dict):
                raise _Unusual
            if not outer:
                marks[()] = _mark(event)
            outer.append((container, key))
            container, key = ({} if kind is MappingStartEvent else []), _NO_KEY
            continue
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            value = container
            container, key = outer.pop()
        elif kind is StreamStartEvent or kind is DocumentStartEvent:
            continue
        else:  # an alias, or the end of an empty document
            raise _Unusual
        if type(container) is dict:
            if key is _NO_KEY:
                if value in container:
                    raise _Unusual
                key = value
                if len(outer) <= MARKED_DEPTH:
                    marks[(*(str(step) for _, step in outer[1:]), key)] = _mark(event)
            else:
                container[key] = value
                key = _NO_KEY
        elif container is None:
            if nodes > NODES_MAX or type(next_event()) is not DocumentEndEvent:
                raise _Unusual
            return PlainValues(value, marks, next_document(next_event))
        else:
            container.append(value)
