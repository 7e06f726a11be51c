"""A group of members under test, and what the contract of the replicated store says about it in its own words."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.adapters.raft import boot
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.adapters.raft.ports import ReplicatedStore
from reconciler.adapters.raft.settings import Limits, MemberSettings
from reconciler.consensus.settings import ConsensusSettings
from reconciler.model.commands import Applied, PutRecord
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address, Batch
from tests.fakes.member_network import Crashed, MemberNetwork

WAIT_S = 60.0
POLL_S = 0.01
NAMES = ("node-1", "node-2", "node-3")
AT = datetime(2026, 11, 21, tzinfo=UTC)
QUICK = ConsensusSettings(election_min_s=0.5, election_max_s=0.9, heartbeat_s=0.07, fallback_s=0.4)
SMALL = Limits(snapshot_bytes=40_000, kept_bytes=8_000, watch_entries=64, work_end_s=0.1, hand_over_s=5.0)


def put(key: str, value: bytes = b"", version: int | None = None) -> PutRecord:
    return PutRecord(at=AT, namespace="test", key=key, value=value, version=version)


class StoreGroup(ABC):
    """Members that can be started, stopped, killed and cut off. Each implementation of the port has one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stores: dict[str, ReplicatedStore] = {}
        self.runs: dict[str, asyncio.Task[None]] = {}

    # --- what an implementation does ---

    @abstractmethod
    async def prepare(self, name: str, *, first: Sequence[str] = ()) -> None:
        """Make the folder of a member: one of the `first` of a new group, or one that waits to be added."""

    @abstractmethod
    async def open(self, name: str) -> ReplicatedStore:
        """Open a member from its folder."""

    @abstractmethod
    async def crash(self, name: str) -> None:
        """End a member without any farewell, as far as that can be done here."""

    @abstractmethod
    def part(self, name: str) -> None:
        """Cut a member off from all others."""

    @abstractmethod
    def heal(self) -> None:
        """Take back all that was cut."""

    @abstractmethod
    def address(self, name: str) -> Address:
        """Where a member is reached."""

    def first_index(self, name: str) -> int | None:
        """The oldest entry that a member can send to others without a snapshot; None where that can't be told."""
        return None

    # --- the life of a group ---

    async def found(self, names: Iterable[str] = NAMES) -> None:
        names = tuple(names)
        for name in names:
            await self.prepare(name, first=names)
        for name in names:
            await self.start(name)

    async def start(self, name: str) -> ReplicatedStore:
        store = self.stores[name] = await self.open(name)
        self.runs[name] = self.begin(store)
        return store

    @staticmethod
    def begin(store: ReplicatedStore) -> asyncio.Task[None]:
        return asyncio.create_task(store.run())

    async def join(self, name: str) -> ReplicatedStore:
        """Start a new member, and let the leader add it."""
        await self.prepare(name)
        store = await self.start(name)
        await self.at_leader(lambda leader: leader.add_member(name, self.address(name)))
        return store

    async def at_leader(self, do: Callable[[ReplicatedStore], Awaitable[None]]) -> None:
        """Have a leader do something; when leadership has just moved, ask the next one."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                return await do(self.stores[await self.leader()])
            except SwarmctlError as error:
                if error.code is not ErrorCode.RAFT_NOT_LEADER or time.monotonic() > deadline:
                    raise

    async def stop(self, name: str) -> None:
        """End a member in an orderly way."""
        run = self.runs.pop(name)
        del self.stores[name]
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run

    async def kill(self, name: str) -> None:
        await self.crash(name)
        run = self.runs.pop(name)
        del self.stores[name]
        with suppress(Crashed, asyncio.CancelledError):
            await run

    async def close(self) -> None:
        self.heal()
        for name in sorted(self.runs):
            run = self.runs[name]
            if not run.done():
                await self.crash(name)
        await asyncio.gather(*self.runs.values(), return_exceptions=True)

    # --- what tests say ---

    async def until(self, promise: str, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not holds():
            for name, run in self.runs.items():
                if run.done() and not run.cancelled() and run.exception() is not None:
                    raise AssertionError(f"{name} has ended while waiting that {promise}") from run.exception()
            if time.monotonic() > deadline:
                seen = {name: (store.standing, store.tables.index) for name, store in self.stores.items()}
                pytest.fail(f"It never came true that {promise}: {seen}")
            await asyncio.sleep(POLL_S)

    async def leader(self, but: str = "") -> str:
        """The name of the member that leads, once it has its epoch."""

        def found() -> str:
            return next((name for name, store in self.stores.items() if store.standing.epoch and name != but), "")

        await self.until("a member leads", found)
        return found()

    async def followers(self) -> list[str]:
        leader = await self.leader()
        return [name for name in self.stores if name != leader]

    async def put(self, name: str, key: str, value: bytes = b"") -> Applied:
        outcome = await self.stores[name].propose([put(key, value)])
        assert isinstance(outcome, Applied), outcome
        return outcome

    def value(self, name: str, key: str) -> bytes | None:
        record = self.stores[name].tables.records.get(f"test/{key}")
        return record.value if record else None

    async def same_everywhere(self) -> None:
        """Wait until all members have applied the same, and fail if it does not have the same effect."""
        index = max(store.tables.index for store in self.stores.values())
        await self.until("all have applied it", lambda: all(s.tables.index >= index for s in self.stores.values()))
        records = [store.tables.records for store in self.stores.values() if store.tables.index == index]
        assert all(one == records[0] for one in records)


@asynccontextmanager
async def refusing(*codes: ErrorCode) -> AsyncIterator[None]:
    """Expect one of these errors of what is awaited inside."""
    with pytest.raises(SwarmctlError) as raised:
        yield
    assert raised.value.code in codes, raised.value.problems


async def take(watch: AsyncIterator[Batch], count: int) -> list[Batch]:
    """The next batches of a watch."""
    async with asyncio.timeout(WAIT_S):
        return [await anext(watch) for _ in range(count)]


class CoreGroup(StoreGroup):
    """Members on our own core, over a network in this process."""

    patience_s = 4.0
    limits = SMALL
    consensus = QUICK
    named: Sequence[str] = ()
    """Members that the operator names."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.network = MemberNetwork()

    def settings(self, name: str) -> MemberSettings:
        return MemberSettings(
            str(self.folder / name),
            Owner("group-1", name),
            patience_s=self.patience_s,
            consensus=self.consensus,
            limits=self.limits,
            named={one: self.address(one) for one in self.named},
        )

    async def prepare(self, name: str, *, first: Sequence[str] = ()) -> None:
        if first:
            boot.found(self.settings(name), {one: self.address(one) for one in first})
        else:
            boot.join(self.settings(name), {one: self.address(one) for one in self.stores})

    async def open(self, name: str) -> ReplicatedStore:
        end = self.network.end(name)
        store = await open_node(self.settings(name), end)
        end.admits = store.admits
        return store

    async def crash(self, name: str) -> None:
        if name in self.network.ends:
            self.network.ends[name].crash()

    def first_index(self, name: str) -> int | None:
        store = self.stores[name]
        assert isinstance(store, RaftNode)
        return store.status().first_index

    def part(self, name: str) -> None:
        self.network.part(name)

    def heal(self) -> None:
        self.network.heal()

    def address(self, name: str) -> Address:
        return Address(name, 7946)
