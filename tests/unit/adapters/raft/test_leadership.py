"""When a leader's work counts as stuck."""

from __future__ import annotations

import asyncio
import time

from reconciler.adapters.raft.leadership import Leadership
from reconciler.model.errors import ErrorCode, SwarmctlError

END_S = 0.2
DEPTH = 8


async def nested(depth: int) -> None:
    """A work of several scopes, whose cancellation takes as many rounds of the event loop."""
    if depth == 0:
        await asyncio.Event().wait()
    async with asyncio.TaskGroup() as inner:
        inner.create_task(nested(depth - 1))


async def until(condition) -> None:
    async with asyncio.timeout(60.0):
        while not condition():  # noqa: ASYNC110 - what is polled is not ours to signal
            await asyncio.sleep(0.005)


async def test_a_work_that_could_not_run_because_the_process_stood_still_is_not_stuck():
    stuck: list[SwarmctlError] = []
    ended: list[int] = []

    async def work(epoch: int) -> None:
        try:
            await nested(DEPTH)
        finally:
            ended.append(epoch)

    leadership = Leadership("a", END_S, stuck.append)
    running = asyncio.create_task(leadership.run(work))
    leadership.begin(1)
    await until(lambda: leadership._task is not None and len(asyncio.all_tasks()) >= DEPTH)
    leadership.end()
    time.sleep(3 * END_S)  # noqa: ASYNC251 - as a process that is paused
    await until(lambda: ended)
    await asyncio.sleep(0)
    assert not stuck
    running.cancel()
    await asyncio.wait({running})


async def test_a_work_that_goes_on_is_stuck_also_in_a_process_that_stood_still():
    stuck: list[SwarmctlError] = []
    goes_on = asyncio.Event()

    async def work(_: int) -> None:
        while not goes_on.is_set():
            try:
                await goes_on.wait()
            except asyncio.CancelledError:
                continue

    leadership = Leadership("a", END_S, stuck.append)
    running = asyncio.create_task(leadership.run(work))
    leadership.begin(1)
    await until(lambda: leadership._task is not None)
    leadership.end()
    time.sleep(3 * END_S)  # noqa: ASYNC251 - as a process that is paused
    await until(lambda: stuck)
    assert stuck[0].code is ErrorCode.RAFT_WORK_STUCK
    goes_on.set()
    running.cancel()
    await asyncio.wait({running})
