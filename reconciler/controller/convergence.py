"""Waits until services have converged, or says precisely why not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from reconciler.controller import pace
from reconciler.controller.assess import takes_tasks
from reconciler.controller.looks import Looks
from reconciler.controller.ports import Cluster
from reconciler.controller.watch import Watch
from reconciler.model.actual import ActualState
from reconciler.model.errors import SwarmctlError
from reconciler.model.progress import Assessment, Report, ServicesProgress, Verdict
from reconciler.model.tasks import TaskState

LOG_LINES = 10
"""Of a failing task's log."""

LOG_WAIT_S = 5.0
"""Seconds to wait for a log: it comes from the task's node, which may be slow or away."""


class Outcome(msgspec.Struct, frozen=True):
    """The last look at each awaited service."""

    assessments: tuple[Assessment, ...]
    timed_out: bool

    @property
    def converged(self) -> bool:
        return all(one.verdict is Verdict.CONVERGED for one in self.assessments)


class Waiting(msgspec.Struct, frozen=True):
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
        self._outlook = pace.Outlook()
        """What the last look tells of the next one; what it does not know of when others have joined."""
        self._whole_s: float | None = None
        """When a look last read nodes and services, too."""
        self._is_whole = True
        """Whether the last one did."""
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
        pause_s = 0.0
        while True:
            await self._pause(pause_s)
            self._take_in()
            took_s = await self._look()
            pause_s = self._pause_s(took_s) if self._looks else 0.0
            progressing = any(one.verdict is Verdict.PROGRESSING for one in self._looks)
            if self._closed.is_set() and not self._joining and not progressing:
                if self._is_whole:
                    return await self._ended()
                self._outlook, pause_s = pace.Outlook(), 0.0

    async def _pause(self, pause_s: float) -> None:
        """Wait until the next look is due. While writes go on these come rarely, and not once all is well."""
        if not self._closed.is_set():
            if all(one.verdict is Verdict.CONVERGED for one in self._looks):
                await self._joined.wait()
            try:
                async with asyncio.timeout(max(pace.OPEN_PAUSE_S, pause_s)):
                    await self._closed.wait()
            except TimeoutError:
                return
            pause_s = 0.0
        await asyncio.sleep(self._first_pause_s() if self._joining else pause_s)

    def _pause_s(self, took_s: float) -> float:
        """Return how long to wait for the next look after one: as the pace says, and until a time limit at most."""
        now_s = asyncio.get_running_loop().time()
        pause_s = pace.pause_s(self._outlook, now_s, waited_s=now_s - self._joined_s, took_s=took_s)
        limits_s = [due_s - now_s for due_s in self._due_s.values() if due_s > now_s]
        return min([pause_s, *limits_s])

    def _first_pause_s(self) -> float:
        """Return how long to wait for the first look at what has joined, of which the last was just written."""
        before = self._waiting.before
        nodes = sum(1 for node in before.nodes if takes_tasks(node)) if before else 1
        return pace.first_pause_s(sum(1 for name in self._joining if name not in self._due_s), nodes)

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
            self._outlook = pace.Outlook()
            self._joined_s = now_s
            self._since_s = now_s if self._since_s is None else self._since_s

    async def _look(self) -> float:
        """Look at what has joined, and return how many seconds that took."""
        if self._since_s is None:
            return 0.0
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        try:
            actual = await self._seen(asked_s)
        except SwarmctlError:
            if self._closed.is_set():
                raise
            self._joined.set()
            return loop.time() - asked_s  # whoever writes meanwhile says whether it is away
        now_s = loop.time()
        looks = self._watch.look(actual, now_s)
        self._outlook = self._watch.outlook(looks, actual, now_s)
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
        await self._remind()
        return now_s - asked_s

    async def _remind(self) -> None:
        """Write the services as they are whose tasks swarm forgot to end. What fails is tried again if it still is."""
        for one in self._watch.forgotten():
            with suppress(SwarmctlError):
                await self._waiting.cluster.update(one.kind, one.id, one.version, one.spec)

    async def _seen(self, now_s: float) -> ActualState:
        """Return the cluster, of which services and nodes are read again only where these may tell anything new."""
        whole_s_ago = math.inf if self._whole_s is None else now_s - self._whole_s
        if pace.tasks_alone(self._outlook, whole_s_ago=whole_s_ago):
            seen = await self._waiting.looks.look(tasks_alone=True)
            if self._watch.is_told_by(seen):
                self._is_whole = False
                return seen
        self._is_whole, self._whole_s = True, now_s
        return await self._waiting.looks.look()

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
