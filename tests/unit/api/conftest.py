"""The API of a real embedded swarm, on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reconciler.api import serve
from reconciler.assembly import EmbeddedSettings, start_embedded_swarm
from reconciler.manager.embedded_cluster import EmbeddedCluster


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes
    json: Any

    @property
    def message(self) -> str:
        return str(self.json["message"])


@dataclass(frozen=True)
class Api:
    """`ask("GET", "/services")` sends a request; `json` or `data` is its body."""

    host: str
    cluster: EmbeddedCluster
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        async with self.session.request(method, f"http://docker{path}", **options) as response:
            body = await response.read()
            is_json = response.content_type == "application/json" and body
            return Answer(response.status, response.headers, body, await response.json() if is_json else None)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    settings = EmbeddedSettings(data_dir=str(tmp_path / "swarm"))
    host = f"unix://{tmp_path}/api.sock"
    async with await start_embedded_swarm(settings) as swarm, serve(swarm.cluster, host) as server:
        connector = aiohttp.UnixConnector(str(tmp_path / "api.sock"))
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Api(server.host, swarm.cluster, session)
