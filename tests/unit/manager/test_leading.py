"""The leader's loop, and reports on their way, on a store that does not always do what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.adapters.clock import RandomIds, SystemClock
from reconciler.manager.leading import Leader
from reconciler.manager.reports import TEXT_LENGTH_MAX, Reports
from reconciler.model.assignments import TaskReport
from reconciler.model.commands import (
    AddNode,
    Applied,
    Command,
    CreateService,
    InitCluster,
    Outcome,
    RemoveService,
    ReportTask,
)
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Batch
from reconciler.model.tables import JoinTokens
from reconciler.model.tasks import TaskState
from tests.fakes.memory_store import MemoryStore

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WAIT_S = 60.0


class FlakyStore(MemoryStore):
    """Fails as often as it is told, and remembers how many proposals were under way when it was read from."""

    def __init__(self) -> None:
        super().__init__()
        self.proposals_fail: list[ErrorCode] = []
        self.watches_fail = 0
        self.watches = 0
        self.under_way = 0
        self.held = asyncio.Event()
        self.held.set()
        self.seen: list[Command] = []

    async def propose(self, commands: Sequence[Command], *, epoch: int | None = None) -> Outcome:
        self.seen += commands
        self.under_way += 1
        try:
            await self.held.wait()
            await asyncio.sleep(0)
            if self.proposals_fail:
                raise SwarmctlError(self.proposals_fail.pop(0), "It failed.")
            return await super().propose(commands, epoch=epoch)
        finally:
            self.under_way -= 1

    async def watch(self, after: int) -> AsyncGenerator[Batch, None]:
        self.watches += 1
        async for batch in super().watch(after):
            yield batch
            if self.watches_fail:
                self.watches_fail -= 1
                raise SwarmctlError(ErrorCode.RAFT_WATCH_BEHIND, "Too slow.")


async def until(holds: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 -- the store tells no test
            await asyncio.sleep(0.001)


@pytest.fixture
async def store() -> FlakyStore:
    """A swarm of one node, without services."""
    made, ids = FlakyStore(), RandomIds()
    three = (ids.new_id(), ids.new_id(), ids.new_id())
    spec = {"Labels": {}, "Role": "manager", "Availability": "active"}
    commands = (
        InitCluster(at=NOW, id="c1", spec={}, join_tokens=JoinTokens("w", "m"), network_ids=three),
        AddNode(at=NOW, id="n1", spec=spec, description={"Hostname": "n1"}, address="127.0.0.1"),
    )
    assert isinstance(await made.propose(commands), Applied)
    return made


@pytest.fixture
async def leading(store: FlakyStore) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Leader(store, SystemClock(), RandomIds()).work(0))
    yield task
    task.cancel()
    await asyncio.wait((task,))


def service(replicas: int) -> CreateService:
    template = {"ContainerSpec": {"Image": "none:1"}}
    spec = {"Name": "web", "TaskTemplate": template, "Mode": {"Replicated": {"Replicas": replicas}}}
    return CreateService(at=NOW, id="s1", spec=spec)


def assigned(store: MemoryStore) -> int:
    return sum(task.state is TaskState.ASSIGNED for task in store.tables.tasks.values())


async def test_a_service_gets_its_tasks_and_loses_them(store: FlakyStore, leading: asyncio.Task[None]) -> None:
    await store.propose((service(3),))
    await until(lambda: assigned(store) == 3)
    await store.propose((RemoveService(at=NOW, id="s1"),))
    await until(lambda: all(task.desired_state > TaskState.RUNNING for task in store.tables.tasks.values()))


@pytest.mark.parametrize("code", [ErrorCode.RAFT_NO_LEADER, ErrorCode.RAFT_OUTCOME_UNKNOWN, ErrorCode.RAFT_OVERLOADED])
async def test_what_the_store_could_not_take_is_decided_anew(
    store: FlakyStore, leading: asyncio.Task[None], code: ErrorCode
) -> None:
    await store.propose((service(3),))
    store.proposals_fail = [code, code]
    await until(lambda: assigned(store) == 3)
    assert sorted(task.slot for task in store.tables.tasks.values()) == [1, 2, 3]


async def test_a_leader_that_was_too_slow_looks_at_everything_anew(
    store: FlakyStore, leading: asyncio.Task[None]
) -> None:
    store.watches_fail = 2
    await store.propose((service(3),))
    await until(lambda: assigned(store) == 3 and store.watches == 3)


async def test_nothing_is_decided_while_the_last_decision_is_under_way(
    store: FlakyStore, leading: asyncio.Task[None]
) -> None:
    await store.propose((service(3),))
    store.held.clear()
    await until(lambda: store.under_way)
    proposed = len(store.seen)
    await MemoryStore.propose(store, (AddNode(at=NOW, id="n2", spec=_worker(), description={}, address=""),))
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(store.seen) == proposed
    store.held.set()
    await until(lambda: assigned(store) == 3)


def _worker() -> dict[str, Any]:
    return {"Labels": {}, "Role": "worker", "Availability": "active"}


async def test_a_store_that_can_not_go_on_ends_the_work(store: FlakyStore, leading: asyncio.Task[None]) -> None:
    await store.propose((service(1),))
    store.proposals_fail = [ErrorCode.RAFT_STOPPED]
    await asyncio.wait((leading,), timeout=WAIT_S)
    error = leading.exception()
    assert isinstance(error, SwarmctlError)
    assert error.code is ErrorCode.RAFT_STOPPED


def report(state: TaskState, task_id: str = "t1", err: str = "") -> TaskReport:
    return TaskReport(task_id, "n1", state, "so", NOW, err=err)


def told(store: FlakyStore) -> list[tuple[str, TaskState]]:
    return [(one.task_id, one.status.state) for one in store.seen if isinstance(one, ReportTask)]


@pytest.fixture
async def reports(store: FlakyStore) -> AsyncIterator[Reports]:
    made = Reports(store, SystemClock())
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.wait((task,))


async def test_of_each_task_the_newest_report_goes_out_and_that_it_ran_is_never_left_out(
    store: FlakyStore, reports: Reports
) -> None:
    for state in (TaskState.ACCEPTED, TaskState.PREPARING, TaskState.READY, TaskState.RUNNING, TaskState.FAILED):
        await reports.add(report(state))
    await reports.add(report(TaskState.READY, "t2"))
    await until(lambda: len(told(store)) == 3)
    assert told(store) == [("t1", TaskState.RUNNING), ("t1", TaskState.FAILED), ("t2", TaskState.READY)]


async def test_a_report_that_the_store_could_not_take_is_repeated_unless_there_is_a_newer_one(
    store: FlakyStore, reports: Reports
) -> None:
    store.proposals_fail = [ErrorCode.RAFT_NO_LEADER]
    await reports.add(report(TaskState.STARTING))
    await until(lambda: told(store))
    await reports.add(report(TaskState.RUNNING))
    await until(lambda: len(told(store)) == 2)
    assert told(store) == [("t1", TaskState.STARTING), ("t1", TaskState.RUNNING)]


async def test_texts_that_no_log_holds_are_made_to_fit(store: FlakyStore, reports: Reports) -> None:
    await reports.add(report(TaskState.FAILED, err="a\udc80" + "x" * 10_000))
    await until(lambda: told(store))
    (seen,) = [one for one in store.seen if isinstance(one, ReportTask)]
    assert (seen.status.err[:3], len(seen.status.err)) == ("a?x", TEXT_LENGTH_MAX)
