"""A member over the real transport: founded, joined without any address, told that it was removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.adapters.raft import boot
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.adapters.raft.settings import Limits, MemberSettings
from reconciler.adapters.raft.transport import TlsTransport
from reconciler.model.commands import PutRecord
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address
from tests.fakes.identities import Authority

PATIENCE_S = 60.0
FOUNDERS = ("n1", "n2", "n3")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - of several nodes
            await asyncio.sleep(0.01)


def put(key: str) -> PutRecord:
    return PutRecord(at=datetime.now(UTC), namespace="test", key=key, value=b"", version=None)


class TlsGroup:
    """Members in this process that talk over loopback."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._folder = folder
        authority = Authority()
        self._identities = {name: authority.identity(folder / name, name) for name in names}
        self.nodes: dict[str, RaftNode] = {}
        self.runs: dict[str, asyncio.Task[None]] = {}
        self.addresses: dict[str, Address] = {}
        self._transports: dict[str, TlsTransport] = {}

    async def bind(self, name: str) -> None:
        """Take an address for a member that is to start."""
        identity = self._identities[name]
        if name in self.addresses:
            identity = replace(identity, listen=self.addresses[name])
        founding = partial(self._founding, name)
        self._transports[name] = TlsTransport(identity, admits=partial(self._admits, name), founding=founding)
        self.addresses[name] = await self._transports[name].bind()

    def _admits(self, name: str, other: str) -> bool:
        return self.nodes[name].admits(other)

    def _founding(self, name: str) -> str:
        return self.nodes[name].founding()

    def settings(self, name: str) -> MemberSettings:
        return MemberSettings(
            folder=str(self._folder / f"{name}.log"), owner=Owner("c1", name), limits=Limits(leaver_s=1.0)
        )

    async def start(self, name: str) -> None:
        self.nodes[name] = await open_node(self.settings(name), self._transports[name])
        self.runs[name] = asyncio.create_task(self.nodes[name].run())

    async def found(self) -> None:
        for name in FOUNDERS:
            await self.bind(name)
        for name in FOUNDERS:
            boot.found(self.settings(name), {founder: self.addresses[founder] for founder in FOUNDERS})
            await self.start(name)

    async def leader(self) -> RaftNode:
        def leading() -> list[RaftNode]:
            return [node for name, node in self.nodes.items() if not self.runs[name].done() and node.standing.epoch]

        await until(leading)
        return leading()[0]

    async def remove(self, name: str) -> None:
        """Have the leader remove a member, as soon as it may: it has to have heard from a majority lately."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await (await self.leader()).remove_member(name)
                except SwarmctlError as error:
                    if error.code not in {ErrorCode.RAFT_CHANGE_REFUSED, ErrorCode.RAFT_NOT_LEADER}:
                        raise
                    await asyncio.sleep(0.1)

    async def stop(self, name: str) -> None:
        self.runs[name].cancel()
        await asyncio.gather(self.runs[name], return_exceptions=True)

    async def close(self) -> None:
        for run in self.runs.values():
            run.cancel()
        await asyncio.gather(*self.runs.values(), return_exceptions=True)


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[TlsGroup]:
    made = TlsGroup(tmp_path, (*FOUNDERS, "new"))
    yield made
    await made.close()


async def test_a_node_joins_a_group_and_is_told_that_it_was_removed(group: TlsGroup) -> None:
    await group.found()
    await group.bind("new")
    boot.join(group.settings("new"), {})
    await group.start("new")
    await group.nodes["n1"].propose([put("before")])
    await (await group.leader()).add_member("new", group.addresses["new"])
    new = group.nodes["new"]
    await until(lambda: any(member.id == "new" and member.voter for member in new.members()))
    await new.propose([put("by the new one")])
    await new.read_barrier()
    assert {"test/before", "test/by the new one"} <= set(new.tables.records)
    await (await group.leader()).remove_member("new")
    await asyncio.wait({group.runs["new"]}, timeout=PATIENCE_S)
    assert new.standing.removed


async def test_a_node_that_was_removed_while_it_was_off_learns_of_it_from_those_that_refuse_it(group: TlsGroup) -> None:
    await group.found()
    leader = await group.leader()
    gone = next(name for name in FOUNDERS if name != leader.name)
    await group.stop(gone)
    await group.remove(gone)
    await group.bind(gone)
    await group.start(gone)
    await asyncio.wait({group.runs[gone]}, timeout=PATIENCE_S)
    with pytest.raises(SwarmctlError) as ended:
        group.runs[gone].result()
    assert ended.value.code is ErrorCode.RAFT_REMOVED


async def test_a_node_that_began_a_group_instead_of_joining_is_talked_to_by_nobody(
    group: TlsGroup, caplog: pytest.LogCaptureFixture
) -> None:
    """The numbers of its first entries are those of the group's: what follows would fit behind what does not."""
    await group.found()
    await group.bind("new")
    boot.found(group.settings("new"), {name: group.addresses[name] for name in ("n1", "n2", "new")})
    await (await group.leader()).add_member("new", group.addresses["new"])
    await group.start("new")
    await until(lambda: caplog.text.count("[peers-founded-apart]") >= 4)
    assert group.nodes["new"].tables.index == 0
    assert [member.id for member in (await group.leader()).members() if not member.voter] == ["new"]
