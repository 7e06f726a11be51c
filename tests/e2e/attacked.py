"""A controller on the network, what to throw at it, and what that costs it."""

from __future__ import annotations

import http.client
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended
from tests.e2e.followed import Followed, controller_of
from tests.fakes.certificate import self_signed
from tests.free_ports import free_port

READ, WRITE = "token-of-those-who-read", "token-of-those-who-write"
GIB = 2**30


@dataclass
class Served:
    """A controller with its API on the network."""

    controller: Controller
    followed: Followed
    port: int
    certificate: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def environment(self, token: str, ca: Path | None = None) -> dict[str, str]:
        named = {"SWARMCTL_CONTROLLER": self.url, "SWARMCTL_CONTROLLER_CA": str(ca or self.certificate)}
        return {**named, "SWARMCTL_CONTROLLER_TOKEN": token}

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.certificate))
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 60), server_hostname="127.0.0.1")

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> int:
        """Ask over the network, and return the answer's status."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        with closing(connection):
            connection.request(method, path, body, headers or {})
            return connection.getresponse().status

    def memory_mib(self) -> int:
        """What the process has needed at most so far."""
        return self._of_process("VmHWM:") // 1024

    def files_open(self) -> int:
        assert self.controller.process is not None
        return len(list(Path(f"/proc/{self.controller.process.pid}/fd").iterdir()))

    def _of_process(self, name: str) -> int:
        assert self.controller.process is not None
        lines = Path(f"/proc/{self.controller.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1])

    def refusals(self, **fields: Any) -> list[dict[str, Any]]:
        lines = self.controller.lines("request refused")
        return [one for one in lines if all(one[name] == value for name, value in fields.items())]


@contextmanager
def serving(folder: Path, backend: Backend) -> Iterator[Served]:
    """Run a controller with its API on the network, which has converged."""
    certificate, key = self_signed(folder)
    port = free_port()
    for name, secret in (("read", READ), ("write", WRITE)):
        (folder / name).write_text(f"{secret}\n")
    tokens = [{"name": name, "role": name, "tokenFile": str(folder / name)} for name in ("read", "write")]
    listen = {"listen": f"127.0.0.1:{port}", "certificateFile": str(certificate), "keyFile": str(key)}
    controller = controller_of(folder, backend, api={**listen, "tokens": tokens})
    controller.spec["webhooks"].append({"forge": "github", "secretFile": str(folder / "webhook-secret")})
    followed = Followed.make(folder, "infra", controller, backend)
    controller.spec["sources"] = [followed.source]
    with ended(controller):
        controller.start().await_line("api listens")
        followed.await_mark("1")
        yield Served(controller, followed, port, certificate)


def endless_body(served: Served) -> int:
    """Send a body without an end, and return how many bytes of a GiB were taken."""
    sent = 0
    with suppress(ConnectionError, ssl.SSLError), served.connect() as endless:
        endless.sendall(b"POST /v1/webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < GIB:
            endless.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent += 65536
    return sent


@contextmanager
def connections(served: Served, count: int) -> Iterator[None]:
    """Open many connections that say nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    opened = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection(("127.0.0.1", served.port), 60))
        yield
    finally:
        for one in opened:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def slow(served: Served, count: int) -> Iterator[None]:
    """Begin requests that never come to their end: half of them in the headers, half in the body."""
    opened = []
    try:
        for number in range(count):
            one = served.connect()
            opened.append(one)
            head = b"POST /v1/webhook HTTP/1.1\r\nHost: x\r\n"
            one.sendall(head + (b"X-Slow: " if number % 2 else b"Content-Length: 9\r\n\r\n{"))
        yield
    finally:
        for one in opened:
            one.close()
