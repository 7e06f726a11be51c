"""Waits until services have converged, or says precisely why not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from reconciler.controller.assess import assess, monitor_s
from reconciler.controller.ports import Cluster
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.progress import Assessment, Report, ServicesProgress, Verdict

POLL_S = 0.25
"""Seconds between looks. Swarm sends no event for a task, so there is nothing to be woken by."""

LOST_ENDPOINT_RETRIES_MAX = 20
"""Looks that may fail in a row while the endpoint restarts or elects a leader, before that is the result."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last look at each awaited service."""

    assessments: tuple[Assessment, ...]
    timed_out: bool

    @property
    def converged(self) -> bool:
        return all(one.verdict is Verdict.CONVERGED for one in self.assessments)


@dataclass(slots=True)
class _Stability:
    """Since when a service has had the same tasks running; by the event loop's clock, in seconds."""

    task_ids: frozenset[str]
    since_s: float


async def await_convergence(
    cluster: Cluster,
    services: Collection[str],
    timeout_s: float,
    report: Report,
    updated: Collection[str] = frozenset(),
) -> Outcome:
    """Return once every named service has ended: converged and stable, paused, rolled back or missing; or on time-out.

    Stable means that the same tasks ran for the service's monitor period: a task that crashes at once is running
    for a moment, too. A completed update was already watched for that long by the swarm itself. Of services that
    are not in `updated`, a rollback is an old story, and counts as whatever the tasks say.
    """
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    stability: dict[str, _Stability] = {}
    failures = 0
    while True:
        try:
            actual = await cluster.observe()
            failures = 0
        except SwarmctlError as error:
            failures += 1
            passing = error.code in (ErrorCode.ENGINE_UNREACHABLE, ErrorCode.SWARM_UNAVAILABLE)
            if not passing or failures > LOST_ENDPOINT_RETRIES_MAX:
                raise
            await asyncio.sleep(POLL_S * failures)
            continue
        waited_s = loop.time() - started_s
        looks = tuple(
            _settled_story(_look(name, actual, stability, loop.time()), updated=name in updated) for name in services
        )
        report(ServicesProgress(looks, waited_s))
        if all(look.verdict is not Verdict.PROGRESSING for look in looks):
            return Outcome(looks, timed_out=False)
        if waited_s >= timeout_s:
            return Outcome(looks, timed_out=True)
        await asyncio.sleep(POLL_S)


def _settled_story(look: Assessment, *, updated: bool) -> Assessment:
    if updated or look.verdict is not Verdict.ROLLED_BACK:
        return look
    good = look.running == look.wanted
    return replace(look, verdict=Verdict.CONVERGED if good else Verdict.PROGRESSING)


def _look(name: str, actual: ActualState, stability: dict[str, _Stability], now_s: float) -> Assessment:
    service = actual.by_name(Kind.SERVICE).get(name)
    if service is None:
        return Assessment(name, Verdict.MISSING, 0, 0, "the service was removed by someone else")
    look = assess(service, actual)
    if look.verdict is not Verdict.CONVERGED or service.dig("UpdateStatus", "State") == "completed":
        stability.pop(name, None)
        return look
    known = stability.get(name)
    if known is None or known.task_ids != look.task_ids:
        known = stability[name] = _Stability(look.task_ids, now_s)
    left_s = monitor_s(service) - (now_s - known.since_s)
    if left_s <= 0 or "Job" in next(iter(service.spec.get("Mode") or {"": None})):
        return look
    return replace(look, verdict=Verdict.PROGRESSING, message=f"watched for another {math.ceil(left_s)} s")
