"""What is no swarm matter goes to the node's engine and back, byte for byte."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from reconciler.api import serve_node, system
from reconciler.api.ports import LocalState, Standing
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole
from reconciler.model.replication import Backup

WAIT_S = 60.0
OWN = {"Name": "mine", "Id": "a" * 64, "Scope": "local", "Driver": "bridge", "Labels": {}}
OF_SWARM = {**OWN, "Name": "inner", "Id": "b" * 64, "Labels": {"com.docker.swarm.network.id": "x"}}


ASKED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass
class NodeWithEngine:
    """A node in no swarm."""

    engine_host: str | None

    def standing(self) -> Standing:
        return Standing(LocalState.INACTIVE)

    def description(self) -> JsonObject:
        return {"Hostname": "n"}

    async def init(self, request: JsonObject) -> str:
        raise NotImplementedError

    async def join(self, request: JsonObject) -> None:
        raise NotImplementedError

    async def leave(self, *, force: bool) -> None:
        raise NotImplementedError

    async def unlock(self, key: str) -> None:
        raise NotImplementedError

    async def unlock_key(self) -> str:
        raise NotImplementedError

    def backup(self) -> AbstractAsyncContextManager[Backup]:
        raise NotImplementedError

    async def update_swarm(
        self, version: int, spec: JsonObject, *, rotate: Collection[NodeRole] = (), rotate_unlock_key: bool = False
    ) -> None:
        raise NotImplementedError


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response(
        {"method": request.method, "path": request.raw_path, "body": body.decode()}, status=201, headers={"X-Own": "1"}
    )


async def headers_of(request: web.Request) -> web.Response:
    return web.json_response({name: request.headers.get(name) for name in ASKED})


async def joined(request: web.Request) -> web.StreamResponse:
    """Answer as an engine does to an attach: switch, then say back in capitals whatever comes."""
    transport = request.transport
    assert transport is not None
    transport.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")

    ended = asyncio.Event()

    class Shout(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            transport.write(data.upper())

        def eof_received(self) -> None:
            ended.set()
            transport.write(b"BYE")

    transport.set_protocol(Shout())
    await ended.wait()
    return web.Response()


async def networks(_: web.Request) -> web.Response:
    return web.json_response([OWN, OF_SWARM])


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(json.dumps({"Type": "container", "asked": dict(request.query)}).encode() + b"\n")
    await asyncio.Event().wait()
    return response


async def prune(request: web.Request) -> web.Response:
    return web.json_response({"NetworksDeleted": ["mine", request.query["filters"]]})


@pytest.fixture
async def api() -> AsyncIterator[str]:
    """The path of a node's socket, whose engine is a small one of the test's."""
    engine = web.Application()
    engine.router.add_get("/networks", networks)
    engine.router.add_get("/events", events)
    engine.router.add_post("/networks/prune", prune)
    engine.router.add_post("/commit", headers_of)
    engine.router.add_post("/containers/x/attach", joined)
    engine.router.add_route("*", "/{rest:.*}", echo)
    runner = web.AppRunner(engine, handler_cancellation=True)
    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        await runner.setup()
        await web.UnixSite(runner, f"{folder}/engine.sock").start()
        node = NodeWithEngine(f"unix://{folder}/engine.sock")
        async with serve_node(node, f"unix://{folder}/api.sock"):
            yield str(Path(folder) / "api.sock")
        await runner.cleanup()


async def test_requests_and_answers_pass_whole(api: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(api)) as session:
        body = b"x" * 300_000
        async with session.post(URL("http://d/v1.47/containers/create?name=a%2Fb", encoded=True), data=body) as answer:
            told = await answer.json()
            assert (answer.status, answer.headers["X-Own"]) == (201, "1")
        assert told == {"method": "POST", "path": "/containers/create?name=a%2Fb", "body": body.decode()}
        async with session.get("http://d/distribution/some/image:1/json") as answer:
            assert (await answer.json())["path"] == "/distribution/some/image:1/json"
        async with session.get("http://d/nothing") as answer:
            assert answer.status == 404


async def test_the_engine_is_told_no_more_than_the_client_tells(api: str) -> None:
    """Of a body's type `docker commit` says nothing; who accepts gzip is sent files of containers in it."""
    url = "http://d/v1.47/commit?container=x"
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(api)) as session:
        async with session.post(url, data=b"null", skip_auto_headers=ASKED) as answer:
            assert await answer.json() == dict.fromkeys(ASKED)
        told = dict.fromkeys(ASKED, "application/json")
        async with session.post(url, data=b"{}", headers=told) as answer:
            assert await answer.json() == told


