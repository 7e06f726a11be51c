"""Leading as a scope: what a leader does runs inside it, and ends with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from reconciler.adapters.raft import answers
from reconciler.adapters.raft.ports import Work
from reconciler.consensus.values import NodeId
from reconciler.model.errors import SwarmctlError

log = logging.getLogger(__name__)

LATE_SHARE: Final = 0.3
"""Of the time that a work has to end: when the look at it comes later than that, the process itself stood still."""


class Leadership:
    """Runs the work of a leader in each of its epochs."""

    def __init__(self, node: NodeId, end_s: float, stuck: Callable[[SwarmctlError], None]) -> None:
        """`stuck` is told of a work that did not end within `end_s` of its cancellation."""
        self._node = node
        self._end_s = end_s
        self._stuck = stuck
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_running = False
        self.epoch = 0
        """The log index of this leader's claim; 0 while it does not lead, or may not act."""

    def begin(self, epoch: int) -> None:
        """This member's claim is applied: it may act as the leader."""
        self.epoch = epoch
        self._changed.set()

    def end(self) -> None:
        """It may act no more. The work is cancelled: of its own code, only what cleans up runs from here on."""
        if self.epoch == 0:
            return
        self.epoch = 0
        self._changed.set()
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            self._check_later(task, once_more=True)

    def _check_later(self, task: asyncio.Task[None], *, once_more: bool) -> None:
        loop = task.get_loop()
        due_s = loop.time() + self._end_s

        def check() -> None:
            if once_more and not task.done() and loop.time() - due_s > self._end_s * LATE_SHARE:
                # The whole process stood still, and its work with it: that it had no time does not say it is stuck.
                self._check_later(task, once_more=False)
            else:
                self._check_ended(task)

        loop.call_at(due_s, check)

    async def ended(self) -> None:
        """Wait until the work has ended too, as long as it may take."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=self._end_s)

    async def run(self, work: Work) -> None:
        """Run `work` in each epoch, until cancelled. What `work` raises is raised here. Raises RuntimeError if called
        twice at a time.
        """
        if self._is_running:
            raise RuntimeError("a work is under way already")
        self._is_running = True
        try:
            while True:
                while (epoch := self.epoch) == 0:
                    await self._next_change()
                await self._run_in(epoch, work)
                while self.epoch == epoch:
                    await self._next_change()
        finally:
            self._is_running = False

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _run_in(self, epoch: int, work: Work) -> None:
        """Run `work` until it ends, its epoch ends, or this is cancelled."""
        self._task = task = asyncio.ensure_future(work(epoch))
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await self.ended()
            self._check_ended(task)
            raise
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    def _check_ended(self, task: asyncio.Task[None]) -> None:
        if task.done():
            return
        error = answers.work_stuck(self._node, self._end_s)
        log.error("%s %s", error.problems[0].what, error.problems[0].why)
        self._stuck(error)
