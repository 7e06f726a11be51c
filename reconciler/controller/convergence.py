"""Waits until services have converged, or says precisely why not."""

from __future__ import annotations

import asyncio
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
PAUSE_PER_LOOK = 40
"""A pause lasts at least so many times as long as the look before it, up to POLL_MAX_S: a swarm that answers slowly is
busy starting the very tasks that are waited for."""

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
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    watch = Watch(services, waiting.before, updated)
    while True:
        asked_s = loop.time()
        actual = await waiting.looks.look()
        now_s = loop.time()
        waited_s = now_s - started_s
        looks = watch.look(actual, now_s)
        ended = all(look.verdict is not Verdict.PROGRESSING for look in looks)
        if not ended and waited_s >= waiting.timeout_s:
            looks = watch.at_the_end(looks, actual)
        waiting.report(ServicesProgress(looks, waited_s))
        if ended or waited_s >= waiting.timeout_s:
            told = await asyncio.gather(*(_with_log(look, watch, waiting.cluster) for look in looks))
            return Outcome(tuple(told), timed_out=not ended)
        await asyncio.sleep(min(max(POLL_S, PAUSE_PER_LOOK * (now_s - asked_s)), POLL_MAX_S))


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
