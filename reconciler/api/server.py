"""Listening: on a unix socket of the user's own, or on a loopback port."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from reconciler.api.application import application
from reconciler.api.node import node_of
from reconciler.api.ports import Cluster, LocalNode
from reconciler.model.errors import ErrorCode, SwarmctlError

SOCKET_MODE = 0o600
BACKLOG = 128
PROBE_TIMEOUT_S = 2.0
STOP_WAIT_S = 2.0
UNIX_PATH_BYTES_MAX = 107
LINE_BYTES_MAX = 64 * 1024
"""Of the request's line and of one header: filters may name many ids, and a registry's login is one header."""

# What is no HTTP is answered with 400 and is the client's affair; aiohttp would log a traceback of each.
_malformed = logging.getLogger(f"{__name__}.malformed")
_malformed.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Server:
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
        runner = web.AppRunner(
            application(node, on_tcp=listening.family != socket.AF_UNIX),
            access_log=None,
            logger=_malformed,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=STOP_WAIT_S,
        )
        try:
            await runner.setup()
            await web.SockSite(runner, listening, backlog=BACKLOG).start()
            yield Server(reached)
        finally:
            await runner.cleanup()


@contextlib.contextmanager
def _listen_on_unix(path: Path) -> Iterator[tuple[socket.socket, str]]:
    if not path.is_absolute() or len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
        raise _bad_host(f"unix://{path}", f"A socket's path is absolute and at most {UNIX_PATH_BYTES_MAX} bytes long.")
    try:
        listening = _bound(path)
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            f"Nothing can listen on {path}.",
            why=f"{error.strerror}.",
            hint="Choose a folder that this user may write to.",
        ) from error
    ours = path.lstat()
    try:
        yield listening, f"unix://{path}"
    finally:
        listening.close()
        with contextlib.suppress(FileNotFoundError):
            now = path.lstat()
            if (now.st_dev, now.st_ino) == (ours.st_dev, ours.st_ino):
                path.unlink()


def _bound(path: Path) -> socket.socket:
    """Return a listening socket at `path`. Its folder is locked meanwhile, so that of two starters one wins."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        _clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(path))
            # Before listen(): until then nobody can connect, whatever the umask made of the mode.
            path.chmod(SOCKET_MODE)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        return listening
    finally:
        os.close(folder)


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on; refuse anything else that is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(0, "something that is no socket is there already")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except TimeoutError:
            pass  # somebody listens, though too busy to answer
    raise SwarmctlError(
        ErrorCode.EMBEDDED_ALREADY_RUNNING,
        f"Something listens on {path} already.",
        why="An embedded swarm, or another daemon, serves this socket.",
        hint="Use it, stop it first, or choose another path.",
    )


@contextlib.contextmanager
def _listen_on_tcp(host: str) -> Iterator[tuple[socket.socket, str]]:
    address, port = _loopback(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address, port))
            listening.listen(BACKLOG)
        except OSError as error:
            raise SwarmctlError(
                ErrorCode.EMBEDDED_ALREADY_RUNNING,
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
        f"The API cannot be served at {host}.",
        why=why,
        hint="Give unix:///PATH or tcp://127.0.0.1:PORT.",
    )
