"""Connections with TLS: kept as others are, cut as others are, and with files that can't be used told."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from reconciler.adapters.docker.connections import Connections, Request, Stream
from reconciler.adapters.docker.contexts import TlsFiles, tls_files
from reconciler.adapters.docker.dialing import tls_context
from reconciler.adapters.docker.endpoints import Endpoint
from reconciler.adapters.docker.engine import Engine
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.lab.tls import Authority
from tests.unit.adapters.docker.scripted import WAIT_S, scripted

PING = Request("GET", "/_ping", {})
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def served(identity: Path, script: Callable[[ssl.SSLSocket, int], None]) -> Iterator[int]:
    """Serve `script` with TLS at a port of loopback; yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
    listening = socket.create_server(("127.0.0.1", 0))
    port = int(listening.getsockname()[1])
    with scripted(listening, lambda plain: context.wrap_socket(plain, server_side=True), script):
        yield port


def endpoint(port: int, files: TlsFiles, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(f"tcp://{host}:{port}", "the engine", files)


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return Authority("lab").issue(tmp_path / "identity")


def test_a_connection_with_tls_is_kept_for_the_next_request(identity: Path) -> None:
    used: list[int] = []

    def script(connection: ssl.SSLSocket, number: int) -> None:
        while connection.recv(65_536):
            used.append(number)
            connection.sendall(OK)

    with served(identity, script) as port:
        connections = Connections(endpoint(port, tls_files(identity, verify=True)), WAIT_S)
        assert [connections.ask(PING).content for _ in range(5)] == [b"ok"] * 5
        connections.close()
    assert used == [0] * 5


def test_what_comes_after_an_answer_is_not_the_next_one(identity: Path) -> None:
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplanted" * 300  # one record, and more than a buffer

    def script(connection: ssl.SSLSocket, number: int) -> None:
        if connection.recv(65_536):
            connection.sendall(OK if number else OK + surplus)
            connection.recv(65_536)

    with served(identity, script) as port:
        connections = Connections(endpoint(port, tls_files(identity, verify=True)), WAIT_S)
        assert [connections.ask(PING).content for _ in range(2)] == [b"ok"] * 2
        connections.close()


def test_a_stream_with_tls_is_cut_by_another_thread(identity: Path) -> None:
    over = threading.Event()

    def script(connection: ssl.SSLSocket, _: int) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
        over.wait(WAIT_S)

    with served(identity, script) as port:
        stream = Connections(endpoint(port, tls_files(identity, verify=True)), WAIT_S).open(PING)
        assert isinstance(stream, Stream)
        pieces = stream.pieces()
        assert next(pieces) == b"{}"
        threading.Timer(0.1, stream.cut).start()
        with pytest.raises((http.client.IncompleteRead, ssl.SSLEOFError)):
            next(pieces)
        over.set()


def test_who_does_not_verify_believes_anybody(identity: Path, tmp_path: Path) -> None:
    def script(connection: ssl.SSLSocket, _: int) -> None:
        connection.recv(65_536)
        connection.sendall(OK)

    stranger = tls_files(Authority("other").issue(tmp_path / "other"), verify=False)
    with served(identity, script) as port:
        assert Connections(endpoint(port, stranger, "localhost"), WAIT_S).ask(PING).content == b"ok"


def refused(to: Endpoint) -> SwarmctlError:
    with pytest.raises(SwarmctlError) as raised:
        Engine(to, WAIT_S).negotiate()
    assert raised.value.code is ErrorCode.ENGINE_UNREACHABLE
    return raised.value


def test_a_certificate_for_another_name_is_told(identity: Path) -> None:
    with served(identity, lambda *_: None) as port:
        error = refused(endpoint(port, tls_files(identity, verify=True), "localhost"))
    assert "TLS failed" in error.problems[0].why
    assert "localhost" in error.problems[0].why


@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem"])
def test_a_file_that_is_none_of_tls_is_told(identity: Path, name: str) -> None:
    (identity / name).write_text("nothing\n")
    assert "TLS failed" in refused(endpoint(1, tls_files(identity, verify=True))).problems[0].why


def test_a_key_with_a_password_is_refused_without_a_question_on_the_terminal(identity: Path) -> None:
    path = identity / "key.pem"
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"locked")
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    assert "TLS failed" in refused(endpoint(1, tls_files(identity, verify=True))).problems[0].why


def test_without_an_authority_those_of_the_system_are_believed(identity: Path) -> None:
    (identity / "ca.pem").unlink()
    context = tls_context(tls_files(identity, verify=True))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    with served(identity, lambda *_: None) as port:
        assert "TLS failed" in refused(endpoint(port, TlsFiles(verify=True))).problems[0].why
