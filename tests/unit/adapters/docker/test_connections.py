"""One engine's connections, over real sockets: kept, given up, ended, and never asked twice."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.adapters.docker import ssh
from reconciler.adapters.docker.cluster import DockerCluster
from reconciler.adapters.docker.connections import Answer, Connections, Request, Stream
from reconciler.adapters.docker.endpoints import Endpoint
from reconciler.adapters.docker.engine import Engine
from reconciler.adapters.docker.streams import EventStream, _messages
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind
from tests.unit.adapters.docker.scripted import WAIT_S, scripted

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PING = Request("GET", "/_ping", {})
Script = Callable[[socket.socket, int], None]


@contextmanager
def served(folder: Path, script: Script) -> Iterator[Endpoint]:
    """Serve `script` at a unix socket."""
    path = folder / "engine.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(8)
    with scripted(listening, lambda plain: plain, script):
        yield Endpoint(f"unix://{path}", "the engine")


def read_head(connection: socket.socket) -> bytes:
    """Read a request without a body; b"" at the end of the connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        read = connection.recv(65_536)
        if not read:
            return b""
        head += read
    return head


def answers(connection: socket.socket, *contents: bytes) -> None:
    for content in contents:
        if not read_head(connection):
            return
        connection.sendall(content)


def test_a_connection_is_kept_for_the_next_request(tmp_path: Path) -> None:
    used: list[int] = []

    def script(connection: socket.socket, number: int) -> None:
        while read_head(connection):
            used.append(number)
            connection.sendall(OK)

    with served(tmp_path, script) as endpoint:
        connections = Connections(endpoint, WAIT_S)
        assert [connections.ask(PING).content for _ in range(5)] == [b"ok"] * 5
        connections.close()
    assert used == [0] * 5


def test_what_another_thread_closes_meanwhile_is_no_fault(tmp_path: Path) -> None:
    """A request that ends after `close` closes what is idle as well, in its own thread."""
    with served(tmp_path, lambda connection, _: answers(connection, OK)) as endpoint:
        connections = Connections(endpoint, WAIT_S)
        connections.ask(PING)
        (kept,) = connections._idle
        connections._idle.appendleft(http.client.HTTPConnection("closed"))
        connections.close()
        assert kept.sock is None
        assert not connections._idle


def test_one_that_the_engine_has_closed_meanwhile_is_not_used_again(tmp_path: Path) -> None:
    closed = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        answers(connection, OK)
        connection.close()
        closed.set()

    with served(tmp_path, script) as endpoint:
        connections = Connections(endpoint, WAIT_S)
        for _ in range(3):
            assert connections.ask(PING).content == b"ok"
            assert closed.wait(WAIT_S)
            closed.clear()


@pytest.mark.parametrize(
    "last",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_an_answer_that_is_the_connections_last_is_read_whole(tmp_path: Path, last: bytes) -> None:
    with served(tmp_path, lambda connection, _: answers(connection, last)) as endpoint:
        connections = Connections(endpoint, WAIT_S)
        assert [connections.ask(PING).content for _ in range(3)] == [b"ok"] * 3


def test_a_refusal_before_the_body_was_read_is_told(tmp_path: Path) -> None:
    def script(connection: socket.socket, _: int) -> None:
        connection.recv(1_000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        connection.shutdown(socket.SHUT_RD)

    with served(tmp_path, script) as endpoint:
        answer = Connections(endpoint, WAIT_S).ask(Request("POST", "/configs/create", {}, b"x" * 10_000_000))
    assert (answer.status, answer.content) == (413, b"big")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "hung up without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", "broke off"),
        (CHUNKED + b"5\r\nab", "broke off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not that of a Docker Engine"),
        (b"HTTP/1.1 200 OK\r\nApi-Version: one\r\nContent-Length: 0\r\n\r\n", "not that of a Docker Engine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999999\r\n\r\nok", "broke off"),
        (CHUNKED + b"FFFFFFFFFFFFFFFFFFFFFF\r\nab", "broke off"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, "not that of a Docker Engine"),
    ],
)
def test_what_is_no_whole_answer_of_an_engine_is_told(tmp_path: Path, said: bytes, why: str) -> None:
    with served(tmp_path, lambda connection, _: answers(connection, said)) as endpoint:
        engine = Engine(endpoint, WAIT_S)
        with pytest.raises(SwarmctlError) as raised:
            engine.negotiate()
        engine.close()
    assert raised.value.code is ErrorCode.ENGINE_UNREACHABLE
    assert why in raised.value.problems[0].why