async def test_events_are_the_engines_too(api: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(api)) as session:
        query = {"filters": '{"type":["container"]}', "since": "1"}
        async with session.get("http://d/events", params=query) as answer, asyncio.timeout(WAIT_S):
            assert json.loads(await answer.content.readline()) == {"Type": "container", "asked": query}


async def test_the_engine_prunes_its_networks_but_for_what_stands_for_the_swarms(api: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(api)) as session:
        async with session.post("http://d/networks/prune", params={"filters": '{"label":["a"]}'}) as answer:
            name, asked = (await answer.json())["NetworksDeleted"]
        assert (name, json.loads(asked)) == ("mine", {"label": ["a"], "label!": ["com.docker.swarm.network.id"]})
        async with session.get("http://d/networks/mine") as answer:
            assert (await answer.json())["path"] == "/networks/mine", "its containers are told by the engine alone"


async def test_networks_are_the_engines_but_for_what_stands_for_the_swarms(api: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(api)) as session:
        async with session.get("http://d/networks") as answer:
            assert [one["Name"] for one in await answer.json()] == ["mine"]
        async with session.post("http://d/networks/create", json={"Name": "n"}) as answer:
            assert (await answer.json())["path"] == "/networks/create"


async def test_a_connection_that_is_taken_over_is_joined(api: str) -> None:
    reader, writer = await asyncio.open_unix_connection(api)
    writer.write(
        b"POST /v1.47/containers/x/attach?stream=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert b" 101 " in await asyncio.wait_for(reader.readline(), 5)
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    for word in (b"hello", b"again"):
        writer.write(word)
        assert await asyncio.wait_for(reader.readexactly(5), 5) == word.upper()
    writer.write_eof()  # as `docker run` without -i does at once; what is printed comes all the same
    assert await asyncio.wait_for(reader.read(), 5) == b"BYE"
    writer.close()


async def test_an_engine_that_is_gone_is_told() -> None:
    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        node = NodeWithEngine(f"unix://{folder}/nobody.sock")
        async with serve_node(node, f"unix://{folder}/api.sock"):
            connector = aiohttp.UnixConnector(f"{folder}/api.sock")
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get("http://d/containers/json") as answer,
            ):
                assert answer.status == 503
                assert "can't be reached" in (await answer.json())["message"]


@pytest.mark.parametrize("hangs", [False, True])
async def test_the_swarm_is_told_of_where_the_engine_is_gone(hangs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "INFO_WAIT_S", 0.05)
    silent = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        engine = await asyncio.start_unix_server(say_nothing, f"{folder}/engine.sock")
        if not hangs:
            engine.close()
        node = NodeWithEngine(f"unix://{folder}/engine.sock")
        async with serve_node(node, f"unix://{folder}/api.sock"):
            connector = aiohttp.UnixConnector(f"{folder}/api.sock")
            async with aiohttp.ClientSession(connector=connector) as session, session.get("http://d/info") as answer:
                told = await answer.json()
        silent.set()
        engine.close()
    assert (told["Name"], told["Swarm"]["LocalNodeState"]) == ("n", "inactive")
    assert "can't be reached" in told["Warnings"][0]
