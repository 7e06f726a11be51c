"""Where the API listens, who may connect, and how it ends."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import time
from pathlib import Path

import aiohttp
import pytest

from reconciler.adapters.docker.cluster import connect
from reconciler.api import serve
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.settings import EndpointSettings
from tests.unit.api.conftest import Api


async def ping(host: str, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{host.replace('tcp://', 'http://')}/_ping", headers=headers) as response,
    ):
        return response.status


async def test_only_this_user_may_connect_to_the_socket(api: Api) -> None:
    mode = os.stat(api.host.removeprefix("unix://")).st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_the_socket_goes_with_the_server(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "other.sock"
    async with serve(api.cluster, f"unix://{path}"):
        assert path.exists()
    assert not path.exists()


async def test_a_dead_socket_is_replaced(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serve(api.cluster, f"unix://{path}") as server:
        await (await connect(EndpointSettings(host=server.host))).close()


async def test_a_live_socket_is_refused_and_goes_on(api: Api) -> None:
    with pytest.raises(SwarmctlError) as raised:
        async with serve(api.cluster, api.host):
            pass
    assert raised.value.code is ErrorCode.EMBEDDED_ALREADY_RUNNING
    assert (await api.ask("GET", "/_ping")).status == 200


async def test_a_file_in_the_way_is_not_removed(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(SwarmctlError) as raised:
        async with serve(api.cluster, f"unix://{path}"):
            pass
    assert raised.value.code is ErrorCode.EMBEDDED_FAILED
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("unix:///nowhere/at/all.sock", ErrorCode.EMBEDDED_FAILED),
        ("unix://relative.sock", ErrorCode.BAD_SETTING),
        (f"unix:///{'x' * 120}", ErrorCode.BAD_SETTING),
        ("tcp://0.0.0.0:0", ErrorCode.BAD_SETTING),
        ("tcp://example.org:1", ErrorCode.BAD_SETTING),
        ("tcp://127.0.0.1", ErrorCode.BAD_SETTING),
        ("ssh://localhost", ErrorCode.BAD_SETTING),
        ("nonsense", ErrorCode.BAD_SETTING),
    ],
)
async def test_a_place_where_nobody_can_or_should_listen(api: Api, host: str, code: ErrorCode) -> None:
    with pytest.raises(SwarmctlError) as raised:
        async with serve(api.cluster, host):
            pass
    assert raised.value.code is code


async def test_a_loopback_port_serves_programs_and_no_web_pages(api: Api) -> None:
    async with serve(api.cluster, "tcp://127.0.0.1:0") as server:
        assert await ping(server.host) == 200
        assert await ping(server.host, Host="localhost:2375") == 200
        assert await ping(server.host, Origin="http://evil.example") == 403
        assert await ping(server.host, Host="evil.example") == 403

        with pytest.raises(SwarmctlError) as raised:
            async with serve(api.cluster, server.host):
                pass
        assert raised.value.code is ErrorCode.EMBEDDED_ALREADY_RUNNING


async def test_stopping_ends_open_event_streams(api: Api, tmp_path: Path) -> None:
    async with serve(api.cluster, f"unix://{tmp_path}/s.sock") as server:
        cluster = await connect(EndpointSettings(host=server.host))
        stream = cluster.events()
        waiting = asyncio.ensure_future(anext(stream))
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "s.sock"))) as session:
            response = await session.get("http://docker/events")  # so that the other one is open too, or soon will be
            await asyncio.sleep(0.2)
            began = time.monotonic()
            stopping = time.monotonic
    assert stopping() - began < 2
    response.close()
    with pytest.raises(SwarmctlError) as raised:
        await asyncio.wait_for(waiting, 5)
    assert raised.value.code is ErrorCode.ENGINE_UNREACHABLE
    await cluster.close()


async def test_a_client_that_goes_away_frees_its_stream(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.api.streams.STREAMS_MAX", 1)
    first = await api.session.get("http://docker/events")
    second = await api.ask("GET", "/events")
    assert (second.status, "streams already" in second.message) == (503, True)
    first.close()
    for _ in range(100):
        again = await api.session.get("http://docker/events")
        again.close()
        if again.status == 200:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("The stream of a client that went away is still open.")


async def test_a_port_that_this_user_may_not_have_is_not_told_as_taken(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_socket: socket.socket, _address: object) -> None:
        raise PermissionError(13, "Permission denied")  # as ports below 1024 are to all but root

    monkeypatch.setattr(socket.socket, "bind", refused)
    with pytest.raises(SwarmctlError) as raised:
        async with serve(api.cluster, "tcp://127.0.0.1:1"):
            pass
    assert raised.value.code is ErrorCode.EMBEDDED_FAILED