def test_an_answer_that_stops_in_the_middle_is_waited_for_only_so_long(tmp_path: Path) -> None:
    over = threading.Event()

    def script(connection: socket.socket, _: int) -> None:
        answers(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")
        over.wait(WAIT_S)

    with served(tmp_path, script) as endpoint:
        with pytest.raises(TimeoutError):
            Connections(endpoint, 0.2).ask(PING)
        over.set()


def test_an_interim_answer_is_never_taken_for_that_of_the_next_request(tmp_path: Path) -> None:
    """http.client knows none but 100."""
    continued = b"HTTP/1.1 100 Continue\r\n\r\n"

    def script(connection: socket.socket, number: int) -> None:
        answers(connection, *([b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK] if number == 0 else [continued + OK] * 2))

    with served(tmp_path, script) as endpoint:
        connections = Connections(endpoint, WAIT_S)
        with pytest.raises(http.client.HTTPException):
            connections.ask(PING)
        assert [connections.ask(PING).content for _ in range(2)] == [b"ok"] * 2
        connections.close()


def test_a_stream_that_does_not_begin_is_waited_for_only_so_long(tmp_path: Path) -> None:
    over = threading.Event()

    def script(_: socket.socket, __: int) -> None:
        over.wait(WAIT_S)

    with served(tmp_path, script) as endpoint:
        with pytest.raises(TimeoutError):
            Connections(endpoint, 0.2).open(PING)
        over.set()


@pytest.mark.parametrize(
    "sent", [b"[]", b'{"Actor": "x"}', b'{"timeNano": "x"}', b"[" * 100_000 + b"]" * 100_000], ids=lambda sent: sent[:9]
)
async def test_who_reads_events_hears_of_what_are_none(tmp_path: Path, sent: bytes) -> None:
    body = CHUNKED + b"%x\r\n%s\r\n" % (len(sent), sent)
    with served(tmp_path, lambda connection, _: answers(connection, body)) as endpoint:
        engine = Engine(endpoint, WAIT_S)
        stream = EventStream(engine)
        with pytest.raises(SwarmctlError) as raised:
            await asyncio.wait_for(anext(stream), WAIT_S)
        await stream.aclose()
        engine.close()
    assert raised.value.code is ErrorCode.ENGINE_UNREACHABLE


@pytest.mark.parametrize("told", [b"[1]", b"3", b'"x"', b"null", b"[" * 100_000], ids=lambda told: told[:5])
def test_a_version_that_is_none_is_told(tmp_path: Path, told: bytes) -> None:
    ping = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    version = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told)
    with served(tmp_path, lambda connection, _: answers(connection, ping, version)) as endpoint:
        engine = Engine(endpoint, WAIT_S)
        with pytest.raises(SwarmctlError) as raised:
            engine.negotiate()
        engine.close()
    assert "not that of a Docker Engine" in raised.value.problems[0].why


async def test_a_body_that_is_no_text_is_told(tmp_path: Path) -> None:
    engine = Engine(Endpoint(f"unix://{tmp_path}/none.sock", "the engine"), WAIT_S)
    with pytest.raises(SwarmctlError):
        await engine.post("configs", "create\udc80", body={"Name": "a"})
    engine.close()


def test_neither_a_request_nor_an_answer_shows_what_it_holds() -> None:
    request = Request("POST", "/secrets/create", {"X-Registry-Auth": "hush"}, b"hush")
    assert "hush" not in repr((request, Answer(200, http.client.HTTPMessage(), b"hush")))


