"""Looks at the cluster that many waits share: a look reads nodes, services and tasks; one is enough for all."""

from __future__ import annotations

import asyncio

from reconciler.controller.patience import Patience
from reconciler.controller.ports import Cluster
from reconciler.model.actual import ActualState


class Looks:
    """At most one look is under way, and one more is asked for."""

    def __init__(self, cluster: Cluster, patience: Patience, before: ActualState | None = None) -> None:
        """`before` is an earlier observation, of which what nobody waits for need not be read again."""
        self._cluster, self._patience, self._last = cluster, patience, before
        self._underway: asyncio.Task[ActualState] | None = None
        self._next: asyncio.Task[ActualState] | None = None
        self._tasks_alone = True
        """Whether all who ask for the next look ask for no more."""

    async def look(self, *, tasks_alone: bool = False) -> ActualState:
        """Return nodes, services and tasks as they are at a moment after this call, never as an earlier look saw them.

        The rest is as the first look saw it: an engine that starts tasks has better to do than to list it again. With
        `tasks_alone` nodes and services may be as they were, too.
        """
        self._tasks_alone = self._tasks_alone and tasks_alone
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._begin(self._underway))
        return await asyncio.shield(self._next)

    async def _begin(self, earlier: asyncio.Task[ActualState] | None) -> ActualState:
        if earlier is not None:
            await asyncio.wait([earlier])
        self._underway, self._next = self._next, None
        tasks_alone, self._tasks_alone = self._tasks_alone, True
        self._last = await self._patience.read(lambda: self._read(self._last, tasks_alone))
        return self._last

    async def _read(self, last: ActualState | None, tasks_alone: bool) -> ActualState:
        if last is None or not tasks_alone:
            return await self._cluster.observe(last)
        return await self._cluster.observe_tasks(last)

    async def whole(self) -> ActualState:
        """Return everything as it is at a moment after this call."""
        return await self._patience.read(self._cluster.observe)

    def close(self) -> None:
        """End what is under way."""
        for task in (self._underway, self._next):
            if task is not None:
                task.cancel()
