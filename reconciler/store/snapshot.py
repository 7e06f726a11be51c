"""The whole state as bytes, and back: for restarts, for members that are too far behind, and for backups.

`freeze` is all that has to happen between two entries; it copies pointers. `encode` may then run in a thread while the
state moves on, because records are replaced and never changed in place.

Layout: MAGIC, the format (2 bytes), frames (4 bytes of length, then [name, value] as msgpack), and the SHA-256 of all
that. Numbers are big-endian. Frames come in a fixed order, tables in their own: managers whose logs are equal up to an
index write the same bytes. Chunks may be cut anywhere.

Whoever adds a field to a record, or changes what one means, raises SNAPSHOT_FORMAT and keeps the old one readable.

Secrets are in there as they are in the tables, in clear, and in entries of the log too: whoever stores or sends these
has to see to their encryption.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from reconciler.model.changes import TableKind
from reconciler.model.commands import Outcome
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeRecord
from reconciler.model.tables import (
    ClusterRecord,
    ConfigRecord,
    KeyValueRecord,
    Leadership,
    NetworkRecord,
    SecretRecord,
    ServiceRecord,
    TaskRecord,
)
from reconciler.store.frames import FRAME_BYTES, FrameReader, corrupt, frame
from reconciler.store.indexes import indexes_of
from reconciler.store.machine import State
from reconciler.store.snapshot_rows import SessionRow, SpecNumbers, TaskRow, session_row

MAGIC = b"SWARMCTL"
SNAPSHOT_FORMAT = 1
CHECKSUM_BYTES = 32

_HEAD, _SPECS, _SESSIONS, _END = "head", "specs", "sessions", "end"
_BROKEN = (msgspec.MsgspecError, ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)
_ENCODER = msgspec.msgpack.Encoder()
_FRAME_DECODER = msgspec.msgpack.Decoder(tuple[str, Raw])

_TABLES: dict[str, tuple[TableKind, Any]] = {
    "nodes": (TableKind.NODE, NodeRecord),
    "networks": (TableKind.NETWORK, NetworkRecord),
    "secrets": (TableKind.SECRET, SecretRecord),
    "configs": (TableKind.CONFIG, ConfigRecord),
    "services": (TableKind.SERVICE, ServiceRecord),
    "records": (TableKind.RECORD, KeyValueRecord),
}
"""Tables whose records are written as they are; tasks are not, since thousands share one spec."""


class _Head(msgspec.Struct, array_like=True, frozen=True):
    index: int
    leadership: Leadership
    cluster: ClusterRecord | None


_DECODERS: dict[str, Any] = {
    _HEAD: msgspec.msgpack.Decoder(_Head),
    _SPECS: msgspec.msgpack.Decoder(list[JsonObject]),
    _SESSIONS: msgspec.msgpack.Decoder(list[SessionRow]),
    "tasks": msgspec.msgpack.Decoder(list[TaskRow]),
    _END: msgspec.msgpack.Decoder(None),
    **{name: msgspec.msgpack.Decoder(list[kind]) for name, (_, kind) in _TABLES.items()},  # type: ignore[valid-type]
}


class Frozen(msgspec.Struct, frozen=True):
    """The state at one index. Its parts are shared with the State, and nobody changes them."""

    head: _Head
    tables: tuple[tuple[str, tuple[Any, ...]], ...]
    tasks: tuple[TaskRecord, ...]
    sessions: tuple[tuple[str, int, int, dict[int, Outcome]], ...]

    @property
    def index(self) -> int:
        return self.head.index


def freeze(state: State) -> Frozen:
    """Return the state as it is now, to be encoded while it moves on. Takes milliseconds for 100,000 objects."""
    tables = state.tables
    sessions = state.sessions.by_client.items()
    return Frozen(
        _Head(tables.index, tables.leadership, tables.cluster),
        tuple((name, tuple(getattr(tables, name).values())) for name in _TABLES),
        tuple(tables.tasks.values()),
        tuple((client, one.floor, one.last_use, one.outcomes.copy()) for client, one in sessions),
    )


def encode(state: State | Frozen) -> Iterator[bytes]:
    """Return a snapshot in chunks of about FRAME_BYTES, for a file or a stream. In a thread, of what `freeze` gave."""
    return _summed(_content(freeze(state) if isinstance(state, State) else state))


def _summed(content: Iterator[bytes]) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for chunk in content:
        digest.update(chunk)
        yield chunk
    yield digest.digest()


def checksum(state: State | Frozen) -> str:
    """Return what two managers at the same index must agree on: the checksum of their snapshots, in hex."""
    return deque(encode(state), maxlen=1).pop().hex()


def _content(frozen: Frozen) -> Iterator[bytes]:
    yield MAGIC + SNAPSHOT_FORMAT.to_bytes(2, "big")
    yield frame(_HEAD, _ENCODER.encode(frozen.head))
    for name, records in frozen.tables:
        yield from _frames(name, records)
    yield from _task_frames(frozen.tasks)
    yield from _frames(_SESSIONS, (session_row(*session) for session in frozen.sessions))
    yield frame(_END, _ENCODER.encode(None))


def _frames(name: str, rows: Iterable[Any]) -> Iterator[bytes]:
    """Return frames of at least FRAME_BYTES, each a list of rows; none for no rows."""
    body, count = bytearray(), 0
    for row in rows:
        _ENCODER.encode_into(row, body, -1)
        count += 1
        if len(body) >= FRAME_BYTES:
            yield frame(name, body, count)
            body, count = bytearray(), 0
    if count:
        yield frame(name, body, count)


def _task_frames(tasks: Iterable[TaskRecord]) -> Iterator[bytes]:
    """Return the tasks' frames; specs that they are the first to have come in frames before them."""
    specs = SpecNumbers(_ENCODER)
    body, count = bytearray(), 0
    for task in tasks:
        _ENCODER.encode_into(TaskRow.of(task, specs), body, -1)
        count += 1
        if len(body) + specs.new_bytes >= FRAME_BYTES:
            yield from _with_specs(specs, body, count)
            body, count = bytearray(), 0
    if count:
        yield from _with_specs(specs, body, count)


