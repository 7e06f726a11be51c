"""Waits until services have converged, or says precisely why not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from reconciler.controller.looks import Looks
from reconciler.controller.ports import Cluster
from reconciler.controller.watch import Watch
from reconciler.model.actual import ActualState
from reconciler.model.errors import SwarmctlError
from reconciler.model.progress import Assessment, Report, ServicesProgress, Verdict
from reconciler.model.tasks import TaskState

POLL_S = 0.25
"""Seconds between looks. Swarm sends no event for a task, so there is nothing to be woken by."""

POLL_MAX_S = 3.0
PAUSE_PER_LOOK = 100
"""A pause lasts at least so many times as long as the look before it, up to POLL_MAX_S: a swarm that answers slowly is
busy starting the very tasks that are waited for."""

PAUSE_PART = 0.25
"""But no pause is longer than this part of the wait so far: what is done quickly is also told quickly."""

OPEN_PAUSE_S = 2.0
"""Seconds at least before a look while the apply still writes, or waits for a node: the engine has more to do then."""

LOG_LINES = 10
"""Of a failing task's log."""

LOG_WAIT_S = 5.0
"""Seconds to wait for a log: it comes from the task's node, which may be slow or away."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last look at each awaited service."""

    assessments: tuple[Assessment, ...]
    timed_out: bool

    @property
    def converged(self) -> bool:
        return all(one.verdict is Verdict.CONVERGED for one in self.assessments)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What all waits of one apply share. `before` is the cluster before anything was written."""

    cluster: Cluster
    looks: Looks
    before: ActualState | None
    timeout_s: float
    report: Report


async def await_convergence(
    waiting: Waiting, services: Collection[str], updated: Collection[str] = frozenset()
) -> Outcome:
    """Return once every named service has ended, well or not (Verdict), or when the time is over.

    A service that fails may recover while others still progress: its verdict is that of the last look. Raises
    SwarmctlError when the endpoint stays away.
    """
    wait = Wait(waiting)
    wait.join(services, updated)
    wait.close()
    return await wait.outcome()


class Wait:
    """One wait for services, which more may join until it is closed. What is found is reported look by look.

    Each service has the time limit to itself, from when it joined. One that has converged before the wait was closed
    may be moved once more by what is still to be written, and has it anew from then on.
    """

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._watch = Watch((), waiting.before, ())
        self._joining: dict[str, bool] = {}
        """{service that the next look is the first at: whether it was written to}."""
        self._due_s: dict[str, float] = {}
        self._looks: tuple[Assessment, ...] = ()
        self._timed_out = False
        self._since_s: float | None = None
        self._joined_s = 0.0
        self._joined, self._closed = asyncio.Event(), asyncio.Event()

    def join(self, services: Collection[str], updated: Collection[str]) -> None:
        """Await these services, too. `updated` are those that were written to, which they must have been by now."""
        self._joining |= {name: name in updated or self._joining.get(name, False) for name in services}
        if self._joining:
            self._joined.set()

    def close(self) -> None:
        """Let the wait end once what has joined has ended."""
        self._closed.set()
        self._joined.set()

    async def outcome(self) -> Outcome:
        """Return the last look at each service that has joined. Raises SwarmctlError when the endpoint stays away."""
        pause_s = OPEN_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            await self._pause(pause_s)
            self._take_in()
            took_s = await self._look()
            progressing = any(one.verdict is Verdict.PROGRESSING for one in self._looks)
            if self._closed.is_set() and not self._joining and not progressing:
                return await self._ended()
            pause_s = min(PAUSE_PER_LOOK * took_s, PAUSE_PART * (loop.time() - self._joined_s))

    async def _pause(self, pause_s: float) -> None:
        """Wait until the next look is due. While writes go on these come rarely, and not once all is well."""
        if self._closed.is_set():
            if self._looks and not self._joining:
                await asyncio.sleep(min(max(POLL_S, pause_s), POLL_MAX_S))
            return
        if all(one.verdict is Verdict.CONVERGED for one in self._looks):
            await self._joined.wait()
        try:
            async with asyncio.timeout(max(OPEN_PAUSE_S, pause_s)):
                await self._closed.wait()
        except TimeoutError:
            pass

    def _take_in(self) -> None:
        """Let the watch follow what has joined: a look that began before must not be the first at it."""
        now_s = asyncio.get_running_loop().time()
        self._joined.clear()
        joining, self._joining = self._joining, {}
        self._watch.join(tuple(joining), [name for name, is_updated in joining.items() if is_updated])
        anew = [one.service for one in self._looks] if self._closed.is_set() else []
        for name in (*anew, *joining):
            self._due_s.setdefault(name, now_s + self._waiting.timeout_s)
        if joining:
            self._joined_s = now_s
            self._since_s = now_s if self._since_s is None else self._since_s

    async def _look(self) -> float:
        """Look at what has joined, and return how many seconds that took."""
        if self._since_s is None:
            return 0.0
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        try:
            actual = await self._waiting.looks.look()
        except SwarmctlError:
            if self._closed.is_set():
                raise
            self._joined.set()
            return loop.time() - asked_s  # whoever writes meanwhile says whether it is away
        now_s = loop.time()
        looks = self._watch.look(actual, now_s)
        self._looks = tuple(
            self._watch.at_the_end((one,), actual)[0] if now_s >= self._due_s.get(one.service, math.inf) else one
            for one in looks
        )
        self._timed_out = self._looks != looks
        if not self._closed.is_set():
            for one in looks:
                if one.verdict is Verdict.CONVERGED:
                    self._due_s.pop(one.service, None)
        self._waiting.report(ServicesProgress(self._looks, now_s - self._since_s))
        return now_s - asked_s

    async def _ended(self) -> Outcome:
        told = await asyncio.gather(*(_with_log(one, self._watch, self._waiting.cluster) for one in self._looks))
        return Outcome(tuple(told), self._timed_out)


async def _with_log(look: Assessment, watch: Watch, cluster: Cluster) -> Assessment:
    """Return the look with what its failed task printed last. A log that can't be had is no further problem."""
    if look.verdict in (Verdict.CONVERGED, Verdict.MISSING, Verdict.CHANGED, Verdict.UNSCHEDULABLE):
        return look
    failed = watch.failure_of(look.service)
    if failed is None or failed.state is TaskState.REJECTED:  # what was never started has printed nothing
        return look
    try:
        async with asyncio.timeout(LOG_WAIT_S):
            lines = await cluster.task_log(failed.id, tail_lines=LOG_LINES)
    except (SwarmctlError, TimeoutError):
        return look
    return replace(look, log=lines[-LOG_LINES:])
