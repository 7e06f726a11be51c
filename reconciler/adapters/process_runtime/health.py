"""A task's healthcheck: its command, run beside the task again and again. (moby daemon/health.go)"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from reconciler.adapters.process_runtime.refusal import cannot_run
from reconciler.model.assignments import Assignment
from reconciler.model.errors import SwarmctlError

DEFAULT_INTERVAL_S = 30.0
DEFAULT_TIMEOUT_S = 30.0
DEFAULT_RETRIES = 3
DEFAULT_START_INTERVAL_S = 5.0
UNHEALTHY = "task: non-zero exit (137): dockerexec: unhealthy container"


class Check(msgspec.Struct, frozen=True):
    """What a healthcheck does. Failures within `start_period_s` count for nothing until it has succeeded once, and so
    long it is made every `start_interval_s`."""

    argv: Sequence[str]
    interval_s: float
    timeout_s: float
    retries: int
    start_period_s: float
    start_interval_s: float


def check_of(assignment: Assignment) -> Check | None:
    """Return a task's healthcheck, None when it has none of its own."""
    wanted = assignment.container.get("Healthcheck") or {}
    test = [str(word) for word in wanted.get("Test") or ()]
    if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
        return None
    argv = test[1:] if test[0] == "CMD" else ["/bin/sh", "-c", test[1]]
    interval_s = _seconds(wanted.get("Interval")) or DEFAULT_INTERVAL_S
    return Check(
        argv,
        interval_s,
        _seconds(wanted.get("Timeout")) or DEFAULT_TIMEOUT_S,
        int(wanted.get("Retries") or DEFAULT_RETRIES),
        _seconds(wanted.get("StartPeriod")),
        _seconds(wanted.get("StartInterval")) or min(DEFAULT_START_INTERVAL_S, interval_s),
    )


def _seconds(nanoseconds: object) -> float:
    return nanoseconds / 1e9 if isinstance(nanoseconds, int) else 0.0


@dataclass(slots=True)
class Health:
    """Watches one task. `fit` is set once the check has succeeded, `ailing` once it has failed too often in a row."""

    check: Check
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    fit: asyncio.Event = field(default_factory=asyncio.Event)
    ailing: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Check until the task is unhealthy, or this is cancelled."""
        loop, failures = asyncio.get_running_loop(), 0
        lenient_until_s = loop.time() + self.check.start_period_s
        while failures < self.check.retries:
            starting = not self.fit.is_set() and loop.time() < lenient_until_s
            await asyncio.sleep(self.check.start_interval_s if starting else self.check.interval_s)
            if await self._succeeds():
                failures = 0
                self.fit.set()
            elif self.fit.is_set() or loop.time() >= lenient_until_s:
                failures += 1
        self.ailing.set()

    async def _succeeds(self) -> bool:
        try:
            process = await asyncio.create_subprocess_exec(
                *self.check.argv,
                cwd=self.folder,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError):
            return False
        try:
            async with asyncio.timeout(self.check.timeout_s):
                return await process.wait() == 0
        except TimeoutError:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    async def become_fit(self) -> None:
        """Wait until the task is healthy. Raises SwarmctlError when it is not."""
        fit, ailing = asyncio.ensure_future(self.fit.wait()), asyncio.ensure_future(self.ailing.wait())
        try:
            await asyncio.wait({fit, ailing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            fit.cancel()
            ailing.cancel()
        if not self.fit.is_set():
            raise unhealthy()

    async def outlive(self, ended: asyncio.Task[int]) -> int:
        """Return the exit code of a task that ends. Raises SwarmctlError when it is unhealthy before."""
        ailing = asyncio.ensure_future(self.ailing.wait())
        try:
            await asyncio.wait({ended, ailing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ailing.cancel()
        if ended.done():
            return ended.result()
        raise unhealthy()


def unhealthy() -> SwarmctlError:
    """Return why a task is ended whose healthcheck failed."""
    return cannot_run(UNHEALTHY)
