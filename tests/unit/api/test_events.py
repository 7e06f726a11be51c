"""Events as an engine tells and filters them, also when the swarm begins and ends while a client listens."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reconciler.api import serve_node
from reconciler.api.node import FixedNode, node_of
from reconciler.api.ports import LocalState, Standing
from reconciler.assembly import EmbeddedSettings, start_embedded_swarm
from reconciler.model.objects import Kind
from tests.unit.api.conftest import Api

SECRET = {"Name": "key", "Labels": {}, "Data": "eA=="}
OUTSIDE = Standing(LocalState.INACTIVE)
WAIT_S = 60.0


async def names(api: Api, **filters: Any) -> list[str]:
    """Return the names in the events of the past that pass the filters."""
    query = {"since": "1", "until": str(time.time()), "filters": json.dumps(filters)}
    return [one["Actor"]["Attributes"]["name"] for one in await told(api, query)]


async def told(api: Api, query: dict[str, str]) -> list[dict[str, Any]]:
    async with api.session.get("http://docker/events", params=query) as response:
        return [json.loads(line) for line in (await response.text()).splitlines()]


async def test_a_filter_by_name_takes_its_beginning_whatever_the_kind(api: Api) -> None:
    await api.ask("POST", "/secrets/create", json={**SECRET, "Name": "shop_key"})
    await api.ask("POST", "/configs/create", json={**SECRET, "Name": "shop_conf"})
    assert await names(api, secret=["shop_k"]) == ["shop_key"]
    assert await names(api, secret=["shop"]) == ["shop_key", "shop_conf"]
    assert await names(api, secret=["shop"], type=["config"]) == ["shop_conf"]
    assert await names(api, secret=["hop"]) == []


async def test_a_filter_that_there_is_not_lets_all_pass_and_labels_are_attributes(api: Api) -> None:
    await api.ask("POST", "/secrets/create", json=SECRET)
    assert await names(api, type=["secret"], nonsense=["x"]) == ["key"]
    assert await names(api, type=["secret"], label=["name=key"]) == ["key"]
    assert await names(api, type=["secret"], label=["name=other"]) == []


@pytest.mark.parametrize("query", [{"until": "now"}, {"since": "1", "until": "now"}])
async def test_an_end_alone_asks_for_all_that_was(api: Api, query: dict[str, str]) -> None:
    await api.ask("POST", "/secrets/create", json=SECRET)
    asked = {key: str(time.time()) if value == "now" else value for key, value in query.items()}
    assert len(await told(api, {**asked, "filters": json.dumps({"type": ["secret"]})})) == 1


class Moving(FixedNode):
    """A node that comes into a swarm and leaves it."""

    def __init__(self) -> None:
        super().__init__(OUTSIDE, {})
        self.now = OUTSIDE
        self.found_outside = asyncio.Event()

    def standing(self) -> Standing:
        if self.now is OUTSIDE:
            self.found_outside.set()
        return self.now


async def test_events_go_on_when_the_swarm_begins_and_ends(tmp_path: Path) -> None:
    async with await start_embedded_swarm(EmbeddedSettings(data_dir=str(tmp_path / "swarm"))) as swarm:
        inside = (await node_of(swarm.cluster)).standing()
        node = Moving()
        connector = aiohttp.UnixConnector(str(tmp_path / "api.sock"))
        async with (
            serve_node(node, f"unix://{tmp_path}/api.sock"),
            aiohttp.ClientSession(connector=connector) as session,
            asyncio.timeout(WAIT_S),
            session.get("http://docker/events") as stream,
        ):
            await swarm.cluster.create(Kind.SECRET, SECRET)
            node.now = inside
            first = json.loads(await stream.content.readline())
            assert first["Actor"]["Attributes"] == {"name": "key"}
            node.now = OUTSIDE
            node.found_outside.clear()
            swarm.cluster._swarm.subscribers.lose_all("The swarm has ended.")
            await node.found_outside.wait()
            node.now = inside
            (secret,) = await swarm.cluster.listed(Kind.SECRET)
            await swarm.cluster.remove(Kind.SECRET, secret.id)
            while json.loads(await stream.content.readline())["Action"] != "remove":
                pass
