"""Lists of objects that an engine answers again and again. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from reconciler.adapters.docker.answers import broken_off, no_engine, observed
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask

Value = TypeVar("Value")

_LIST = msgspec.json.Decoder(list[msgspec.Raw] | None)
_OBJECT = msgspec.json.Decoder(dict)


class Lists:
    """What was listed last: what comes byte for byte as it came before is the value that it was.

    While tasks start, most of a list is what the look before has read, and to decode it is most of a look's work.
    """

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[bytes, ObservedObject]] = {}
        self._tasks: dict[bytes, ObservedTask] = {}

    def objects(self, kind: Kind, content: bytes) -> tuple[ObservedObject, ...]:
        """Return the objects of a list; receivers must not change them. Raises engine-unreachable."""
        self._objects[kind] = _read(content, self._objects.get(kind, {}), lambda raw: observed(kind, raw))
        return tuple(self._objects[kind].values())

    def tasks(self, content: bytes) -> tuple[ObservedTask, ...]:
        """Return the tasks of a list as though all were up to date. Raises engine-unreachable."""
        self._tasks = _read(content, self._tasks, lambda raw: ObservedTask.from_api(raw, up_to_date=True))
        return tuple(self._tasks.values())


def _read(content: bytes, known: dict[bytes, Value], build: Callable[[JsonObject], Value]) -> dict[bytes, Value]:
    """Return {an object's JSON: its value}, in the order listed. An engine writes null for an empty list.

    No content at all is an answer that broke off, and tells of no list.
    """
    if not content:
        raise broken_off()
    try:
        pieces = [bytes(piece) for piece in _LIST.decode(content) or ()]
        return {
            piece: value if (value := known.get(piece)) is not None else build(_OBJECT.decode(piece))
            for piece in pieces
        }
    except (msgspec.DecodeError, KeyError) as error:
        raise no_engine("list of objects") from error
