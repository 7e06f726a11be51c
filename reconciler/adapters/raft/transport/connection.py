"""One connection between two members: a greeting, then frames both ways."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from reconciler.adapters.raft.transport.channel import Rooms, TlsChannel
from reconciler.adapters.raft.transport.framing import HEADER, FrameReader, FrameTooLarge
from reconciler.adapters.raft.transport.refusals import Refusal, Refused
from reconciler.adapters.raft.transport.settings import TransportSettings
from reconciler.adapters.raft.transport.tls import peer_of, refusal_of
from reconciler.model.errors import ErrorCode

GREETING_BYTES_MAX = 1024
FRAMES_PER_TURN = 64
"""Frames of one connection that are handed on before others have their turn: who sends thousands of tiny ones holds up
itself. Members that work send a few at a time."""
TEXT_MAX = 200
"""Characters of the other side's reason that are logged."""
GOODBYE_S = 1.0
"""Seconds that a peer has to read what was sent before the end, why it is refused for one."""


class Greeting(msgspec.Struct, frozen=True, array_like=True):
    """First frame of whoever accepted: `code` and `why` of the refusal, both empty when the peer is welcome; `founding`
    as in Shared.
    """

    code: str = ""
    why: str = ""
    founding: str = ""


_GREETINGS = msgspec.msgpack.Decoder(Greeting)


class Owner(Protocol):
    """What a connection asks and tells. Nothing here may raise."""

    def began(self, connection: Connection) -> None:
        """There is a connection; `ended` will follow."""
        ...

    def admit(self, connection: Connection, node: str) -> Refusal | None:
        """Whether an accepted peer, whose certificate names `node`, may stay. It is open already when it may."""
        ...

    def opened(self, connection: Connection) -> None:
        """The connection may be used."""
        ...

    def received(self, connection: Connection, frame: bytes) -> None:
        """A frame has arrived."""
        ...

    def refused(self, connection: Connection, refusal: Refusal) -> None:
        """The connection is being closed for a reason; told at most once."""
        ...

    def ended(self, connection: Connection) -> None:
        """The connection is gone; nothing more is told."""
        ...


class Shared(msgspec.Struct, frozen=True):
    """What all connections of one node have in common.

    `founding` tells what stands for the first members of the group, "" while that is not known. Members of groups that
    were begun with different ones have different logs that look equal: they must not talk.
    """

    owner: Owner
    cluster: str
    settings: TransportSettings
    rooms: Rooms
    founding: Callable[[], str]


