"""An agent with a runtime of the test's own: which states it reports, in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.agent import runner
from reconciler.agent.ports import StopPolicy
from reconciler.agent.runner import Agent
from reconciler.model.assignments import Assignment, AssignmentSet, TaskReport
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.output import LogLine
from reconciler.model.tables import PublishedPort
from reconciler.model.tasks import TaskState as S

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WAIT_S = 60.0


class FixedClock:
    def now(self) -> datetime:
        return NOW


@dataclass(frozen=True)
class Started:
    pid: int = 42
    address: str = "127.64.0.1"
    container_id: str = ""
    ports: tuple[PublishedPort, ...] = ()


class ScriptedRuntime:
    """Does nothing and remembers all; `errors` are raised by the method of that name."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.exits: dict[str, asyncio.Future[int]] = {}
        self.left: set[str] = set()
        self.fit = asyncio.Event()
        self.fit.set()
        self.reachable = asyncio.Event()
        self.reachable.set()

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.errors:
            raise self.errors[name]

    async def recover(self, wanted: Collection[str], kept: Collection[str]) -> None:
        self.recovered = [sorted(wanted), sorted(kept)]
        if "recover" in self.errors:
            raise self.errors.pop("recover")

    async def adopt(self, assignment: Assignment) -> Started | None:
        if "adopt" in self.errors:
            raise self.errors["adopt"]
        if assignment.task_id not in self.left:
            return None
        self.exits[assignment.task_id] = asyncio.get_running_loop().create_future()
        return Started()

    async def let_go(self) -> None:
        self._called("let go")

    async def become_fit(self, task_id: str) -> None:
        await self.fit.wait()
        if "become_fit" in self.errors:
            raise self.errors["become_fit"]

    async def prepare(self, assignment: Assignment) -> None:
        self._called("prepare")
        await self.reachable.wait()

    async def start(self, assignment: Assignment) -> Started:
        self._called("start")
        self.exits[assignment.task_id] = asyncio.get_running_loop().create_future()
        return Started()

    async def wait(self, task_id: str) -> int:
        return await asyncio.shield(self.exits[task_id])

    async def stop(self, task_id: str, policy: StopPolicy) -> None:
        self._called(f"stop {policy.signal} {policy.grace_s}")
        self.exits[task_id].set_result(143)

    async def abandon(self, task_id: str) -> None:
        self._called("abandon")

    async def forget(self, task_id: str) -> None:
        self._called("forget")

    async def output(self, task_id: str, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        return ()

    def annotate(self, task_id: str, line: str) -> None:
        self._called(f"annotate {line}")

    async def close(self) -> None:
        self._called("close")


class Subject:
    def __init__(self) -> None:
        self.runtime = ScriptedRuntime()
        self.reports: list[TaskReport] = []
        self._news = asyncio.Event()
        self.agent = Agent("n1", self.runtime, FixedClock(), self._report)
        self.assignment = Assignment("t1", "s1", "web", {}, 1, "n1", "node1", S.RUNNING, {"ContainerSpec": {}})

    async def _report(self, report: TaskReport) -> None:
        self.reports.append(report)
        self._news.set()

    @property
    def states(self) -> list[S]:
        return [report.state for report in self.reports]

    def desire(self, desired: S) -> None:
        self.agent.assign(AssignmentSet({"t1": replace(self.assignment, desired_state=desired)}))

    async def until(self, state: S) -> TaskReport:
        async with asyncio.timeout(WAIT_S):
            while not self.reports or self.reports[-1].state is not state:
                self._news.clear()
                await self._news.wait()
        return self.reports[-1]


@pytest.fixture
async def subject() -> AsyncIterator[Subject]:
    async with serving() as made:
        yield made


@asynccontextmanager
async def serving() -> AsyncIterator[Subject]:
    made = Subject()
    running = asyncio.create_task(made.agent.run())
    yield made
    running.cancel()
    await asyncio.wait((running,))


LIFE = [S.ACCEPTED, S.PREPARING, S.READY, S.STARTING, S.RUNNING]


async def test_a_task_goes_through_every_state_and_says_so(subject: Subject) -> None:
    subject.desire(S.RUNNING)
    running = await subject.until(S.RUNNING)
    assert subject.states == LIFE
    assert (running.pid, running.address, running.message) == (42, "127.64.0.1", "started")
    subject.runtime.exits["t1"].set_result(0)
    ended = await subject.until(S.COMPLETE)
    assert (ended.exit_code, ended.message, ended.err) == (0, "finished", "")


async def test_a_task_that_shall_be_ready_waits_there(subject: Subject) -> None:
    subject.desire(S.READY)
    await subject.until(S.READY)
    assert "start" not in subject.runtime.calls
    subject.desire(S.RUNNING)
    await subject.until(S.RUNNING)
    assert subject.states == LIFE


async def test_a_failure_keeps_the_last_message_and_adds_its_cause(subject: Subject) -> None:
    subject.desire(S.RUNNING)
    await subject.until(S.RUNNING)
    subject.runtime.exits["t1"].set_result(3)
    failed = await subject.until(S.FAILED)
    assert (failed.message, failed.err, failed.exit_code) == ("started", "task: non-zero exit (3)", 3)


@pytest.mark.parametrize(
    ("step", "state", "message"), [("prepare", S.REJECTED, "preparing"), ("start", S.FAILED, "starting")]
)
async def test_an_error_of_the_runtime_becomes_the_tasks_error(step: str, state: S, message: str) -> None:
    async with serving() as subject:
        subject.runtime.errors[step] = SwarmctlError(ErrorCode.EMBEDDED_FAILED, "no such thing")
        subject.desire(S.RUNNING)
        ended = await subject.until(state)
        assert (ended.message, ended.err) == (message, "no such thing")
        assert subject.runtime.calls[-2:] == [step, "abandon"]


async def test_a_task_whose_secret_is_gone_fails_where_it_would_start(subject: Subject) -> None:
    subject.assignment = replace(subject.assignment, lacking="unable to get secret")
    subject.desire(S.RUNNING)
    ended = await subject.until(S.FAILED)
    assert (ended.message, ended.err) == ("starting", "starting container failed: unable to get secret")
    assert "start" not in subject.runtime.calls


async def test_a_bug_costs_one_task_and_not_the_node(subject: Subject) -> None:
    subject.runtime.errors["prepare"] = ZeroDivisionError("secret inside")
    subject.desire(S.RUNNING)
    ended = await subject.until(S.REJECTED)
    assert ended.err == "internal error (ZeroDivisionError)"
    subject.runtime.errors.clear()
    other = replace(subject.assignment, task_id="t2")
    subject.agent.assign(AssignmentSet({"t2": other}, frozenset({"t1"})))
    await subject.until(S.RUNNING)


@pytest.mark.parametrize("step", ["abandon", "forget"])
async def test_what_can_not_be_let_go_of_costs_no_node(subject: Subject, step: str) -> None:
    subject.runtime.errors |= {"start": OSError(28, "No space left on device"), step: OSError(30, "Read-only")}
    subject.desire(S.RUNNING)
    assert (await subject.until(S.FAILED)).err == "internal error (OSError)"
    subject.agent.assign(AssignmentSet({}))
    async with asyncio.timeout(WAIT_S):
        while "forget" not in subject.runtime.calls:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    subject.runtime.errors.clear()
    subject.agent.assign(AssignmentSet({"t2": replace(subject.assignment, task_id="t2")}))
    await subject.until(S.RUNNING)


async def test_a_task_that_can_not_be_adopted_fails_alone(subject: Subject) -> None:
    subject.runtime.errors["adopt"] = OSError(30, "Read-only file system")
    subject.assignment = replace(subject.assignment, state=S.RUNNING)
    subject.desire(S.RUNNING)
    ended = await subject.until(S.FAILED)
    assert (ended.message, ended.err) == ("started", "internal error (OSError)")
    assert subject.runtime.calls == ["abandon"]
    subject.runtime.errors.clear()
    other = replace(subject.assignment, task_id="t2", state=S.ASSIGNED)
    subject.agent.assign(AssignmentSet({"t2": other}, frozenset({"t1"})))
    await subject.until(S.RUNNING)


async def test_a_running_task_is_stopped_with_its_signal_and_grace(subject: Subject) -> None:
    subject.desire(S.RUNNING)
    await subject.until(S.RUNNING)
    subject.desire(S.SHUTDOWN)
    stopped = await subject.until(S.SHUTDOWN)
    assert subject.runtime.calls[-1] == "stop SIGTERM 10.0"
    assert (stopped.exit_code, stopped.message) == (143, "shutdown")


async def test_a_task_that_never_started_is_not_stopped(subject: Subject) -> None:
    subject.desire(S.READY)
    await subject.until(S.READY)
    subject.desire(S.SHUTDOWN)
    await subject.until(S.SHUTDOWN)
    assert subject.runtime.calls == ["prepare", "abandon"]


async def test_a_lower_desired_state_is_ignored(subject: Subject) -> None:
    subject.desire(S.RUNNING)
    await subject.until(S.RUNNING)
    subject.desire(S.SHUTDOWN)
    subject.desire(S.RUNNING)
    subject.desire(S.SHUTDOWN)
    await subject.until(S.SHUTDOWN)
    reports = len(subject.reports)
    subject.desire(S.RUNNING)
    await settle()
    assert len(subject.reports) == reports


@pytest.mark.parametrize("kept", [True, False])
async def test_a_task_that_is_no_longer_assigned_ends_and_is_forgotten_unless_kept(kept: bool) -> None:
    async with serving() as subject:
        subject.desire(S.RUNNING)
        await subject.until(S.RUNNING)
        subject.agent.assign(AssignmentSet({}, frozenset({"t1"}) if kept else frozenset()))
        await subject.until(S.SHUTDOWN)
        await settle()
        assert ("forget" in subject.runtime.calls) is not kept
        subject.agent.assign(AssignmentSet({}))
        await settle()
        assert subject.runtime.calls[-1] == "forget"


async def test_a_cancelled_agent_closes_its_runtime() -> None:
    async with serving() as subject:
        subject.desire(S.RUNNING)
        await subject.until(S.RUNNING)
    assert subject.runtime.calls[-1] == "close"


async def settle() -> Any:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_task_that_is_not_fit_yet_is_starting(subject: Subject) -> None:
    subject.runtime.fit.clear()
    subject.desire(S.RUNNING)
    await subject.until(S.STARTING)
    subject.runtime.fit.set()
    await subject.until(S.RUNNING)


@pytest.mark.parametrize("end", ["exit", "unwanted", "unhealthy"])
async def test_a_task_that_never_becomes_fit_can_end(subject: Subject, end: str) -> None:
    subject.runtime.fit.clear()
    subject.desire(S.RUNNING)
    await subject.until(S.STARTING)
    while "t1" not in subject.runtime.exits:  # noqa: ASYNC110 -- the runtime sends no events
        await asyncio.sleep(0)
    if end == "exit":
        subject.runtime.exits["t1"].set_result(3)
        assert (await subject.until(S.FAILED)).exit_code == 3
    elif end == "unwanted":
        subject.desire(S.SHUTDOWN)
        assert (await subject.until(S.SHUTDOWN)).exit_code == 143
    else:
        subject.runtime.errors["become_fit"] = SwarmctlError(ErrorCode.EMBEDDED_FAILED, "unhealthy container")
        subject.runtime.fit.set()
        assert (await subject.until(S.FAILED)).err == "unhealthy container"
        assert "abandon" in subject.runtime.calls
    assert S.RUNNING not in subject.states


@pytest.mark.parametrize(
    ("known", "left", "desired", "told"),
    [
        (S.RUNNING, True, S.RUNNING, []),
        (S.READY, True, S.RUNNING, [S.RUNNING]),
        (S.RUNNING, False, S.RUNNING, [S.FAILED]),
        (S.RUNNING, False, S.SHUTDOWN, [S.SHUTDOWN]),
        (S.STARTING, False, S.RUNNING, LIFE),
        (S.RUNNING, True, S.SHUTDOWN, [S.SHUTDOWN]),
    ],
)
async def test_a_new_agent_goes_on_where_the_last_one_has_ended(
    subject: Subject, known: S, left: bool, desired: S, told: list[S]
) -> None:
    subject.runtime.left = {"t1"} if left else set()
    subject.assignment = replace(subject.assignment, state=known)
    subject.desire(desired)
    if told:
        await subject.until(told[-1])
    else:
        for _ in range(20):
            await asyncio.sleep(0)
    assert subject.states == told
    assert subject.runtime.recovered == [["t1"], []]


async def test_an_agent_that_is_told_to_let_go_ends_nothing() -> None:
    async with serving() as subject:
        subject.desire(S.RUNNING)
        await subject.until(S.RUNNING)
        subject.agent.let_go()
    assert subject.runtime.calls[-1] == "let go"
    assert "close" not in subject.runtime.calls


async def test_a_task_that_waits_for_its_image_ends_at_once_when_it_shall(subject: Subject) -> None:
    subject.runtime.reachable.clear()
    subject.desire(S.RUNNING)
    await subject.until(S.PREPARING)
    subject.desire(S.SHUTDOWN)
    ended = await subject.until(S.SHUTDOWN)
    assert (ended.message, ended.err) == ("shutdown", "")
    assert subject.runtime.calls == ["prepare", "abandon"]


async def test_a_task_that_shall_run_while_it_is_prepared_is_prepared_once(subject: Subject) -> None:
    subject.runtime.reachable.clear()
    subject.desire(S.READY)
    await subject.until(S.PREPARING)
    subject.desire(S.RUNNING)
    subject.runtime.reachable.set()
    await subject.until(S.RUNNING)
    assert subject.runtime.calls == ["prepare", "start"]


async def test_a_runtime_whose_engine_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RECOVER_RETRY_S", 0.0)
    async with serving() as subject:
        subject.runtime.errors["recover"] = SwarmctlError(ErrorCode.EMBEDDED_FAILED, "the engine does not answer")
        subject.desire(S.RUNNING)
        await subject.until(S.RUNNING)
        assert "recover" not in subject.runtime.errors