def _with_specs(specs: SpecNumbers, body: bytearray, count: int) -> Iterator[bytes]:
    new = specs.take_new()
    if new:
        yield frame(_SPECS, b"".join(new), len(new))
    yield frame("tasks", body, count)


def decode(chunks: Iterable[bytes]) -> State:
    """Return the state that `encode` wrote, however its bytes are cut now.

    Raises SwarmctlError: snapshot-too-new for a format that is not known yet, snapshot-corrupt for everything else that
    is not a whole and unharmed snapshot.
    """
    reader = FrameReader(chunks)
    magic, number = reader.take(len(MAGIC)), int.from_bytes(reader.take(2), "big")
    if magic != MAGIC:
        raise corrupt("It does not begin like one.")
    if number > SNAPSHOT_FORMAT:
        raise SwarmctlError(
            ErrorCode.SNAPSHOT_TOO_NEW,
            f"The snapshot has format {number}, and this version of swarmctl reads formats up to {SNAPSHOT_FORMAT}.",
            why="A newer version wrote it.",
            hint="Use that version, or a newer one.",
        )
    if number != SNAPSHOT_FORMAT:
        raise corrupt(f"There is no format {number}.")
    state = State()
    try:
        _fill(state, reader)
    except _BROKEN as error:
        raise corrupt(f"A part of it can't be read ({type(error).__name__}).") from None
    expected = reader.digest()
    if reader.take(CHECKSUM_BYTES) != expected:
        raise corrupt("Its content does not match its checksum.")
    if not reader.is_at_end():
        raise corrupt("Something follows its end.")
    state.tables.indexes = indexes_of(state.tables)
    return state


def _fill(state: State, reader: FrameReader) -> None:
    """Put frame after frame into an empty state, up to the one that ends them."""
    specs: list[JsonObject] = []
    while True:
        name, raw = _FRAME_DECODER.decode(reader.take_frame())
        value = _DECODERS[name].decode(raw)
        if name == _HEAD:
            state.tables.index, state.tables.leadership, state.tables.cluster = (
                value.index,
                value.leadership,
                value.cluster,
            )
        elif name == _SPECS:
            specs += value
        elif name == _SESSIONS:
            for row in value:
                row.put_into(state.sessions)
        elif name == "tasks":
            state.tables.tasks.update({row.id: row.task(specs) for row in value})
        elif name == _END:
            return
        else:
            getattr(state.tables, name).update({record.id: record for record in value})
