"""Listening: on a unix socket whose file mode says who may, or with TLS on a port, for whom a token speaks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from reconciler import unix_socket
from reconciler.controller_api.access import Access
from reconciler.controller_api.application import application
from reconciler.controller_api.bodies import BODY_S
from reconciler.controller_api.door import HEADERS_S, Door
from reconciler.controller_api.ports import Controller
from reconciler.http_runner import runner_of
from reconciler.model.errors import ErrorCode, SwarmctlError

HANDSHAKE_S: Final = 5.0


class ListenSettings(msgspec.Struct, frozen=True):
    """Where to listen: exactly one of `unix_path` and `host`. A host needs `certificate` and `key`, files in PEM.

    `port` 0 takes a free one. Over the network nothing is served without TLS.
    """

    unix_path: str = ""
    host: str = ""
    port: int = 7980
    certificate: str = ""
    key: str = ""
    headers_s: float = HEADERS_S
    body_s: float = BODY_S


@asynccontextmanager
async def serve(controller: Controller, access: Access, settings: ListenSettings) -> AsyncIterator[str]:
    """Serve the API while the context is open; yields its address, unix://PATH or https://HOST:PORT.

    Call it once for each address, a unix socket with `Access(local=True)`. Raises bad-setting and api-listen-failed.
    """
    if bool(settings.unix_path) == bool(settings.host) or access.local != bool(settings.unix_path):
        raise _bad("Give a unix socket for local callers, or a host, a certificate and tokens.", "See api in its file.")
    context = _tls(settings) if settings.host else None
    with _unix(Path(settings.unix_path)) if settings.unix_path else _tcp(settings) as listening:
        runner: web.AppRunner
        door = Door(lambda: _protocol(runner), settings.headers_s)
        app = application(controller, access, body_s=settings.body_s)
        app.middlewares.insert(0, door.notice)
        runner = runner_of(app)
        await runner.setup()
        tasks = {
            asyncio.create_task(door.receive(listening, context, HANDSHAKE_S), name="api receives"),
            asyncio.create_task(door.watch(), name="api door"),
        }
        try:
            yield _address(settings, listening)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await runner.cleanup()


def _protocol(runner: web.AppRunner) -> asyncio.Protocol:
    assert runner.server is not None
    return runner.server()


def _address(settings: ListenSettings, listening: socket.socket) -> str:
    if settings.unix_path:
        return f"unix://{settings.unix_path}"
    host, port = listening.getsockname()[:2]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _tls(settings: ListenSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A key with a passphrase must not ask for it on the terminal, and wait.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise _bad(
            f"{settings.certificate} and {settings.key} are no certificate with its key: {reason}.",
            "api.certificateFile and api.keyFile name files in PEM that this user may read; the key has no passphrase.",
        ) from error
    return context


@contextlib.contextmanager
def _tcp(settings: ListenSettings) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(unix_socket.BACKLOG)
            yield listening
    except OSError as error:
        raise _failed(f"{settings.host}:{settings.port}", error.strerror) from error


@contextlib.contextmanager
def _unix(path: Path) -> Iterator[socket.socket]:
    if not unix_socket.fits(path):
        why = f"A socket's path is absolute and at most {unix_socket.UNIX_PATH_BYTES_MAX} bytes long."
        raise _bad(why, f"{path} is another one: name one by api.socket, or take a shorter dataDir.")
    try:
        listening = unix_socket.listen(path)
    except unix_socket.SocketTaken as error:
        raise _failed(str(path), "another controller, or another program, listens there already") from error
    except OSError as error:
        raise _failed(str(path), error.strerror or str(error)) from error
    with unix_socket.held(listening, path):
        yield listening


def _bad(why: str, hint: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.BAD_SETTING, "The controller's API can't be served as it is set up.", why=why, hint=hint
    )


def _failed(where: str, why: str | None) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.API_LISTEN_FAILED,
        f"Nothing can listen on {where}.",
        why=f"{why or 'The system says no more'}.",
        hint="Choose another address, or a folder that this user may write to.",
    )
