"""The backends that the contract suite runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from reconciler.adapters.docker import connect
from reconciler.model.objects import NodeRole
from reconciler.settings import EndpointSettings
from tests.contract.subject import Subject, Tokens
from tests.lab.lab import Lab
from tests.lab.swept import sweep

BACKENDS = (pytest.param("docker", marks=pytest.mark.engine),)


@pytest.fixture(params=BACKENDS)
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """A swarm of three nodes, one of them a manager, with nothing in it."""
    async with _opened(request, tmp_path) as opened:
        yield opened


def _opened(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractAsyncContextManager[Subject]:
    return _docker(request.getfixturevalue("lab"))


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
