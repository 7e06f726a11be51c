"""Looks at the cluster that many waits share: a look reads everything, and one is enough for all who wait."""

from __future__ import annotations

import asyncio

from reconciler.controller.patience import Patience
from reconciler.controller.ports import Cluster
from reconciler.model.actual import ActualState


class Looks:
    """At most one look is under way, and one more is asked for."""

    def __init__(self, cluster: Cluster, patience: Patience) -> None:
        self._cluster, self._patience = cluster, patience
        self._underway: asyncio.Task[ActualState] | None = None
        self._next: asyncio.Task[ActualState] | None = None

    async def look(self) -> ActualState:
        """Return the cluster as it is at a moment after this call: never what a look begun earlier has seen."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._begin(self._underway))
        return await asyncio.shield(self._next)

    async def _begin(self, earlier: asyncio.Task[ActualState] | None) -> ActualState:
        if earlier is not None:
            await asyncio.wait([earlier])
        self._underway, self._next = self._next, None
        return await self._patience.read(self._cluster.observe)

    def close(self) -> None:
        """End what is under way."""
        for task in (self._underway, self._next):
            if task is not None:
                task.cancel()
