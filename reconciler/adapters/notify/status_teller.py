"""Posts the statuses of commits to the forges of the sources: the newest of each commit, and each once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from reconciler.adapters.notify.outlet import Outlet, OutletLimits
from reconciler.adapters.notify.outlets import Outlets
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


class StatusTeller(Outlets[CommitStatus]):
    """Posts what is offered. `offer` never waits or raises.

    `forges` are by source. `remember` is told (source, status) once a forge has a status, or never will: put it into
    the source's Posted. It must not raise and not block.
    """

    def __init__(
        self,
        forges: Mapping[str, Forge],
        remember: Callable[[str, CommitStatus], None],
        limits: OutletLimits = STATUS_LIMITS,
    ) -> None:
        super().__init__(
            {
                source: Outlet[CommitStatus](f"commit-status/{source}", forge.send, limits, self._settled)
                for source, forge in forges.items()
            }
        )
        self._remember = remember
        self._offered: dict[tuple[str, str], CommitStatus] = {}
        self._on_the_way: dict[str, tuple[str, CommitStatus]] = {}
        self._number = 0

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
