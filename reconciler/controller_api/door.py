"""Connections: how many there may be, and how long one may take to say what it wants.

aiohttp limits bodies and idle connections, but waits forever for the end of a request's headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

CONNECTIONS_MAX: Final = 256
HEADERS_S: Final = 10.0
"""Seconds that a connection may be open without a whole request's headers."""
LOOKS_PER_LIMIT: Final = 4


@dataclass(slots=True)
class _Guest:
    protocol: asyncio.Protocol
    since: float
    busy: bool = False


class Door:
    """Makes the protocol of each new connection, and shows out who says nothing. `watch` runs until cancelled."""

    def __init__(self, make: Callable[[], asyncio.Protocol], headers_s: float = HEADERS_S) -> None:
        self._make = make
        self._headers_s = headers_s
        self._guests: dict[int, _Guest] = {}

    def __call__(self) -> asyncio.Protocol:
        """Let one more in; where there are too many, the one that has said nothing for longest goes."""
        if len(self._guests) >= CONNECTIONS_MAX:
            self._forget_the_gone()
        if len(self._guests) >= CONNECTIONS_MAX:
            idle = [one for one in self._guests.values() if not one.busy]
            if idle:
                self._show_out(min(idle, key=lambda one: one.since))
        protocol = self._make()
        self._guests[id(protocol)] = _Guest(protocol, asyncio.get_running_loop().time())
        return protocol

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
        now = asyncio.get_running_loop().time()
        for key, guest in list(self._guests.items()):
            transport = getattr(guest.protocol, "transport", None)
            # None before a TLS handshake has ended, and after the connection has.
            gone = now - guest.since > self._headers_s if transport is None else transport.is_closing()
            if gone and not guest.busy:
                del self._guests[key]

    def _show_out(self, guest: _Guest) -> None:
        transport = getattr(guest.protocol, "transport", None)
        if transport is not None:
            transport.abort()
        self._guests.pop(id(guest.protocol), None)
