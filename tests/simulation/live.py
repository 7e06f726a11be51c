"""A real embedded swarm for tests: real processes, real sockets, event-driven waits."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.assembly import EmbeddedSettings, start_embedded_swarm
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask, TaskState

SECOND = 1_000_000_000
WAIT_S = 60.0
LOOK_S = 0.01
QUICK = {"Condition": "any", "Delay": 0}


def spec(name: str, *command: str, replicas: int | None = 1, **fields: Any) -> JsonObject:
    """Return a service that runs `command`; `container` fields go into its ContainerSpec."""
    container = {"Image": "none:1", "Command": list(command), **fields.pop("container", {})}
    template = {"ContainerSpec": container, "RestartPolicy": QUICK, **fields.pop("task", {})}
    mode: JsonObject = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    return {"Name": name, "TaskTemplate": template, "Mode": mode, **fields}


def script(name: str, text: str, **fields: Any) -> JsonObject:
    return spec(name, "sh", "-c", text, **fields)


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def pid_of(task: ObservedTask) -> int:
    return int(task.raw["Status"]["ContainerStatus"]["PID"])


def processes_of(folder: Path) -> list[int]:
    """Return the processes that carry a task folder under `folder` in their environment."""
    found = []
    mark = f"SWARM_TASK_DIR={folder}".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and is_alive(int(entry)):
            try:
                environment = Path(f"/proc/{entry}/environ").read_bytes()
            except OSError:
                continue
            if any(one.startswith(mark) for one in environment.split(b"\0")):
                found.append(int(entry))
    return found


@dataclass
class Live:
    cluster: EmbeddedCluster
    folder: Path

    async def create(self, wanted: JsonObject) -> str:
        return await self.cluster.create(Kind.SERVICE, wanted)

    async def service(self, service_id: str) -> ObservedObject:
        return await self.cluster.get(Kind.SERVICE, service_id)

    async def update(self, service_id: str, wanted: JsonObject) -> None:
        version = (await self.service(service_id)).version
        await self.cluster.update(Kind.SERVICE, service_id, version, wanted)

    async def until(self, promise: str, holds: Callable[[ActualState], Any]) -> Any:
        """Return what `holds` gives, as soon as that is true of the swarm."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not (found := holds(await self.cluster.observe())):  # noqa: ASYNC110 -- tasks send no events
                    await asyncio.sleep(LOOK_S)
                return found
        except TimeoutError:
            tasks = "\n".join(f"  {task}" for task in (await self.cluster.observe()).tasks)
            raise AssertionError(f"It never came true that {promise}; tasks at last:\n{tasks}") from None

    async def running(self, service_id: str, count: int) -> list[ObservedTask]:
        """Return the service's wanted tasks once they are `count` and all run."""

        def settled(actual: ActualState) -> list[ObservedTask]:
            wanted = [task for task in actual.tasks_of(service_id) if task.desired_state <= TaskState.COMPLETE]
            done = len(wanted) == count and all(task.state is TaskState.RUNNING for task in wanted)
            return sorted(wanted, key=lambda task: task.slot) if done else []

        found: list[ObservedTask] = await self.until(f"{count} tasks run", settled)
        return found

    async def ended(self, service_id: str, state: TaskState) -> ObservedTask:
        """Return the first task of the service that is in `state`."""
        found: ObservedTask = await self.until(
            f"a task is {state.api_name}",
            lambda actual: next((task for task in actual.tasks_of(service_id) if task.state is state), None),
        )
        return found

    async def log_with(self, task: ObservedTask, line: str) -> tuple[str, ...]:
        """Return a task's output once it holds `line`."""
        async with asyncio.timeout(WAIT_S):
            while line not in (lines := await self.cluster.task_log(task.id, tail_lines=50)):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
        return lines

    def task_folder(self, task: ObservedTask) -> Path:
        (found,) = self.folder.glob(f"nodes/*/tasks/{task.id}")
        return found


@asynccontextmanager
async def live_swarm(folder: Path, nodes: int = 3) -> AsyncIterator[Live]:
    """Open a swarm; at its end no process of it may be left."""
    async with await start_embedded_swarm(EmbeddedSettings(str(folder), nodes)) as handle:
        yield Live(handle.cluster, folder)
    assert processes_of(folder) == []
