"""A node on its own engine: one container that the engine hangs on holds up nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reconciler.adapters.docker_runtime import runtime
from reconciler.adapters.docker_runtime.container import TASK_LABEL
from reconciler.adapters.docker_runtime.runtime import DockerRuntime


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