@pytest.mark.parametrize("head", [b"200 OK", b"204 No Content"])
async def test_an_empty_answer_to_an_update_of_a_service_is_no_success(tmp_path: Path, head: bytes) -> None:
    """An engine answers with its warnings, `null` included. What has none may come from a proxy, and nobody updated."""
    empty = b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n"
    told = b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"Warnings":null}'

    def script(connection: socket.socket, _number: int) -> None:
        for answer in (empty, told):
            request = b""
            while not request.endswith(b"}"):
                request += connection.recv(65_536)
            connection.sendall(answer)

    with served(tmp_path, script) as endpoint:
        cluster = DockerCluster(Engine(endpoint, WAIT_S))
        with pytest.raises(SwarmctlError) as caught:
            await cluster.update(Kind.SERVICE, "x", 1, {})
        await cluster.update(Kind.SERVICE, "x", 1, {})
        await cluster.close()
    assert (caught.value.code, caught.value.passing) == (ErrorCode.ENGINE_UNREACHABLE, True)


def test_a_redirect_is_an_answer_like_any_other(tmp_path: Path) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with served(tmp_path, lambda connection, _: answers(connection, moved)) as endpoint:
        assert Connections(endpoint, WAIT_S).ask(PING).status == 302


def test_a_stream_is_told_piece_by_piece_until_it_is_cut(tmp_path: Path) -> None:
    over = threading.Event()

    def script(connection: socket.socket, _: int) -> None:
        answers(connection, CHUNKED + b"4\r\n{}\n{\r\n")
        over.wait(WAIT_S)

    with served(tmp_path, script) as endpoint:
        stream = Connections(endpoint, 0.1).open(PING)
        assert isinstance(stream, Stream)
        pieces = stream.pieces()
        assert next(pieces) == b"{}\n{"
        threading.Timer(0.3, stream.cut).start()  # later than an answer that has an end may take
        with pytest.raises(http.client.IncompleteRead):
            next(pieces)
        stream.cut()  # once more does no harm
        over.set()


def test_a_stream_that_is_the_connections_last_can_be_cut_as_well(tmp_path: Path) -> None:
    over = threading.Event()

    def script(connection: socket.socket, _: int) -> None:
        answers(connection, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
        over.wait(WAIT_S)

    with served(tmp_path, script) as endpoint:
        stream = Connections(endpoint, WAIT_S).open(PING)
        assert isinstance(stream, Stream)
        pieces = stream.pieces()
        assert next(pieces) == b"abc"
        stream.cut()
        assert list(pieces) == []
        over.set()


def test_a_stream_that_is_refused_is_an_answer(tmp_path: Path) -> None:
    refused = b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nsorry"
    with served(tmp_path, lambda connection, _: answers(connection, refused)) as endpoint:
        answer = Connections(endpoint, WAIT_S).open(PING)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.content) == (500, b"sorry")


def test_a_character_may_be_cut_in_two(tmp_path: Path) -> None:
    message = '{"name": "café"}'.encode()
    halves = message[:14], message[14:]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(half), half) for half in halves) + b"0\r\n\r\n"
    with served(tmp_path, lambda connection, _: answers(connection, CHUNKED + chunks)) as endpoint:
        stream = Connections(endpoint, WAIT_S).open(PING)
        assert isinstance(stream, Stream)
        assert list(_messages(stream)) == [{"name": "café"}]


def test_an_answer_through_ssh_that_is_the_last_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client closes such a connection when it has read the head; the ssh program has to live on."""
    program = tmp_path / "ssh"
    head, content = r"HTTP/1.1 400 No\r\nConnection: close\r\n\r\n", "too bad"
    reads = "while read -r line && [ ${#line} -gt 1 ]; do :; done"
    program.write_text(f"#!/bin/sh\n{reads}\nprintf '{head}'; sleep 0.3; printf '{content}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(ssh, "STOP_WAIT_S", 0.05)
    answer = Connections(Endpoint("ssh://swarm.example", "the engine"), WAIT_S).ask(PING)
    assert (answer.status, answer.content) == (400, b"too bad")
