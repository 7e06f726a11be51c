"""What an agent needs from outside: a clock, and something that runs tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Protocol, TypeAlias

import msgspec

from reconciler.model.assignments import Assignment, TaskReport
from reconciler.model.output import LogLine
from reconciler.model.tables import PublishedPort

ReportSink: TypeAlias = Callable[[TaskReport], Awaitable[None]]


class Clock(Protocol):
    def now(self) -> datetime:
        """Return this moment, aware UTC."""
        ...


class StartedTask(Protocol):
    """A task that was started. `address` is where it listens, "" when it has no address of its own; `container_id` the
    engine's name of it, "" for none; `ports` those that the node publishes for it alone."""

    @property
    def pid(self) -> int: ...

    @property
    def address(self) -> str: ...

    @property
    def container_id(self) -> str: ...

    @property
    def ports(self) -> tuple[PublishedPort, ...]: ...


class StopPolicy(msgspec.Struct, frozen=True):
    """How a task is asked to end, and for how long before it is made to."""

    signal: str
    grace_s: float


class TaskRuntime(Protocol):
    """Runs the tasks of one node. Raises SwarmctlError for a task that can't be; its `what` is shown to users."""

    async def recover(self, wanted: Collection[str], kept: Collection[str]) -> None:
        """Take stock of what a predecessor has left behind, before anything else; both are ids of tasks.

        End all that is not `wanted`, and remove it too unless its output is to be `kept`. Never raises for what can't
        be removed.
        """
        ...

    async def adopt(self, assignment: Assignment) -> StartedTask | None:
        """Take over a task that a predecessor has started, whether it runs still or has ended meanwhile, as if this
        runtime had started it; None when there is none."""
        ...

    async def prepare(self, assignment: Assignment) -> None:
        """Make everything ready that the task needs, short of starting it. Where this is cancelled, it returns as soon
        as `abandon` can let go of what was made."""
        ...

    async def start(self, assignment: Assignment) -> StartedTask:
        """Start a prepared task."""
        ...

    async def become_fit(self, task_id: str) -> None:
        """Wait until a started task is healthy; one without a healthcheck is at once. Raises SwarmctlError when it
        turns out to be unhealthy. May never return for one that ends: `wait` tells."""
        ...

    async def wait(self, task_id: str) -> int:
        """Wait until a started task has ended with all that it started; return its exit code (128 + a signal).

        Raises SwarmctlError when it is unhealthy before that.
        """
        ...

    async def stop(self, task_id: str, policy: StopPolicy) -> None:
        """Ask a started task to end, and after the grace period make it; returns when it has ended."""
        ...

    async def abandon(self, task_id: str) -> None:
        """End at once what runs of a task and let go of what it holds, its output excepted; it need not be there."""
        ...

    async def forget(self, task_id: str) -> None:
        """Abandon a task, and remove what is left of it, its output too. Never raises for what can't be removed."""
        ...

    async def output(self, task_id: str, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        """Return the last lines of a task's output that are younger than `since_ns`; empty when there are none."""
        ...

    def annotate(self, task_id: str, line: str) -> None:
        """Add a line to a task's output."""
        ...

    async def close(self) -> None:
        """End whatever still runs, without patience."""
        ...

    async def let_go(self) -> None:
        """Leave everything as it is, for a successor to take over."""
        ...
