"""Posts the statuses of commits to the forges of the sources: the newest of each commit, and each once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Protocol

from reconciler.adapters.notify.outlet import Outlet, OutletLimits, OutletStatus
from reconciler.adapters.notify.status_sink import STATUS_LIMITS, StatusSink
from reconciler.gitops.commit_status import Posted, due
from reconciler.model.forges import CommitStatus

OFFERED_MAX: Final = 1000
"""Commits whose last status is known without asking the store."""


class Forge(Protocol):
    """Posts one status, or raises NotSent."""

    async def send(self, status: CommitStatus) -> None:
        """Post one."""
        ...


class StatusTeller(AbstractAsyncContextManager["StatusTeller"]):
    """Posts while its context is open: as long as this controller leads. `offer` never waits or raises.

    `forges` are by source. `remember` is told (source, status) once a forge has a status, or never will: put it into
    the source's Posted. It must not raise and not block.
    """

    def __init__(
        self,
        forges: Mapping[str, Forge],
        remember: Callable[[str, CommitStatus], None],
        limits: OutletLimits = STATUS_LIMITS,
    ) -> None:
        self._remember = remember
        self._offered: dict[tuple[str, str], CommitStatus] = {}
        self._on_the_way: dict[str, tuple[str, CommitStatus]] = {}
        self._number = 0
        self._outlets = {
            source: Outlet[CommitStatus](f"commit-status/{source}", forge.send, limits, self._settled)
            for source, forge in forges.items()
        }
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> StatusTeller:
        self._tasks = [asyncio.create_task(one.run(), name=f"forge {name}") for name, one in self._outlets.items()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def statuses(self) -> Sequence[OutletStatus]:
        """Return where each forge stands."""
        return tuple(one.status for one in self._outlets.values())

    def offer(self, source: str, wanted: Sequence[CommitStatus], posted: Posted) -> None:
        """Take what the commits of a source should say now. What was posted, or is on its way, is passed over."""
        outlet = self._outlets.get(source)
        if outlet is None:
            return
        for status in wanted:
            key = StatusSink.key(status)
            before = self._offered.get((source, key))
            if before == status or (before is None and not due(posted, (status,))):
                continue
            self._offered[source, key] = status
            while len(self._offered) > OFFERED_MAX:
                del self._offered[next(iter(self._offered))]
            self._number += 1
            job_id = str(self._number)
            self._on_the_way[job_id] = (source, status)
            outlet.offer(job_id, status, key)

    def _settled(self, job_id: str) -> None:
        source, status = self._on_the_way.pop(job_id)
        if self._offered.get((source, StatusSink.key(status))) == status:  # else a newer one has taken its place
            self._remember(source, status)
