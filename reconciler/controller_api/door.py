"""Connections: how many there may be, and how long one may take to say what it wants.

aiohttp limits bodies and idle connections, but waits forever for the end of a request's headers; asyncio's own server
takes connections as long as there are file descriptors, and a TLS handshake may hold one without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

CONNECTIONS_MAX: Final = 128
"""Connections of one listener. One with TLS costs some 300 KiB, whatever comes over it."""
HANDSHAKES_MAX: Final = 32
"""Of these, connections in the midst of a TLS handshake."""
HEADERS_S: Final = 10.0
"""Seconds that a connection may be open without a whole request's headers."""
LOOKS_PER_LIMIT: Final = 4
ACCEPT_PAUSE_S: Final = 0.5
"""Seconds to wait where the system gives no more connections: others must let go of theirs first."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Guest:
    protocol: asyncio.Protocol
    since: float
    address: str = ""
    arriving: asyncio.Task[None] | None = None
    """The TLS handshake, until it has ended."""
    busy: bool = False


class Door:
    """Lets connections in, and shows out who says nothing. `receive` and `watch` run until cancelled."""

    def __init__(self, make: Callable[[], asyncio.Protocol], headers_s: float = HEADERS_S) -> None:
        self._make = make
        self._headers_s = headers_s
        self._guests: dict[int, _Guest] = {}

    async def receive(self, listening: socket.socket, context: ssl.SSLContext | None, handshake_s: float) -> None:
        """Take connections of a listening socket, with TLS where there is a context."""
        loop, said = asyncio.get_running_loop(), False
        listening.setblocking(False)
        try:
            while True:
                try:
                    connection, address = await loop.sock_accept(listening)
                except OSError as error:
                    if not said:
                        log.warning("no connection can be taken", why=error.strerror)
                    said = True
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                    continue
                if not self._makes_room():
                    connection.close()
                    continue
                guest = _Guest(self._make(), loop.time(), str(address[0]) if address else "")
                self._guests[id(guest.protocol)] = guest
                guest.arriving = asyncio.create_task(self._welcome(guest, connection, context, handshake_s))
                await asyncio.sleep(0)  # or a flood would be all taken before the first of it is looked at
        finally:
            for guest in list(self._guests.values()):
                if guest.arriving is not None:
                    guest.arriving.cancel()

    def _makes_room(self) -> bool:
        """Return whether one more may come in, and show somebody out for that where there are too many."""
        if len(self._guests) >= CONNECTIONS_MAX:
            self._forget_the_gone()
        arriving = [one for one in self._guests.values() if one.arriving is not None]
        if len(arriving) >= HANDSHAKES_MAX:
            self._show_out(_least_missed(arriving))
        if len(self._guests) < CONNECTIONS_MAX:
            return True
        idle = [one for one in self._guests.values() if not one.busy]
        if idle:
            self._show_out(_least_missed(idle))
        return bool(idle)

    async def _welcome(
        self, guest: _Guest, connection: socket.socket, context: ssl.SSLContext | None, handshake_s: float
    ) -> None:
        """Make a connection of a socket. One that fails is its caller's affair."""
        limit_s = handshake_s if context is not None else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: guest.protocol, connection, ssl=context, ssl_handshake_timeout=limit_s
            )
        except (OSError, ssl.SSLError):  # a timeout is an OSError, too
            self._guests.pop(id(guest.protocol), None)
        except asyncio.CancelledError:
            # asyncio closes nothing that it has not begun to read from: the end of what comes makes it do so.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            raise
        finally:
            guest.arriving = None

    async def watch(self) -> None:
        """Close connections on which no request's headers came in time."""
        while True:
            await asyncio.sleep(self._headers_s / LOOKS_PER_LIMIT)
            self._forget_the_gone()
            now = asyncio.get_running_loop().time()
            for guest in list(self._guests.values()):
                if not guest.busy and now - guest.since > self._headers_s:
                    self._show_out(guest)

    @web.middleware
    async def notice(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Know a connection as busy while a request of it is worked on."""
        guest = self._guests.get(id(request.protocol))
        if guest is None:
            return await handler(request)
        guest.busy = True
        try:
            return await handler(request)
        finally:
            guest.busy, guest.since = False, asyncio.get_running_loop().time()

    def _forget_the_gone(self) -> None:
        for key, guest in list(self._guests.items()):
            transport = getattr(guest.protocol, "transport", None)
            if guest.arriving is None and not guest.busy and (transport is None or transport.is_closing()):
                del self._guests[key]

    def _show_out(self, guest: _Guest) -> None:
        transport = getattr(guest.protocol, "transport", None)
        if guest.arriving is not None:
            guest.arriving.cancel()
        if transport is not None:
            transport.abort()
        self._guests.pop(id(guest.protocol), None)


def _least_missed(guests: Sequence[_Guest]) -> _Guest:
    """Return the one that is silent for longest, of the address that has most of them."""
    counts = Counter(one.address for one in guests)
    return min(guests, key=lambda one: (-counts[one.address], one.since))
