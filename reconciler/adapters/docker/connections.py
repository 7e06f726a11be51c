"""HTTP/1.1 with one engine: requests, whole answers and endless ones, over connections that are kept for the next.

No proxy is asked, no redirect followed and nothing sent twice: what to try again is for others to decide.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from reconciler.adapters.docker.dialing import dialer
from reconciler.adapters.docker.endpoints import Endpoint
from reconciler.model.discreet import Discreet
from reconciler.model.json import JsonValue

CONNECT_TIMEOUT_S = 30.0
USER_AGENT = "swarmctl"
KEEPALIVE_S = 30
"""Seconds without a word until the network is asked whether the other end of a TCP connection is still there."""
PIECE_BYTES = 1 << 20
ANSWER_BYTES_MAX = 1 << 30
"""Some hundred thousand services, or as many tasks."""


class Request(Discreet, frozen=True):
    """What is asked. `target` is a path with its query, escaped."""

    UNSHOWN = frozenset({"headers", "body"})  # credentials, and the contents of secrets

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None = None


class Answer(Discreet, frozen=True):
    """A whole answer."""

    UNSHOWN = frozenset({"headers", "content"})  # join tokens, and specs with whatever people put there

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> JsonValue:
        """Return the content as JSON, None where there is none. Raises ValueError."""
        return json.loads(self.content) if self.content else None

    def due_json(self) -> JsonValue:
        """Return the content as JSON. No content is an answer that broke off in its head. Raises what `ask` raises."""
        if not self.content:
            raise http.client.IncompleteRead(self.content)
        return self.json()


class Stream:
    """An answer without an end: read by one thread, and closed by any."""

    def __init__(
        self, connection: http.client.HTTPConnection, dialed: socket.socket, response: http.client.HTTPResponse
    ) -> None:
        self._connection = connection
        self._socket = dialed
        self._response = response

    def pieces(self) -> Iterator[bytes]:
        """Yield what comes as it comes, until the engine ends it or `cut` is called. Closes the connection."""
        try:
            while piece := self._response.read1():
                yield piece
        finally:
            self._response.close()
            self._connection.close()

    def cut(self) -> None:
        """Have the reader see the end of the stream now."""
        # Not what TLS makes of shutdown(): that takes away what the reader is reading from.
        with contextlib.suppress(OSError):  # the engine has closed it
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Connections:
    """At most as many connections as threads that ask. One that an engine has closed meanwhile is not used again.

    `timeout_s` is for each wait within a request: for a connection (at most CONNECT_TIMEOUT_S), and for the next bytes.
    All that fails is raised as it is: http.client.HTTPException, OSError or ValueError.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._new: Callable[[], http.client.HTTPConnection] = dialer(endpoint, min(CONNECT_TIMEOUT_S, timeout_s))
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._is_closed = False

    def ask(self, request: Request) -> Answer:
        """Send a request, and read its whole answer."""
        connection = self._taken()
        try:
            _dialed(connection, self._timeout_s)
            answer = _whole(_response(connection, request))
        except BaseException:
            connection.close()
            raise
        if connection.sock is None:  # the answer was the connection's last
            connection.close()
            return answer
        self._idle.append(connection)
        if self._is_closed:
            self.close()
        return answer

    def open(self, request: Request) -> Stream | Answer:
        """Send a request whose answer has no end, nor a timeout once it has begun; what is no success is read whole."""
        connection = self._taken()
        try:
            dialed = _dialed(connection, self._timeout_s)
            response = _response(connection, request)
            if 200 <= response.status < 300:
                dialed.settimeout(None)
                return Stream(connection, dialed, response)
            answer = _whole(response)
        except BaseException:
            connection.close()
            raise
        connection.close()
        return answer

    def close(self) -> None:
        """Close what is idle, which may take seconds with ssh. A request under way ends by itself."""
        self._is_closed = True
        for connection in tuple(self._idle):  # all are told before the first is waited for
            dialed: socket.socket | None = connection.sock
            if dialed is not None:  # a thread whose request ends now closes what is idle, too
                with contextlib.suppress(OSError):
                    dialed.shutdown(socket.SHUT_RDWR)
        while self._idle:
            with contextlib.suppress(IndexError):
                self._idle.pop().close()

    def _taken(self) -> http.client.HTTPConnection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._new()
            if _is_open(connection):
                return connection
            connection.close()


def _is_open(idle: http.client.HTTPConnection) -> bool:
    """Return whether a connection can be used again. Nothing is due on it: what there is to read would be its end."""
    if idle.sock is None or (isinstance(idle.sock, ssl.SSLSocket) and idle.sock.pending()):
        return False
    looking = select.poll()
    looking.register(idle.sock, select.POLLIN)
    return not looking.poll(0)


def _dialed(connection: http.client.HTTPConnection, timeout_s: float) -> socket.socket:
    """Return the socket of a connection, connected, and with the patience of the next request."""
    is_new = connection.sock is None
    if is_new:
        connection.connect()
    dialed: socket.socket = connection.sock
    if is_new and dialed.family in (socket.AF_INET, socket.AF_INET6):
        dialed.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        dialed.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    dialed.settimeout(timeout_s)
    return dialed


def _response(connection: http.client.HTTPConnection, request: Request) -> http.client.HTTPResponse:
    headers = {"User-Agent": USER_AGENT, **request.headers}
    # An engine may refuse, and hang up, before it has read all of a body: its answer then tells why.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(request.method, request.target, request.body, headers)
    response = connection.getresponse()
    if response.status < 200:
        # The client knows one such answer, 100, and takes any other for the one that counts, which is still to come.
        raise http.client.HTTPException(f"an interim answer of status {response.status}")
    return response


def _whole(response: http.client.HTTPResponse) -> Answer:
    """Read an answer piece by piece: what its head says of its length may be anything."""
    pieces, length = [], 0
    while piece := response.read(PIECE_BYTES):
        pieces.append(piece)
        length += len(piece)
        if length > ANSWER_BYTES_MAX:
            raise http.client.HTTPException(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return Answer(response.status, response.headers, b"".join(pieces))
