"""A member over the real transport: founded, joined without any address, told that it was removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from reconciler.adapters.raft import boot
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.raft.transport import TlsTransport
from reconciler.model.commands import PutRecord
from tests.fakes.identities import Authority

PATIENCE_S = 60.0
FOUNDERS = ("n1", "n2", "n3")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - of several nodes
            await asyncio.sleep(0.01)


def put(key: str) -> PutRecord:
    return PutRecord(at=datetime.now(UTC), namespace="test", key=key, value=b"", version=None)


async def test_a_node_joins_a_group_and_is_told_that_it_was_removed(tmp_path: Path) -> None:
    authority = Authority()
    nodes: dict[str, RaftNode] = {}
    transports = {
        name: TlsTransport(
            authority.identity(tmp_path / name, name),
            joining=lambda name=name: name not in nodes or not nodes[name].members(),  # type: ignore[misc]
        )
        for name in (*FOUNDERS, "new")
    }
    addresses = {name: await transport.bind() for name, transport in transports.items()}
    runs: dict[str, asyncio.Task[None]] = {}
    try:
        for name, transport in transports.items():
            settings = MemberSettings(folder=str(tmp_path / f"{name}.log"), owner=Owner("c1", name))
            if name in FOUNDERS:
                boot.found(settings, {founder: addresses[founder] for founder in FOUNDERS})
            else:
                boot.join(settings, {})
            nodes[name] = await open_node(settings, transport)
            runs[name] = asyncio.create_task(nodes[name].run())
        await nodes["n1"].propose([put("before")])
        await until(lambda: nodes["n1"].standing.leader)
        leader = nodes["n1"].standing.leader
        await nodes[leader].add_member("new", addresses["new"])
        await until(lambda: any(member.id == "new" and member.voter for member in nodes["new"].members()))
        await nodes["new"].propose([put("by the new one")])
        await nodes["new"].read_barrier()
        assert {"test/before", "test/by the new one"} <= set(nodes["new"].tables.records)
        await nodes[nodes["new"].standing.leader].remove_member("new")
        await asyncio.wait({runs["new"]}, timeout=PATIENCE_S)
        assert nodes["new"].standing.removed
    finally:
        for run in runs.values():
            run.cancel()
        await asyncio.gather(*runs.values(), return_exceptions=True)
