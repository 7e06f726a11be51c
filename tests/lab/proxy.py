"""A proxy on a unix socket in front of an engine, which breaks the calls that a test chooses.

It speaks just enough HTTP/1.1 for one request at a time on a connection, and closes each connection after its
answer: a fault then has exactly one call, and no kept-alive connection hides it.
"""

from __future__ import annotations

import enum
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READ_BYTES = 65536
ANSWER_WAIT_S = 60.0


class Fault(enum.Enum):
    """How a call breaks."""

    ERROR_500 = "500 before it reaches the engine"
    ERROR_503 = "503 before it reaches the engine"
    DROPPED_BEFORE = "connection dropped before it reaches the engine"
    DROPPED_AFTER = "connection dropped after the engine has answered"
    CUT_IN_HEAD = "connection dropped after the first line of the engine's answer"


@dataclass(frozen=True)
class Call:
    """One request that came by: "POST /services/create", without the API version and the query."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


Choice = Callable[[int, Call], Fault | None]
"""Says how the call of a number, counted from 0, breaks; None lets it pass."""


@dataclass
class Proxy:
    """Listens on `socket_path` while open. `calls` is what came by, broken or not; `done` what the engine did of it.

    While `cut` is set, every connection is dropped before it reaches the engine.
    """

    engine_socket: Path
    socket_path: Path
    calls: list[Call] = field(default_factory=list)
    done: list[Call] = field(default_factory=list)
    """Writes that the engine has answered with success, whether or not the answer reached anybody."""
    cut: threading.Event = field(default_factory=threading.Event)
    _choice: Choice = field(default=lambda _number, _call: None)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        return f"unix://{self.socket_path}"

    def __enter__(self) -> Proxy:
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # either side hung up
                    proxy.serve(self.request)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Say nothing: whatever goes wrong here is a dropped connection to the client."""

        self.socket_path.unlink(missing_ok=True)
        self._server = Server(str(self.socket_path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.socket_path.unlink(missing_ok=True)

    def reset(self, choice: Choice = lambda _number, _call: None) -> None:
        """Forget the calls, and break those that `choice` says from now on."""
        with self._lock:
            self.calls, self.done, self._choice = [], [], choice

    def serve(self, client: socket.socket) -> None:
        """Pass one request on and its answer back, or break it."""
        request = _read_message(client)
        if not request:
            return
        call, fault = self._noted(request)
        if self.cut.is_set() or fault is Fault.DROPPED_BEFORE:
            return
        if fault in (Fault.ERROR_500, Fault.ERROR_503):
            client.sendall(_error(fault))
            return
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(ANSWER_WAIT_S)
            engine.connect(str(self.engine_socket))
            engine.sendall(_asking_to_close(request))
            answer = b"".join(iter(lambda: engine.recv(READ_BYTES), b""))
        if call.is_write and answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2")):
            self.done.append(call)
        if fault is Fault.CUT_IN_HEAD:
            answer = answer.partition(b"\r\n")[0] + b"\r\n"
        if fault is not Fault.DROPPED_AFTER:
            client.sendall(answer)

    def _noted(self, request: bytes) -> tuple[Call, Fault | None]:
        method, target, _ = request.split(b"\r\n", 1)[0].decode().split(" ", 2)
        path = target.partition("?")[0]
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        with self._lock:
            call = Call(method, path)
            self.calls.append(call)
            number, choice = len(self.calls) - 1, self._choice
        return call, choice(number, call)  # it may take its time: other calls don't wait for it


def _error(fault: Fault) -> bytes:
    status = "500 Internal Server Error" if fault is Fault.ERROR_500 else "503 Service Unavailable"
    body = b'{"message":"injected"}'
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def _read_message(client: socket.socket) -> bytes:
    """Return one request with its body, or nothing when the client hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(READ_BYTES)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += client.recv(READ_BYTES)
    return head + b"\r\n\r\n" + body


def _asking_to_close(request: bytes) -> bytes:
    """Return the request with `Connection: close`, so that the answer ends with the connection."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body
