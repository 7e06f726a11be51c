"""Lists of objects as an engine answers them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask

Value = TypeVar("Value")

CONFIDENTIAL = frozenset({"JoinTokens", "UnlockKey", "SigningCAKey"})

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
    """Return {an object's JSON: its value}, in the order listed. An engine writes null for an empty list."""
    try:
        pieces = [bytes(piece) for piece in _LIST.decode(content or b"null") or ()]
        return {
            piece: value if (value := known.get(piece)) is not None else build(_OBJECT.decode(piece))
            for piece in pieces
        }
    except (msgspec.DecodeError, KeyError) as error:
        raise no_engine("list of objects") from error


def observed(kind: Kind, raw: JsonObject) -> ObservedObject:
    """Return the object that an answer describes, without anything that nobody may see printed."""
    if not isinstance(raw, dict) or ("Id" if kind is Kind.NETWORK else "ID") not in raw:
        raise no_engine(kind.value)
    version = dig(raw, "Version", "Index") or 0
    if kind is Kind.NETWORK:
        return ObservedObject(kind, raw["Id"], raw["Name"], 0, spec=raw, raw=raw)
    spec: JsonObject = raw.get("Spec") or {}
    if kind is Kind.SWARM:
        raw = {key: value for key, value in raw.items() if key not in CONFIDENTIAL}
    name = dig(raw, "Description", "Hostname") if kind is Kind.NODE else spec.get("Name")
    return ObservedObject(kind, raw["ID"], name or "", version, spec=spec, raw=raw)


def no_engine(missing: str) -> SwarmctlError:
    """Return what to say of an address at which something else than an engine answers in JSON."""
    return SwarmctlError(
        ErrorCode.ENGINE_UNREACHABLE,
        "What answers is no Docker Engine.",
        why=f"Where an engine sends a {missing}, it sends something else.",
        hint="See whether the address is right.",
    )
