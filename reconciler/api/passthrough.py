"""What is no swarm matter, handed to the node's own Docker Engine as it came, and its answers back.

Bodies are streamed both ways. A connection that a request turns into something else (attach, exec) is joined to the
engine's, byte for byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

from reconciler.api.faults import NO_ENGINE, Refused
from reconciler.api.ports import LocalNode
from reconciler.model.json import JsonObject

CONNECT_TIMEOUT_S = 10.0
CHUNK_BYTES = 64 * 1024
HOP_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "te", "trailer"})
"""Headers that concern one connection only."""

OURS_TO_ADD = ("Accept", "Accept-Encoding", "User-Agent")
"""Headers that are not sent unless the client has them: who accepts gzip is sent files of containers in it. Nor is a
body's type: who says none may send none."""

VERSION_PREFIX = re.compile(r"^/v[0-9.]+(?=/)")
_LOOKED_UP = re.compile(r"/(?P<kind>container|image|plugin)s/(?P<name>[^/?]+)/json(?:\?|$)")
UNREACHABLE = "the Docker Engine of this node can't be reached"


class Engine:
    """The node's Docker Engine. Without one, whoever asks is Refused with 501."""

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._session: aiohttp.ClientSession | None = None

    @property
    def is_there(self) -> bool:
        return self._node.engine_host is not None

    async def close(self, _: web.Application) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    def _socket(self) -> str:
        host = self._node.engine_host
        if host is None:
            raise Refused(501, NO_ENGINE)
        return host.removeprefix("unix://")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
            connector = aiohttp.UnixConnector(self._socket(), limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, auto_decompress=False, skip_auto_headers=OURS_TO_ADD
            )
        return self._session

    async def get(self, path: str) -> Any:
        """Return what the engine answers to a look, None where it knows no such thing."""
        return await self._asked("GET", path, {})

    async def post(self, path: str, *, body: JsonObject | None = None, **query: str) -> Any:
        """Let the engine do what `path` says; return its answer, None where it refuses."""
        return await self._asked("POST", path, query, body)

    async def delete(self, path: str) -> None:
        """Let the engine remove something, unless it refuses."""
        await self._asked("DELETE", path, {})

    async def _asked(self, method: str, path: str, query: Mapping[str, str], body: JsonObject | None = None) -> Any:
        self._socket()
        try:
            async with self._opened().request(method, f"http://engine{path}", params=query, json=body) as answer:
                return await answer.json() if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED) else None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Refused(503, UNREACHABLE) from error

    async def lines(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the lines of an answer that goes on; none where the engine refuses, no more where it breaks off."""
        self._socket()
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with self._opened().get(f"http://engine{path}", params=query) as answer:
                if answer.status != 200:
                    return
                async for line in answer.content:
                    yield line

    async def objects(self, path: str) -> list[JsonObject]:
        """Return a list that the engine answers with."""
        found = await self.get(path)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    async def forward(
        self, request: web.Request, body: bytes | None = None, path: str | None = None
    ) -> web.StreamResponse:
        """Answer as the engine does. Its own version of the API is spoken: ours may be newer.

        `body` is the request's if it has been read already, or what stands for it; `path` is asked in place of its own.
        """
        if not self.is_there and request.method == "GET" and (looked_up := _LOOKED_UP.match(_target(request))):
            # `docker inspect NAME` asks for one kind of thing after the other until it is one.
            raise Refused(404, f"No such {looked_up['kind']}: {unquote(looked_up['name'])}")
        self._socket()
        if "upgrade" in request.headers.get("Connection", "").lower():
            return await self._join(request)
        left = HOP_HEADERS if body is None else HOP_HEADERS | {"content-length"}
        headers = {key: value for key, value in request.headers.items() if key.lower() not in left}
        response: web.StreamResponse | None = None
        try:
            async with self._opened().request(
                request.method,
                URL(f"http://engine{path or _target(request)}", encoded=True),
                headers=headers,
                skip_auto_headers=("Content-Type",),
                data=body if body is not None else _chunks(request) if request.can_read_body else None,
                allow_redirects=False,
            ) as answer:
                kept = {key: value for key, value in answer.headers.items() if key.lower() not in HOP_HEADERS}
                response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            if response is None or not response.prepared:
                raise Refused(503, UNREACHABLE) from error
            raise ConnectionResetError("the engine broke off") from error

    async def _join(self, request: web.Request) -> web.StreamResponse:
        """Make one connection of the client's and the engine's, until either ends."""
        body = await request.read()
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket())
        except OSError as error:
            raise Refused(503, UNREACHABLE) from error
        lines = [f"{request.method} {_target(request)} HTTP/1.1", "Host: engine"]
        lines += [f"{key}: {value}" for key, value in request.headers.items() if key.lower() != "host"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        transport.set_protocol(_Pipe(writer, request.protocol))
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                transport.write(chunk)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            transport.close()
        return web.Response()


class _Pipe(asyncio.Protocol):
    """Stands where the server reads requests: what the client sends goes on to the engine.

    A client that has nothing more to say ends its half of the connection, and still waits for what is said.
    """

    def __init__(self, writer: asyncio.StreamWriter, server: asyncio.BaseProtocol) -> None:
        self._writer = writer
        self._server = server

    def data_received(self, data: bytes) -> None:
        self._writer.write(data)

    def eof_received(self) -> bool:
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._writer.close()
        self._server.connection_lost(error)

    def pause_writing(self) -> None:
        self._server.pause_writing()

    def resume_writing(self) -> None:
        self._server.resume_writing()


def _target(request: web.Request) -> str:
    return VERSION_PREFIX.sub("", request.raw_path)


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_chunked(CHUNK_BYTES):
        yield chunk
