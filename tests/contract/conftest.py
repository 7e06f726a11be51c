"""The backends and the stores that the contract suites run on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from reconciler.adapters.docker.cluster import connect
from reconciler.api import serve
from reconciler.assembly import EmbeddedSettings, start_embedded_swarm
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.objects import NodeRole
from reconciler.settings import EndpointSettings
from tests.contract.pysyncobj_subject import PySyncObjGroup
from tests.contract.store_subject import CoreGroup, StoreGroup
from tests.contract.subject import Subject, Tokens
from tests.lab.lab import Lab
from tests.lab.swept import sweep

GROUPS = {"core": CoreGroup, "pysyncobj": PySyncObjGroup}
BACKENDS = (pytest.param("docker", marks=pytest.mark.engine), "embedded", "embedded-http")


@pytest.fixture(params=BACKENDS)
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """A swarm of three nodes, one of them a manager, with nothing in it."""
    async with _opened(request, tmp_path) as opened:
        yield opened


def _opened(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractAsyncContextManager[Subject]:
    if request.param == "docker":
        return _docker(request.getfixturevalue("lab"))
    return _embedded(tmp_path) if request.param == "embedded" else _embedded_http(tmp_path)


@asynccontextmanager
async def _embedded(folder: Path) -> AsyncIterator[Subject]:
    async with await start_embedded_swarm(EmbeddedSettings(data_dir=str(folder))) as swarm:

        def tokens() -> Tokens:
            found = swarm.cluster.join_tokens
            return {NodeRole.WORKER: found.worker, NodeRole.MANAGER: found.manager}

        yield Subject("embedded", swarm.cluster, tokens)


@asynccontextmanager
async def _embedded_http(folder: Path) -> AsyncIterator[Subject]:
    """The same swarm as others see it: through the docker adapter, a socket and the API."""
    async with _embedded(folder) as inner:
        assert isinstance(inner.cluster, EmbeddedCluster)
        async with serve(inner.cluster, f"unix://{folder}/api.sock") as server:
            cluster = await connect(EndpointSettings(host=server.host))
            try:
                yield Subject("embedded-http", cluster, inner.tokens)
            finally:
                await cluster.close()


@asynccontextmanager
async def _docker(lab: Lab) -> AsyncIterator[Subject]:
    def tokens() -> Tokens:
        with lab.manager.client() as client:
            found = client.inspect_swarm()["JoinTokens"]
        return {NodeRole.WORKER: found["Worker"], NodeRole.MANAGER: found["Manager"]}

    cluster = await connect(EndpointSettings(host=lab.manager.host))
    try:
        yield Subject("docker", cluster, tokens)
    finally:
        await cluster.close()
        sweep(lab)


@pytest.fixture(params=sorted(GROUPS))
async def group(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreGroup]:
    """Three members, which have just been started."""
    made = GROUPS[request.param](tmp_path)
    await made.found()
    try:
        yield made
    finally:
        await made.close()
