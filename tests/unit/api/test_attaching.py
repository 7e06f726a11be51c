"""Containers of the node's engine on the swarm's networks: on the bridges that stand for them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from reconciler.api import serve_node
from reconciler.api.attaching import STANDS_FOR, last_free
from reconciler.api.node import FixedNode, node_of
from reconciler.assembly import EmbeddedSettings, start_embedded_swarm
from reconciler.model.objects import Kind


@dataclass
class SmallEngine:
    """As much of an engine as containers and bridges need; it keeps what it was asked."""

    bridges: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/containers/{id}/json", self.container)
        app.router.add_get("/networks", self.networks)
        app.router.add_get("/networks/{name}", self.network)
        app.router.add_post("/networks/create", self.make)
        app.router.add_delete("/networks/{name}", self.remove)
        app.router.add_post("/{rest:.*}", self.take)
        return app

    async def container(self, request: web.Request) -> web.Response:
        is_there = request.match_info["id"] != "nobody"
        return web.json_response({"Id": "c" * 64} if is_there else {}, status=200 if is_there else 404)

    async def networks(self, _: web.Request) -> web.Response:
        return web.json_response(list(self.bridges.values()))

    async def network(self, request: web.Request) -> web.Response:
        found = self.bridges.get(request.match_info["name"])
        return web.json_response(found or {"message": "none"}, status=200 if found else 404)

    async def make(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bridges[body["Name"]] = {**body, "Id": body["Name"], "Scope": "local", "Containers": {}}
        return web.json_response({"Id": body["Name"]}, status=201)

    async def remove(self, request: web.Request) -> web.Response:
        del self.bridges[request.match_info["name"]]
        return web.Response(status=204)

    async def take(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, await request.json()))
        return web.json_response({"Id": "made"}, status=201)


class WithEngine(FixedNode):
    engine = ""

    @property
    def engine_host(self) -> str | None:
        return self.engine


@dataclass
class World:
    engine: SmallEngine
    session: aiohttp.ClientSession
    network: str

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.session.request(method, f"http://d{path}", json=body) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A manager whose engine has no bridge yet, in a swarm with the networks `att` and `closed`."""
    engine = SmallEngine()
    runner = web.AppRunner(engine.application())
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "engine.sock")).start()
    async with await start_embedded_swarm(EmbeddedSettings(data_dir=str(tmp_path / "swarm"))) as swarm:
        spec = {"Driver": "overlay", "IPAM": {"Config": [{"Subnet": "10.66.0.0/24"}]}}
        network = await swarm.cluster.create(Kind.NETWORK, {**spec, "Name": "att", "Attachable": True})
        await swarm.cluster.create(Kind.NETWORK, {"Driver": "overlay", "Name": "closed"})
        node = WithEngine((await node_of(swarm.cluster)).standing(), {})
        node.engine = f"unix://{tmp_path}/engine.sock"
        connector = aiohttp.UnixConnector(str(tmp_path / "api.sock"))
        async with (
            serve_node(node, f"unix://{tmp_path}/api.sock"),
            aiohttp.ClientSession(connector=connector) as session,
        ):
            yield World(engine, session, network)
    await runner.cleanup()


@pytest.mark.parametrize("by", ["name", "id"])
async def test_a_container_comes_onto_a_bridge_at_the_end_of_the_subnet(world: World, by: str) -> None:
    wanted = "att" if by == "name" else world.network
    body = {"Image": "i", "HostConfig": {"NetworkMode": wanted, "Memory": 5}}
    assert (await world.ask("POST", "/v1.47/containers/create?name=c", body))[0] == 201
    bridge = world.engine.bridges["att"]
    assert bridge["Labels"] == {STANDS_FOR: world.network}
    assert bridge["IPAM"]["Config"] == [{"Subnet": "10.66.0.0/24"}]
    endpoints = {"att": {"IPAMConfig": {"IPv4Address": "10.66.0.254"}}}
    sent = {**body, "HostConfig": {"NetworkMode": "att", "Memory": 5}}
    assert world.engine.asked == [
        ("/containers/create", {**sent, "NetworkingConfig": {"EndpointsConfig": endpoints}}),
    ]


