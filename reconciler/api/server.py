"""Listening: on a unix socket of the user's own, or on a loopback port."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from reconciler import unix_socket
from reconciler.api.application import application
from reconciler.api.node import node_of
from reconciler.api.ports import Cluster, LocalNode
from reconciler.http_runner import runner_of
from reconciler.model.errors import ErrorCode, SwarmctlError

LINE_BYTES_MAX = 64 * 1024
"""Of the request's line and of one header: filters may name many ids, and a registry's login is one header."""


class Server(msgspec.Struct, frozen=True):
    """A running API. `host` is what DOCKER_HOST must be to reach it."""

    host: str


@asynccontextmanager
async def serve(cluster: Cluster, host: str) -> AsyncIterator[Server]:
    """Serve the Docker Engine API of a swarm that lives in this process, as `serve_node` does."""
    async with serve_node(await node_of(cluster), host) as server:
        yield server


@asynccontextmanager
async def serve_node(node: LocalNode, host: str) -> AsyncIterator[Server]:
    """Serve the Docker Engine API of `node` at `host` while the context is open.

    `host` is unix:///PATH (only this user may connect) or tcp://127.0.0.1:PORT (whoever is on this machine may;
    port 0 takes a free one). A dead socket in the way is replaced, a live one refused. `node` is not closed.
    Raises embedded-already-running, bad-setting, embedded-failed.
    """
    scheme, _, rest = host.partition("://")
    with _listen_on_unix(Path(rest)) if scheme == "unix" else _listen_on_tcp(host) as (listening, reached):
        app = application(node, on_tcp=listening.family != socket.AF_UNIX)
        runner = runner_of(app, max_line_size=LINE_BYTES_MAX, max_field_size=LINE_BYTES_MAX)
        try:
            await runner.setup()
            await web.SockSite(runner, listening, backlog=unix_socket.BACKLOG).start()
            yield Server(reached)
        finally:
            await runner.cleanup()


@contextlib.contextmanager
def _listen_on_unix(path: Path) -> Iterator[tuple[socket.socket, str]]:
    if not unix_socket.fits(path):
        longest = unix_socket.UNIX_PATH_BYTES_MAX
        raise _bad_host(f"unix://{path}", f"A socket's path is absolute and at most {longest} bytes long.")
    try:
        listening = unix_socket.listen(path)
    except unix_socket.SocketTaken as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_ALREADY_RUNNING,
            f"Something listens on {path} already.",
            why="An embedded swarm, or another daemon, serves this socket.",
            hint="Use it, stop it first, or choose another path.",
        ) from error
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            f"Nothing can listen on {path}.",
            why=f"{error.strerror}.",
            hint="Choose a folder that this user may write to.",
        ) from error
    with unix_socket.held(listening, path):
        yield listening, f"unix://{path}"


@contextlib.contextmanager
def _listen_on_tcp(host: str) -> Iterator[tuple[socket.socket, str]]:
    address, port = _loopback(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address, port))
            listening.listen(unix_socket.BACKLOG)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise SwarmctlError(
                ErrorCode.EMBEDDED_ALREADY_RUNNING if taken else ErrorCode.EMBEDDED_FAILED,
                f"Nothing can listen on {host}.",
                why=f"{error.strerror}.",
                hint="Choose another port, or 0 for a free one.",
            ) from error
        shown = f"[{address}]" if family == socket.AF_INET6 else address
        yield listening, f"tcp://{shown}:{listening.getsockname()[1]}"


def _loopback(host: str) -> tuple[str, int]:
    try:
        parts = urlsplit(host)
        name, port = parts.hostname or "", parts.port
        address = ipaddress.ip_address("127.0.0.1" if name == "localhost" else name)
    except ValueError:
        raise _bad_host(host, "It is neither unix:///PATH nor tcp://127.0.0.1:PORT.") from None
    if parts.scheme != "tcp" or port is None:
        raise _bad_host(host, "It is neither unix:///PATH nor tcp://127.0.0.1:PORT.")
    if not address.is_loopback:
        raise _bad_host(host, "Whoever reaches this API runs programs here, so it is served on loopback only.")
    return str(address), port


def _bad_host(host: str, why: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.BAD_SETTING,
        f"The API cannot be served at {host!r}.",
        why=why,
        hint="Give unix:///PATH or tcp://127.0.0.1:PORT.",
    )
