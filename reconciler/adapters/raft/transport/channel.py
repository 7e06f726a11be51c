"""TLS over one connection, as an asyncio protocol.

asyncio's own TLS does without two things that are needed here: it ends a failed handshake without the alert that tells
the other side why, and it accepts connections without a limit before anybody has a say.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from functools import partial
from typing import cast

ROOM = 128 * 1024
"""Bytes that are read or written at a time. Measured best for frames of 64 and of 256 KiB: it stays in the cache."""


class Rooms:
    """Where bytes arrive, one for all connections of an event loop: it fills and hands over in one step."""

    def __init__(self) -> None:
        self.encrypted = memoryview(bytearray(ROOM))
        self.plain = memoryview(bytearray(ROOM))


class TlsChannel(asyncio.BufferedProtocol):
    """Shakes hands, encrypts and decrypts. What happens is told by calls of `secured`, `received` and `lost`."""

    def __init__(self, context: ssl.SSLContext, rooms: Rooms, *, server_side: bool) -> None:
        self._rooms = rooms
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._read_into = cast(Callable[[int, memoryview], int], self._tls.read)  # what it is with a second argument
        self._raw: asyncio.Transport | None = None
        self._secured = False

    def secured(self, tls: ssl.SSLObject) -> None:
        """The handshake has succeeded on this side."""
        raise NotImplementedError

    def received(self, data: memoryview) -> None:
        """Bytes have arrived; `data` is valid until this returns."""
        raise NotImplementedError

    def failed(self, error: ssl.SSLError) -> None:
        """TLS can't go on; the connection is being closed."""
        raise NotImplementedError

    def lost(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    def goodbye(self) -> None:
        """The other side sends nothing more."""
        self.close()

    def pause_reading(self) -> None:
        """Read nothing for now; what was read already still arrives."""
        if self._raw is not None:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._raw is not None:
            self._raw.resume_reading()

    @property
    def is_open(self) -> bool:
        """Whether bytes may still be sent."""
        return self._raw is not None and not self._raw.is_closing()

    def write(self, data: bytes) -> None:
        """Encrypt and send. Nothing is sent on a connection that is closing."""
        if self.is_open:
            self._tls.write(data)
            self._flush()

    def close(self) -> None:
        """Say goodbye, send what is under way, and close; nothing more is received."""
        if not self.is_open:
            return
        if self._secured:
            with contextlib.suppress(ssl.SSLError):  # it would wait for the other side's goodbye, which nobody needs
                self._tls.unwrap()
        self._flush()
        if self._raw is not None:
            self._raw.close()

    def abort(self) -> None:
        """Close at once; what is under way is lost."""
        if self._raw is not None:
            self._raw.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._raw = transport
        transport.set_write_buffer_limits(high=ROOM)
        self._shake()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the room is as large as ever
        return self._rooms.encrypted

    def buffer_updated(self, nbytes: int) -> None:
        self._incoming.write(self._rooms.encrypted[:nbytes])
        if not self._secured:
            self._shake()
        if self._secured:
            self._read()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why hardly matters
        self._raw = None
        self.lost()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._end(error)
            return
        self._secured = True
        self._flush()
        self.secured(self._tls)

    def _read(self) -> None:
        """Hand on what has arrived, a room at a time."""
        plain, more = self._rooms.plain, True
        while more and self.is_open:
            filled, end = 0, None
            try:
                while filled < ROOM and (count := self._read_into(ROOM - filled, plain[filled:])):
                    filled += count
                more = filled == ROOM
                end = None if more else self.goodbye
            except ssl.SSLWantReadError:
                more = False
            except ssl.SSLError as error:
                more, end = False, partial(self._end, error)
            if filled:
                self.received(plain[:filled])
            if end is not None:
                end()  # after what came before it
        if self.is_open:
            self._flush()  # TLS itself may have to answer

    def _end(self, error: ssl.SSLError) -> None:
        self.failed(error)
        self._flush()  # the alert
        if self._raw is not None:
            self._raw.close()

    def _flush(self) -> None:
        if self._outgoing.pending and self._raw is not None:
            self._raw.write(self._outgoing.read())