async def test_a_container_is_connected_and_disconnected(world: World) -> None:
    status, _ = await world.ask("POST", f"/networks/{world.network}/connect", {"Container": "c"})
    assert status == 201
    world.engine.bridges["att"]["Containers"]["c"] = {"IPv4Address": "10.66.0.254/24"}
    await world.ask("POST", "/networks/att/connect", {"Container": "d", "EndpointConfig": {"Aliases": ["x"]}})
    await world.ask("POST", f"/networks/{world.network}/disconnect", {"Container": "c"})
    first, second = ({"IPAMConfig": {"IPv4Address": f"10.66.0.25{last}"}} for last in (4, 3))
    assert world.engine.asked == [
        ("/networks/att/connect", {"Container": "c", "EndpointConfig": first}),
        ("/networks/att/connect", {"Container": "d", "EndpointConfig": {"Aliases": ["x"], **second}}),
        ("/networks/att/disconnect", {"Container": "c"}),
    ]


async def test_a_network_that_is_not_attachable_is_refused(world: World) -> None:
    why = "rpc error: code = PermissionDenied desc = network closed not manually attachable"
    refusal = (403, {"message": f"Could not attach to network closed: {why}"})
    assert await world.ask("POST", "/containers/create", {"HostConfig": {"NetworkMode": "closed"}}) == refusal
    assert await world.ask("POST", "/networks/closed/connect", {"Container": "c"}) == refusal
    nobody = (404, {"message": "No such container: nobody"})
    assert await world.ask("POST", "/networks/closed/connect", {"Container": "nobody"}) == nobody
    assert await world.ask("POST", "/networks/att/connect", {"Container": "nobody"}) == nobody
    assert world.engine.asked == []


@pytest.mark.parametrize("body", [{"HostConfig": {"NetworkMode": "bridge"}}, {"Image": "i"}, [1], "text"])
async def test_what_concerns_no_network_of_the_swarm_is_handed_on_as_it_is(world: World, body: Any) -> None:
    assert (await world.ask("POST", "/containers/create", body))[0] == 201
    assert world.engine.asked == [("/containers/create", body)]
    assert world.engine.bridges == {}


async def test_the_bridge_goes_with_the_network_once_no_container_is_on_it(world: World) -> None:
    await world.ask("POST", "/networks/att/connect", {"Container": "c"})
    world.engine.bridges["att"]["Containers"]["c" * 64] = {"Name": "c"}
    status, shown = await world.ask("GET", "/networks/att")
    assert (status, shown["Containers"]) == (200, {"c" * 64: {"Name": "c"}})
    status, refused = await world.ask("DELETE", "/networks/att")
    assert (status, refused["message"][:80]) == (
        400,
        f"rpc error: code = FailedPrecondition desc = network {world.network} is in use"[:80],
    )
    world.engine.bridges["att"]["Containers"].clear()
    assert (await world.ask("DELETE", "/networks/att"))[0] == 204
    assert world.engine.bridges == {}


@pytest.mark.parametrize(
    ("subnet", "taken", "address"),
    [
        ("10.0.0.0/24", [], "10.0.0.254"),
        ("10.0.0.0/24", ["10.0.0.254/24", "10.0.0.253"], "10.0.0.252"),
        ("10.0.0.0/30", [], "10.0.0.2"),
        ("10.0.0.0/30", ["10.0.0.2/30"], None),
        ("10.0.0.0/32", [], None),
        ("fd00::/64", [], None),
        ("nonsense", [], None),
    ],
)
def test_addresses_are_taken_from_the_end(subnet: str, taken: list[str], address: str | None) -> None:
    assert last_free(subnet, taken, "10.0.0.1") == address
