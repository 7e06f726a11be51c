"""A unix socket in front of an engine that counts and times the calls that pass.

It relays HTTP/1.1 as it comes, kept-alive connections included, so that what a client does is measured as it is.
(tests/lab/proxy.py breaks calls instead, and closes each connection to do so.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from dataclasses import dataclass, field

LINE_BYTES_MAX = 1 << 20
CHUNK_BYTES = 1 << 16
START_WAIT_S = 10.0
READS = frozenset({"GET", "HEAD"})


@dataclass
class Call:
    """One request and how it ended. Times are of time.perf_counter(), 0 until then; status 0 means no answer."""

    method: str
    path: str
    began_s: float
    ended_s: float = 0.0
    status: int = 0

    @property
    def writes(self) -> bool:
        return self.method not in READS

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s


@dataclass(frozen=True)
class _Head:
    """The first lines of a message, as they came, and what they say of its body."""

    raw: bytes
    first: bytes
    length: int | None
    chunked: bool
    closes: bool
    upgraded: bool

    def has_no_body(self, method: str) -> bool:
        status = int(self.first.split()[1])
        return method == "HEAD" or status in (204, 304) or 100 <= status < 200


@dataclass
class Meter:
    """Serves at `path` while it is open as a context."""

    path: str
    upstream: str
    calls: list[Call] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: threading.Thread = field(init=False)

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    def writes(self) -> list[Call]:
        return [call for call in self.calls if call.writes]

    def __enter__(self) -> Meter:
        listening = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(listening,), name="meter", daemon=True)
        self._thread.start()
        if not listening.wait(START_WAIT_S):
            raise RuntimeError(f"No meter at {self.path}")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_WAIT_S)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _serve(self, listening: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_unix_server(self._connected, self.path, limit=LINE_BYTES_MAX))
        listening.set()
        self._loop.run_forever()
        for task in (pending := asyncio.all_tasks(self._loop)):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client, over one connection to the engine, until either hangs up."""
        # Cancelled only at the end of it all, which is no news for whoever made this task.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_unix_connection(self.upstream, limit=LINE_BYTES_MAX)
            try:
                while await self._relayed(reader, writer, far_reader, far_writer):
                    pass
            finally:
                far_writer.close()
        writer.close()

    async def _relayed(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> bool:
        """Relay one call; return whether another may follow on these connections."""
        request = await _head(reader)
        if request is None:
            return False
        method, path, _ = request.first.decode().split(" ", 2)
        call = Call(method, path, time.perf_counter())
        self.calls.append(call)
        far_writer.write(request.raw)
        await _copy_body(reader, far_writer, request)
        answer = await _head(far_reader)
        if answer is None:
            return False
        call.status = int(answer.first.split()[1])
        writer.write(answer.raw)
        if answer.upgraded:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        elif not answer.has_no_body(method):
            await _copy_body(far_reader, writer, answer, until_end=True)
        await writer.drain()
        call.ended_s = time.perf_counter()
        ends = answer.length is None and not answer.chunked and not answer.has_no_body(method)
        return not (request.closes or answer.closes or answer.upgraded or ends)


async def _head(reader: asyncio.StreamReader) -> _Head | None:
    """Read the first lines of a message; None when the other side has hung up."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = raw.rstrip(b"\r\n").split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    length = headers.get(b"content-length")
    return _Head(
        raw,
        first,
        int(length) if length is not None else None,
        headers.get(b"transfer-encoding", b"").lower() == b"chunked",
        headers.get(b"connection", b"").lower() == b"close",
        first.startswith(b"HTTP/1.1 101"),
    )


async def _copy_body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: _Head, *, until_end: bool = False
) -> None:
    """Copy a message's body; Without a length an answer's body goes on `until_end`."""
    if head.chunked:
        await _copy_chunks(reader, writer)
        return
    left = head.length
    if left is None and not until_end:
        return
    while left is None or left > 0:
        chunk = await reader.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
        if not chunk:
            return
        left = left - len(chunk) if left is not None else None
        await _write(writer, chunk)


async def _copy_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        line = await reader.readline()
        size = int(line.split(b";")[0], 16)
        await _write(writer, line + await reader.readexactly(size + 2))
        if size == 0:
            return


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        await _write(writer, chunk)


async def _write(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(content)
    await writer.drain()
