"""What the process runtime makes of a folder that a predecessor has left in the middle of something."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.process_runtime import Escapees, LoopbackAddresses, ProcessRuntime, RuntimeParts
from reconciler.adapters.process_runtime.environment import DEFAULT_SEARCH_PATH
from reconciler.agent.ports import StopPolicy
from reconciler.model.assignments import Assignment
from reconciler.model.errors import SwarmctlError
from reconciler.model.tasks import TaskState
from tests.simulation.live import is_alive, processes_of


def a_runtime(folder: Path) -> ProcessRuntime:
    return ProcessRuntime(folder, RuntimeParts(LoopbackAddresses(str(folder)), Escapees(), DEFAULT_SEARCH_PATH))


def assignment(*command: str, **container: Any) -> Assignment:
    spec = {"ContainerSpec": {"Image": "none:1", "Command": list(command), **container}}
    return Assignment("t1", "s1", "web", {}, 1, "n1", "node1", TaskState.RUNNING, spec)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def until_there(path: Path) -> None:
    async with asyncio.timeout(60):
        while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240 - another process makes it
            await asyncio.sleep(0.01)


async def test_a_task_that_was_begun_and_never_started_is_made_anew(tmp_path: Path) -> None:
    task = assignment("sh", "-c", "exit 7")
    first = a_runtime(tmp_path)
    await first.recover([], [])
    await first.prepare(task)
    os.mkfifo(tmp_path / "processes" / "t1.pipe")  # killed between the pipe and the process
    second = a_runtime(tmp_path)
    await second.recover(["t1"], [])
    assert await second.adopt(task) is None
    await second.prepare(task)
    await second.start(task)
    assert await second.wait("t1") == 7
    await second.forget("t1")
    assert files(tmp_path) == []


async def test_a_task_that_was_let_go_is_adopted_with_its_exit_code(tmp_path: Path) -> None:
    listening = tmp_path / "listening"
    task = assignment("sh", "-c", f'trap "exit 9" TERM; : >{listening}; while :; do sleep 0.02; done')
    first = a_runtime(tmp_path)
    await first.recover([], [])
    await first.prepare(task)
    started = await first.start(task)
    await until_there(listening)  # before that, a signal ends it as it ends anything
    await first.let_go()
    second = a_runtime(tmp_path)
    await second.recover(["t1"], [])
    assert await second.adopt(task) == started
    await second.stop("t1", StopPolicy("SIGTERM", 10))
    assert await second.wait("t1") == 9
    third = a_runtime(tmp_path)  # its end was never told
    await third.recover(["t1"], [])
    assert await third.adopt(task) is not None
    assert await third.wait("t1") == 9


async def test_what_is_not_wanted_any_more_is_ended_and_its_output_kept_if_asked(tmp_path: Path) -> None:
    task = assignment("sh", "-c", "echo hello; sleep 1000")
    first = a_runtime(tmp_path)
    await first.recover([], [])
    await first.prepare(task)
    started = await first.start(task)
    while not await first.output("t1", 1):
        pass
    await first.let_go()
    second = a_runtime(tmp_path)
    await second.recover([], ["t1"])
    assert not is_alive(started.pid)
    assert [line.words for line in await second.output("t1", 1)] == ["hello"]
    third = a_runtime(tmp_path)
    await third.recover([], [])
    assert await third.output("t1", 1) == ()


CHECK = {"Test": ["CMD-SHELL", "[ -e fit ]"], "Interval": 20_000_000, "Timeout": 10_000_000_000, "Retries": 2}


async def test_a_task_with_a_healthcheck_is_fit_when_it_succeeds_and_ends_when_it_fails_too_often(
    tmp_path: Path,
) -> None:
    task = assignment("sh", "-c", "sleep 1000", Healthcheck=CHECK | {"StartPeriod": 60_000_000_000})
    runtime = a_runtime(tmp_path)
    await runtime.recover([], [])
    await runtime.prepare(task)
    started = await runtime.start(task)
    fit = asyncio.ensure_future(runtime.become_fit("t1"))
    await asyncio.wait({fit}, timeout=0.1)
    assert not fit.done()
    (tmp_path / "tasks/t1/fit").touch()
    await asyncio.wait_for(fit, 20)
    (tmp_path / "tasks/t1/fit").unlink()
    with pytest.raises(SwarmctlError, match="unhealthy container"):
        await asyncio.wait_for(runtime.wait("t1"), 20)
    await runtime.forget("t1")
    assert not is_alive(started.pid)


async def test_a_healthcheck_that_hangs_has_failed_and_leaves_no_process(tmp_path: Path) -> None:
    check = {"Test": ["CMD", "sh", "-c", "sleep 1000 & wait"], "Interval": 1, "Timeout": 50_000_000, "Retries": 1}
    runtime = a_runtime(tmp_path)
    await runtime.recover([], [])
    task = assignment("sh", "-c", "sleep 1000", Healthcheck=check)
    await runtime.prepare(task)
    await runtime.start(task)
    with pytest.raises(SwarmctlError, match="unhealthy container"):
        await asyncio.wait_for(runtime.become_fit("t1"), 20)
    await runtime.forget("t1")
    assert processes_of(tmp_path) == []


async def test_a_task_that_ends_is_not_unhealthy(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path)
    await runtime.recover([], [])
    task = assignment("sh", "-c", "exit 5", Healthcheck=CHECK)
    await runtime.prepare(task)
    await runtime.start(task)
    assert await runtime.wait("t1") == 5
    await runtime.forget("t1")


@pytest.mark.parametrize("full", ["os.mkfifo", "reconciler.adapters.process_runtime.runtime.write_record"])
async def test_a_task_that_a_full_disk_lets_not_be_started_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(full, refuse)
    runtime = a_runtime(tmp_path)
    await runtime.recover([], [])
    task = assignment("sleep", "1000")
    await runtime.prepare(task)
    with pytest.raises(SwarmctlError, match="No space left on device"):
        await runtime.start(task)
    await asyncio.wait_for(runtime.abandon("t1"), 20)
    assert processes_of(tmp_path) == []


async def test_an_exit_code_that_can_not_be_written_down_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, *_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    runtime = a_runtime(tmp_path)
    await runtime.recover([], [])
    task = assignment("sleep", "1000")
    await runtime.prepare(task)
    started = await runtime.start(task)
    monkeypatch.setattr(Path, "write_text", refuse)
    os.killpg(os.getpgid(started.pid), signal.SIGKILL)  # its keeper too, which would have written it
    assert await asyncio.wait_for(runtime.wait("t1"), 20) == 137
    assert "No space left on device" in caplog.text


async def test_a_young_task_is_checked_more_often(tmp_path: Path) -> None:
    check = {"Test": ["CMD", "true"], "Interval": 1_000_000_000_000, "StartPeriod": 60_000_000_000}
    runtime = a_runtime(tmp_path)
    await runtime.recover([], [])
    task = assignment("sleep", "1000", Healthcheck=check | {"StartInterval": 20_000_000})
    await runtime.prepare(task)
    await runtime.start(task)
    await asyncio.wait_for(runtime.become_fit("t1"), 20)
    await runtime.forget("t1")


async def test_all_lines_are_all_that_are_kept(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path)
    await runtime.recover([], [])
    task = assignment("sh", "-c", "i=0; while [ $i -lt 40000 ]; do i=$((i+1)); echo this is line number $i; done")
    await runtime.prepare(task)
    await runtime.start(task)
    assert await asyncio.wait_for(runtime.wait("t1"), 60) == 0
    lines = await runtime.output("t1", 100_000)
    assert (len(lines), lines[0].text, lines[-1].text) == (
        40_000,
        b"this is line number 1",
        b"this is line number 40000",
    )
    assert [line.text for line in await runtime.output("t1", 2)] == [lines[-2].text, lines[-1].text]
    await runtime.forget("t1")