class Connection(TlsChannel):
    """`expected` is the member that was dialled, None on the accepting side; `address` where it is, for the log."""

    def __init__(self, context: ssl.SSLContext, shared: Shared, address: str, expected: str | None = None) -> None:
        super().__init__(context, shared.rooms, server_side=expected is None)
        self._settings = shared.settings
        self._owner = shared.owner
        self._cluster = shared.cluster
        self._founding = shared.founding
        self._reader = FrameReader(shared.settings.frame_bytes_max)
        self.expected = expected
        self.address = address
        self._loop = asyncio.get_running_loop()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._paused = False
        self._frame_due_s = 0.0
        self._arrived: deque[bytes] = deque()
        self._is_behind = self._has_left = False
        self._refusal: Refusal | None = None
        self._decided: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self.node = ""
        """Who the peer is; "" until its certificate has proven it."""
        self.opened_s = 0.0
        """When it could be used from, by the event loop's clock; 0.0 until then."""

    @property
    def dialled(self) -> bool:
        """Whether this side made the connection."""
        return self.expected is not None

    async def settled(self) -> None:
        """Wait until the connection may be used. Raises Refused."""
        await asyncio.shield(self._decided)

    def send(self, frame: bytes) -> bool:
        """Send a frame, at once if the system takes it; False when there is no room or the connection is closing.

        Whoever sends has often much to do before the event loop turns: the other side works meanwhile.
        """
        size = HEADER.size + len(frame)
        if not self.is_open or len(frame) > self._settings.frame_bytes_max:
            return False
        if self._queued_bytes and self._queued_bytes + size > self._settings.queue_bytes_max:
            return False
        self._queue.append(HEADER.pack(len(frame)))
        self._queue.append(frame)
        self._queued_bytes += size
        if not self._paused:
            self._flush_queue()
        return True

    def refuse(self, refusal: Refusal) -> None:
        """Close for a reason, and tell it once."""
        if self._refusal is None:
            self._refusal = refusal
            self._owner.refused(self, refusal)
        self.abort()

    def retire(self) -> None:
        """Close for no fault of the peer, which has a moment to read what was sent; what is queued goes first."""
        if self.opened_s:
            self._flush_queue()
        self._stop_timer()
        self._timer = self._loop.call_later(GOODBYE_S, self.abort)
        self.close()

    def check_pace(self, now_s: float) -> None:
        """Refuse a peer whose frame takes too long; to be called every second or so."""
        awaited = self._reader.awaited
        if not awaited:
            self._frame_due_s = 0.0
        elif not self._frame_due_s:
            allowed_s = self._settings.frame_timeout_s + awaited / self._settings.frame_rate_min
            self._frame_due_s = now_s + allowed_s
        elif now_s > self._frame_due_s:
            self.refuse(Refusal(ErrorCode.PEERS_TOO_SLOW, f"a frame of {awaited} bytes took too long"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._timer = self._loop.call_later(self._settings.handshake_timeout_s, self._too_late)
        self._owner.began(self)
        super().connection_made(transport)

    def _too_late(self) -> None:
        self.refuse(Refusal(ErrorCode.PEERS_TOO_SLOW, "it has not shown who it is in time"))

    def secured(self, tls: ssl.SSLObject) -> None:
        named = peer_of(tls, self._cluster)
        if isinstance(named, str):
            self.node = named
        if self.expected is not None:
            self._check_expected(named)
            return
        refusal = named if isinstance(named, Refusal) else self._owner.admit(self, named)
        code, why = (refusal.code.value, refusal.why) if refusal is not None else ("", "")
        greeting = Greeting(code, why, self._founding())
        content = msgspec.msgpack.encode(greeting)
        self.write(HEADER.pack(len(content)) + content)
        if refusal is None:
            self._open()
            return
        self._refusal = refusal
        self._owner.refused(self, refusal)
        self.retire()

    def _check_expected(self, named: str | Refusal) -> None:
        if isinstance(named, Refusal):
            self.refuse(named)
        elif named != self.expected:
            why = f"{named} answered there, not {self.expected}"
            self.refuse(Refusal(ErrorCode.PEERS_WRONG_NAME, why))

    def received(self, data: memoryview) -> None:
        try:
            frames = self._reader.feed(data)
        except FrameTooLarge as error:
            self.refuse(Refusal(ErrorCode.PEERS_FRAME_TOO_LARGE, str(error)))
            return
        if frames:
            self._frame_due_s = 0.0
        self._arrived += frames
        if not self._is_behind:
            self._hand_on()

    def _hand_on(self) -> None:
        """Hand on what has arrived, some of it now; nothing more is read before the rest had its turn."""
        for _ in range(min(len(self._arrived), FRAMES_PER_TURN)):
            if not self.is_open:
                return
            frame = self._arrived.popleft()
            if self.opened_s:
                self._owner.received(self, frame)
            else:
                self._greeted(frame)
        if self._arrived:
            self._is_behind = True
            self.pause_reading()
            self._loop.call_soon(self._hand_on)
        elif self._is_behind:
            self._is_behind = False
            self.resume_reading()
            if self._has_left:
                self.close()

    def goodbye(self) -> None:
        if self._is_behind:
            self._has_left = True
        else:
            self.close()

    def _greeted(self, frame: bytes) -> None:
        try:
            greeting = _GREETINGS.decode(frame[:GREETING_BYTES_MAX])
        except (msgspec.MsgspecError, ValueError, RecursionError):  # ValueError: a text that is no UTF-8
            self.refuse(Refusal(ErrorCode.PEERS_PROTOCOL, "its greeting makes no sense"))
            return
        if not greeting.code:
            own, theirs = self._founding(), greeting.founding
            if own and theirs and own != theirs:
                why = "it is of a group that began with other members, or with other addresses of them"
                self.refuse(Refusal(ErrorCode.PEERS_FOUNDED_APART, why))
                return
            self._open()
            return
        known = greeting.code in set(ErrorCode)
        code = ErrorCode(greeting.code) if known else ErrorCode.PEERS_PROTOCOL
        self.refuse(Refusal(code, repr(greeting.why[:TEXT_MAX])[1:-1], theirs=True))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _open(self) -> None:
        self._stop_timer()
        self.opened_s = self._loop.time()
        self._decided.set_result(None)
        self._owner.opened(self)

    def failed(self, error: ssl.SSLError) -> None:
        if self._refusal is None:
            self._refusal = refusal_of(error)
            self._owner.refused(self, self._refusal)

    def lost(self) -> None:
        self._stop_timer()
        self._queue.clear()
        self._arrived.clear()
        if not self.opened_s:
            if self._refusal is None:
                self._refusal = Refusal(ErrorCode.PEERS_PROTOCOL, "it ended the connection before both knew each other")
                self._owner.refused(self, self._refusal)
            self._decided.set_exception(Refused(self._refusal))
            self._decided.exception()  # nobody need have waited for it
        self._owner.ended(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush_queue()

    def _flush_queue(self) -> None:
        """Send what is queued, many frames in one write, until the system takes no more."""
        queue = self._queue
        while queue and not self._paused and self.is_open:
            parts, size = [], 0
            while queue and size < self._settings.write_bytes:
                parts.append(queue.popleft())
                size += len(parts[-1])
            self._queued_bytes -= size
            self.write(b"".join(parts))
