"""The API under attack: no token, floods, slow and endless bytes, web pages, our own bugs.

Nothing leaks, and nothing hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import ClientError
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from reconciler.controller_api import Access, ListenSettings, Role, Token, serve
from reconciler.controller_api import application as applications
from reconciler.controller_api import door as doors
from reconciler.controller_api import server as servers
from reconciler.controller_api.routes import ROUTES, Need
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.certificate import self_signed
from tests.fakes.controller import FakeController
from tests.unit.adapters.notify.test_outlet import until
from tests.unit.controller_api.conftest import READ, WRITE, Api, over_tls

GUARDED = [route for route in ROUTES if route.need not in (Need.OPEN, Need.SIGNED)]


@pytest.mark.parametrize("route", GUARDED, ids=lambda one: one.name)
@pytest.mark.parametrize("token", ["", "wrong-token-0123456789", READ[:-1], READ + "x", "x" * 5000, "ü" * 30])
async def test_nobody_gets_in_without_a_token(remote: Api, route, token: str) -> None:
    answer = await remote.ask(route.method, route.path, token=token, json={"stacks": ["web"]})
    assert answer.status in (400, 401)  # 400: no header may be that long, or hold that
    if answer.status == 401:
        assert answer.json["code"] == "api-refused"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert remote.controller.asked == []


@pytest.mark.parametrize("route", [one for one in ROUTES if one.need is Need.WRITE], ids=lambda one: one.name)
async def test_a_token_for_reading_changes_nothing(remote: Api, route) -> None:
    answer = await remote.ask(route.method, route.path, token=READ, json={"stack": "web"})
    assert (answer.status, answer.json["code"]) == (403, "api-refused")
    assert remote.controller.asked == []
    assert (await remote.ask("GET", "/v1/status", token=READ)).status == 200


async def test_probes_need_no_token_and_tell_nothing(remote: Api) -> None:
    answer = await remote.ask("GET", "/healthz", token="")
    assert (answer.status, answer.json) == (200, {"ok": True, "why": ""})


async def test_unknown_paths_tell_nobody_whether_they_exist(remote: Api) -> None:
    assert (await remote.ask("GET", "/v1/nothing", token="")).status == 401
    assert (await remote.ask("GET", "/v1/nothing")).status == 404


@pytest.mark.parametrize("path", ["/v1/status", "/v1/webhook", "/v1/sync"])
async def test_web_pages_are_refused_even_on_the_socket(local: Api, path: str) -> None:
    answer = await local.ask("POST" if path != "/v1/status" else "GET", path, headers={"Origin": "https://evil.test"})
    assert answer.status == 403
    assert local.controller.asked == []


def test_short_tokens_do_not_count() -> None:
    access = Access([Token("a", Role.WRITE, ""), Token("b", Role.WRITE, "short")])
    assert access.caller("Bearer ") is None
    assert access.caller("Bearer short") is None
    assert access.caller("Basic " + WRITE) is None
    assert "short" not in repr(access)


async def test_a_thousand_wrong_tokens_are_logged_once_and_never_themselves(remote: Api) -> None:
    with capture_logs() as logged:
        for number in range(50):
            await remote.ask("GET", "/v1/status", token=f"guess-{number:020}")
    assert [line["event"] for line in logged] == ["request refused"]
    assert "guess" not in str(logged)
    assert {one[1:] for one in remote.controller.counted} == {("/v1/status", 401)}


@pytest.mark.parametrize("path", ["/v1/sync", "/v1/webhook"])
async def test_a_body_of_a_gibibyte_is_refused_before_it_is_read(local: Api, path: str, tmp_path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {2**30}\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(60):
        assert b" 413 " in await reader.readline()
    writer.close()
    assert local.controller.asked == []


@pytest.mark.parametrize("path", ["/v1/sync", "/v1/webhook"])
async def test_an_endless_body_without_a_length_is_cut_off(local: Api, path: str) -> None:
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 64 * 1024
            yield b"x" * 64 * 1024

    with contextlib.suppress(ClientError, ConnectionError):  # it may hear of the end before of the answer
        async with asyncio.timeout(60):
            answer = await local.ask("POST", path, data=endless(), headers={"Content-Type": "application/json"})
            assert answer.status == 413
    assert sent < 64 * 1024 * 1024
    assert local.controller.asked == []


async def test_a_slow_body_is_given_up(tmp_path: Path, controller: FakeController) -> None:
    async def slow():
        yield b"{"
        await asyncio.sleep(60)

    async with over_tls(tmp_path, controller, body_s=0.1) as api, asyncio.timeout(60):
        answer = await api.ask("POST", "/v1/sync", data=slow(), headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["code"]) == (408, "api-too-slow")


async def test_slow_headers_are_shown_out_and_a_request_that_takes_long_is_not(
    tmp_path: Path, controller: FakeController
) -> None:
    controller.hold = asyncio.Event()
    async with over_tls(tmp_path, controller, headers_s=0.2) as api, asyncio.timeout(60):
        long = asyncio.create_task(api.ask("GET", "/v1/trace?name=x"))
        await until(lambda: controller.asked != [])
        port = int(api.base.rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"GET /v1/status HTTP/1.1\r\nX-Slow: ")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        controller.hold.set()
        assert (await long).status == 200
        writer.close()


async def test_more_connections_than_there_may_be_cost_only_silent_ones(
    local: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "CONNECTIONS_MAX", 5)
    silent = [await asyncio.open_unix_connection(str(tmp_path / "api.sock")) for _ in range(20)]
    assert (await local.ask("GET", "/healthz")).status == 200
    for reader, writer in silent[:10]:
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
    for _, writer in silent[10:]:
        writer.close()


async def test_connections_without_a_word_of_tls_are_bounded_before_they_time_out(
    tmp_path: Path, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "HANDSHAKES_MAX", 3)
    monkeypatch.setattr(servers, "HANDSHAKE_S", 600.0)
    async with over_tls(tmp_path, controller, headers_s=600.0) as api, asyncio.timeout(60):
        port = int(api.base.rpartition(":")[2])
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for reader, _ in silent[:17]:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert (await api.ask("GET", "/healthz")).status == 200
        for _, writer in silent:
            writer.close()


async def test_many_requests_at_once_are_turned_away_and_probes_are_not(
    local: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applications, "REQUESTS_MAX", 3)
    local.controller.hold = asyncio.Event()
    held = [asyncio.create_task(local.ask("GET", "/v1/trace?name=x")) for _ in range(3)]
    await until(lambda: len(local.controller.asked) == 3)
    answer = await local.ask("GET", "/v1/status")
    assert (answer.status, answer.json["code"]) == (503, "api-overloaded")
    assert (await local.ask("GET", "/healthz")).status == 200
    local.controller.hold.set()
    assert [one.status for one in await asyncio.gather(*held)] == [200] * 3
    assert (await local.ask("GET", "/v1/status")).status == 200


async def test_a_bug_of_ours_is_told_without_its_text(local: Api, capsys) -> None:
    local.controller.failure = ValueError("hunter2")
    with capture_logs() as logged:
        answer = await local.ask("GET", "/v1/trace?name=x")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert "hunter2" not in answer.text + str(logged) + capsys.readouterr().err
    assert "ValueError in _ask" in str(logged)


async def test_what_is_no_http_is_answered_and_leaves_no_traceback(local: Api, tmp_path: Path, capsys, caplog) -> None:
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
    writer.write(b"\x80\x04\x95pickle\r\n\r\n")
    async with asyncio.timeout(60):
        assert b" 400 " in await reader.readline()
    writer.close()
    assert "Traceback" not in caplog.text + capsys.readouterr().err


@pytest.mark.parametrize("sent", [b"\x80\x04\x95pickle" * 100, b"GET /v1/status HTTP/1.1\r\n\r\n", b""])
async def test_what_is_no_tls_is_dropped_and_leaves_no_traceback(remote: Api, sent: bytes, capsys, caplog) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(remote.base.rpartition(":")[2]))
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in await reader.read()
    writer.close()
    assert (await remote.ask("GET", "/v1/status")).status == 200
    assert "Traceback" not in caplog.text + capsys.readouterr().err


async def test_only_this_user_reaches_the_socket(local: Api, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "api.sock").stat().st_mode) == 0o600


async def test_a_live_socket_is_not_taken_and_a_dead_one_is(local: Api, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with pytest.raises(SwarmctlError) as raised:
        async with serve(local.controller, Access(local=True), ListenSettings(unix_path=str(path))):
            pass
    assert raised.value.code is ErrorCode.API_LISTEN_FAILED
    import socket

    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(dead))
    async with serve(local.controller, Access(local=True), ListenSettings(unix_path=str(dead))) as address:
        assert address == f"unix://{dead}"
    assert not dead.exists()


@pytest.mark.parametrize(
    ("access", "settings"),
    [
        (Access(), ListenSettings()),
        (Access(), ListenSettings(unix_path="/tmp/x.sock")),
        (Access(local=True), ListenSettings(host="127.0.0.1", port=0)),
        (Access(), ListenSettings(host="127.0.0.1", port=0)),
        (Access(local=True), ListenSettings(unix_path="relative.sock")),
    ],
)
async def test_nothing_is_served_without_tls_or_a_token(controller: FakeController, access, settings) -> None:
    with pytest.raises(SwarmctlError) as raised:
        async with serve(controller, access, settings):
            pass
    assert raised.value.code is ErrorCode.BAD_SETTING


@pytest.mark.parametrize("harm", ["gone", "another", "passphrase", "text"])
async def test_a_certificate_that_can_not_be_used_is_told_with_its_files_and_asks_nobody(
    controller: FakeController, tmp_path: Path, harm: str
) -> None:
    certificate, key = self_signed(tmp_path)
    (tmp_path / "other").mkdir()
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    harms: dict[str, Callable[[], object]] = {
        "gone": key.unlink,
        "another": lambda: key.write_bytes(self_signed(tmp_path / "other")[1].read_bytes()),
        "passphrase": lambda: key.write_bytes(loaded.private_bytes(pem, form, locked)),
        "text": lambda: key.write_text("no key"),
    }
    harms[harm]()
    settings = ListenSettings(host="127.0.0.1", port=0, certificate=str(certificate), key=str(key))
    with pytest.raises(SwarmctlError) as raised:
        async with serve(controller, Access(), settings):
            pass
    problem = raised.value.problems[0]
    assert problem.code is ErrorCode.BAD_SETTING
    assert str(key) in problem.why
    assert "api.keyFile" in problem.hint
