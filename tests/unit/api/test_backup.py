"""Who gets a backup of a node's swarm over HTTP: its own user, on the unix socket, and all of it or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from reconciler.adapters.controller_client import DaemonClient
from reconciler.api.backup import PATH
from reconciler.api.node import FixedNode
from reconciler.api.ports import LocalState, Standing
from reconciler.api.server import serve_node
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Backup
from tests.unit.api.conftest import Api

CONTENT = bytes(range(256)) * 4000


class BackedUp(FixedNode):
    """A node whose backup promises `size` bytes."""

    def __init__(self, size: int = len(CONTENT)) -> None:
        super().__init__(Standing(LocalState.ACTIVE), {})
        self.size = size

    @asynccontextmanager
    async def backup(self) -> AsyncIterator[Backup]:
        pieces = iter([CONTENT[:100_000], CONTENT[100_000:], b""])

        async def read() -> bytes:
            return next(pieces)

        yield Backup(7, self.size, read)


async def downloaded(host: str) -> bytes:
    pieces: list[bytes] = []
    async with DaemonClient(host) as client:
        await client.download(PATH, pieces.append)
    return b"".join(pieces)


async def test_the_unix_socket_gives_all_of_it(tmp_path: Path) -> None:
    async with serve_node(BackedUp(), f"unix://{tmp_path}/api.sock") as server:
        assert await downloaded(server.host) == CONTENT


async def test_what_is_cut_off_is_an_error(tmp_path: Path) -> None:
    async with serve_node(BackedUp(len(CONTENT) + 1), f"unix://{tmp_path}/api.sock") as server:
        with pytest.raises(SwarmctlError) as caught:
            await downloaded(server.host)
    assert caught.value.code is ErrorCode.ENGINE_UNREACHABLE


async def test_a_port_gives_nothing() -> None:
    async with serve_node(BackedUp(), "tcp://127.0.0.1:0") as server, aiohttp.ClientSession() as session:
        base = server.host.replace("tcp://", "http://")
        for path in (PATH, f"/v1.41{PATH}"):
            async with session.get(base + path) as answer:
                assert answer.status == 404


async def test_a_swarm_that_lives_in_one_process_has_none(api: Api) -> None:
    with pytest.raises(SwarmctlError) as caught:
        await downloaded(api.host)
    assert "lives in one process" in str(caught.value)
