"""What somebody does who reaches a member's port, with and without a certificate. All of it blocks."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from reconciler.adapters.raft.transport.framing import HEADER
from reconciler.adapters.raft.transport.tls import PROTOCOL

PATIENCE_S = 20.0

Address = tuple[str, int]
Attack = Callable[[Address], None]


def tls(identity: Path | None, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A client that believes anybody, with a node's certificate or without any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols([PROTOCOL])
    if identity is not None:
        context.load_cert_chain(identity / "node.pem")
    return context


def connected(address: Address) -> socket.socket:
    return socket.create_connection(address, timeout=PATIENCE_S)


def read_until_closed(connection: socket.socket) -> bytes:
    """What the other side says before it closes. Raises TimeoutError when it does not close."""
    content = b""
    try:
        while piece := connection.recv(65536):
            content += piece
    except (ConnectionError, ssl.SSLError):
        pass  # closing in the other side's face, or with an alert, is closing as well
    return content


def shake_hands(context: ssl.SSLContext) -> Attack:
    """Connect with TLS and wait for the door to shut."""

    def attack(address: Address) -> None:
        with connected(address) as plain:
            try:
                with context.wrap_socket(plain) as secured:
                    read_until_closed(secured)
            except (ConnectionError, ssl.SSLError):
                pass

    return attack


def say(content: bytes) -> Attack:
    """Send bytes that are no TLS, and wait for the door to shut."""

    def attack(address: Address) -> None:
        with connected(address) as plain:
            with contextlib.suppress(ConnectionError):
                plain.sendall(content)
            read_until_closed(plain)

    return attack


def say_slowly(content: bytes, pause_s: float = 0.05) -> Attack:
    """Send bytes one at a time until nobody takes them any more."""

    def attack(address: Address) -> None:
        with connected(address) as plain:
            _drip(plain, content, pause_s)

    return attack


def huge_frame(context: ssl.SSLContext, size: int = 2**31, sent_max: int = 64 * 1024 * 1024) -> Attack:
    """As a member: announce a frame and send what one can of it."""

    def attack(address: Address) -> None:
        with connected(address) as plain, context.wrap_socket(plain) as secured:
            sent = 0
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                secured.sendall(HEADER.pack(size))
                while sent < sent_max:
                    secured.sendall(bytes(1024 * 1024))
                    sent += 1024 * 1024
            assert sent < sent_max, "the door stayed open"

    return attack


def slow_frame(context: ssl.SSLContext, pause_s: float = 0.05) -> Attack:
    """As a member: announce an allowed frame and send it one byte at a time."""

    def attack(address: Address) -> None:
        with connected(address) as plain, context.wrap_socket(plain) as secured:
            _drip(secured, HEADER.pack(1024 * 1024) + bytes(1000), pause_s)

    return attack


def hurl(context: ssl.SSLContext, frames: Sequence[bytes], times: int = 1) -> Attack:
    """As a member: send frames as fast as they are taken, so many times over, and pass over the answers."""
    together = b"".join(HEADER.pack(len(frame)) + frame for frame in frames)

    def attack(address: Address) -> None:
        with connected(address) as plain, context.wrap_socket(plain) as secured:
            for _ in range(times):
                secured.sendall(together)
                _drain(secured)
            secured.shutdown(socket.SHUT_WR)
            read_until_closed(secured)

    return attack


def _drain(secured: ssl.SSLSocket) -> None:
    """Read what is there: who takes no answers is cut off."""
    secured.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        while secured.recv(65536):
            pass
    secured.settimeout(PATIENCE_S)


def crawl(context: ssl.SSLContext, count: int, pause_s: float = 0.05) -> Attack:
    """Begin so many handshakes at once, each with a right first message, byte after byte, until all are shut."""

    def hello() -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(incoming, outgoing).do_handshake()
        return outgoing.read()

    def attack(address: Address) -> None:
        with contextlib.ExitStack() as stack:
            held = {stack.enter_context(connected(address)): hello() for _ in range(count)}
            while held:
                for connection, left in list(held.items()):
                    connection.setblocking(False)
                    try:
                        connection.sendall(left[:1])
                        held[connection] = left[1:]
                        if not connection.recv(65536):
                            del held[connection]
                    except BlockingIOError:
                        continue
                    except ConnectionError:
                        del held[connection]
                time.sleep(pause_s)

    return attack


def occupy(count: int) -> Attack:
    """Hold so many connections, and say nothing on any of them, until all are closed."""

    def attack(address: Address) -> None:
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(connected(address)) for _ in range(count)]
            for connection in held:
                read_until_closed(connection)

    return attack


def _drip(connection: socket.socket, content: bytes, pause_s: float) -> None:
    for byte in content:
        try:
            connection.sendall(bytes((byte,)))
        except (ConnectionError, ssl.SSLError):
            return
        time.sleep(pause_s)
    raise AssertionError("all of it was taken")
