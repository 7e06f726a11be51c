"""Answers that are not one JSON value: the stream of events, and the log of a task."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import struct
import threading
from collections.abc import AsyncIterator, Iterator

from reconciler.adapters.docker import faults
from reconciler.adapters.docker.connections import Stream
from reconciler.adapters.docker.engine import Engine
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.json import JsonObject

EVENTS_WAITING_MAX = 1_000
"""Events kept for a slow reader. More are dropped, which loses nothing: a reader who still has one to read will
read the whole state after it."""
STOP_WAIT_S = 5.0
SYSTEM_ERROR = 3
FRAME_HEADER = struct.Struct(">BxxxL")


def parse_event(message: JsonObject) -> ClusterEvent:
    """Return the event that one message of GET /events tells."""
    actor = message.get("Actor") or {}
    nanoseconds = message.get("timeNano")
    return ClusterEvent(
        kind=message.get("Type", ""),
        action=message.get("Action", ""),
        object_id=actor.get("ID", ""),
        name=(actor.get("Attributes") or {}).get("name", ""),
        at=nanoseconds / 1e9 if nanoseconds else float(message.get("time", 0)),
    )


def demultiplexed(content: bytes) -> bytes:
    """Return stdout and stderr of a multiplexed log, in order; what has no frames (a terminal's log) as it is.

    A frame is one byte for the stream, three zero bytes, the length as 32 bits big-endian, and the bytes. Stream 3
    is the engine's own complaint about a log that it cannot get, of a task without a node, say: nobody printed it.
    """
    parts: list[bytes] = []
    at = 0
    while at + FRAME_HEADER.size <= len(content):
        stream, length = FRAME_HEADER.unpack_from(content, at)
        if stream > SYSTEM_ERROR or content[at + 1 : at + 4] != b"\0\0\0":
            return content
        at += FRAME_HEADER.size
        if stream != SYSTEM_ERROR:
            parts.append(content[at : at + length])
        at += length
    return b"".join(parts) if at else content


class EventStream(AsyncIterator[ClusterEvent]):
    """GET /events from now on, read in a thread of its own and handed over through a bounded queue.

    Waiting for the next event may be cancelled and tried again. Whoever is done must call `aclose`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[ClusterEvent | SwarmctlError | None] = asyncio.Queue(EVENTS_WAITING_MAX)
        self._closed = threading.Event()
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=self._read, name="docker-events", daemon=True)
        self._thread.start()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ClusterEvent:
        received = await self._waiting.get()
        if isinstance(received, ClusterEvent):
            return received
        self._offer(received)  # the end stays the end
        if received is None:
            raise StopAsyncIteration
        raise received

    async def aclose(self) -> None:
        """End the connection and the thread; who still waits is told that there is no more."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._offer(None)
        if self._stream is not None:
            self._stream.cut()
        await asyncio.to_thread(self._thread.join, STOP_WAIT_S)

    def _read(self) -> None:
        """Run in the thread until the engine or the reader ends the stream; its last word is why it ended."""
        try:
            self._stream = self._engine.open_stream("events", query={"filters": json.dumps({"scope": ["swarm"]})})
            if self._closed.is_set():
                self._stream.cut()
            for message in _messages(self._stream):
                self._hand_over(parse_event(message))
            lost = _lost(self._engine)
        except SwarmctlError as error:
            lost = error
        except Exception as error:  # noqa: BLE001 - whatever was sent instead of events, a reader waits for a last word
            lost = faults.from_exception(self._engine.endpoint, error)
        self._hand_over(lost)

    def _hand_over(self, received: ClusterEvent | SwarmctlError) -> None:
        if not self._closed.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is gone, and with it the reader
                self._loop.call_soon_threadsafe(self._offer, received)

    def _offer(self, received: ClusterEvent | SwarmctlError | None) -> None:
        if self._waiting.full():
            if isinstance(received, ClusterEvent):
                return
            self._waiting.get_nowait()  # the end of the stream must be heard
        self._waiting.put_nowait(received)


def _messages(stream: Stream) -> Iterator[JsonObject]:
    """Yield the JSON objects of a stream: one a line, or (older engines) one right after the other."""
    decoder, characters = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = ""
    for piece in stream.pieces():
        text = (text + characters.decode(piece)).lstrip()
        while text:
            try:
                message, end = decoder.raw_decode(text)
            except ValueError:
                break  # the rest of it comes with the next chunk
            text = text[end:].lstrip()
            yield message


def _lost(engine: Engine) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.ENGINE_UNREACHABLE,
        f"{engine.endpoint.label} ended the stream of events.",
        why="The engine stopped, or the connection was cut.",
        hint="Listen again.",
    )
