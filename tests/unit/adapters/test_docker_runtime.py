"""A node on its own engine: one container that the engine hangs on holds up nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reconciler.adapters.docker_runtime import containers, runtime
from reconciler.adapters.docker_runtime.container import TASK_LABEL
from reconciler.adapters.docker_runtime.engine import EngineRefused
from reconciler.adapters.docker_runtime.runtime import DockerRuntime, StartedContainer
from reconciler.model.assignments import Assignment
from reconciler.model.tasks import TaskState


class HangingEngine:
    """An engine that lists two containers, and never comes to an end with the removal of the first."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.given_up: list[str] = []

    async def get(self, *_: str, query: Any = None) -> Any:
        return [{"Id": one, "Labels": {TASK_LABEL: f"task-{one}"}, "State": "running"} for one in ("one", "two")]

    async def ask(self, method: str, *steps: str, query: Any = None) -> bytes:
        assert (method, steps[0]) == ("DELETE", "containers")
        if steps[1] == "one":
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.append("one")
        self.removed.append(steps[1])
        return b""


async def test_a_removal_that_hangs_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "RECOVER_WAIT_S", 0.05)
    engine = HangingEngine()
    node: Any = DockerRuntime("node", engine)  # type: ignore[arg-type]  # as much of one as is asked here
    async with asyncio.timeout(30):
        await node.recover((), ())
        assert (engine.removed, engine.given_up) == (["two"], [])
        assert "takes its time to end containers that nobody needs any more: 1" in caplog.text
        await node.let_go()
    assert engine.given_up == ["one"]


class SlowEngine:
    """An engine with one container, which it does not look at when it is first asked."""

    def __init__(self) -> None:
        self.refusals = [EngineRefused(0, "the node's engine does not answer (TimeoutError)")]

    async def get(self, *steps: str, query: Any = None) -> Any:
        if steps == ("containers", "json"):
            return [{"Id": "one", "Labels": {TASK_LABEL: "t1"}, "State": "running"}]
        if self.refusals:
            raise self.refusals.pop()
        return {"Id": "one", "State": {"Status": "running", "Pid": 42}}


async def test_a_container_is_adopted_once_its_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "RETRY_S", 0.0)
    node: Any = DockerRuntime("node", SlowEngine())  # type: ignore[arg-type]  # as much of one as is asked here
    await node.recover(["t1"], ())
    task = Assignment("t1", "s1", "web", {}, 1, "n1", "node1", TaskState.RUNNING, {"ContainerSpec": {}})
    async with asyncio.timeout(30):
        assert await node.adopt(task) == StartedContainer(42, "", "one", ())
        await node.let_go()
