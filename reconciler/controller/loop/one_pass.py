"""One pass over one source: look, load, observe, plan, decide, write down, and let what is to be applied begin.

What was begun goes on beside the passes (`applies`); a later pass writes down what came of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from msgspec.structs import replace

from reconciler.controller.crashes import assessed
from reconciler.controller.loop.applies import Applies
from reconciler.controller.loop.around import Around
from reconciler.controller.loop.following import Following
from reconciler.controller.loop.looking import Looking
from reconciler.controller.loop.rotations import rotate_asked
from reconciler.controller.loop.state_records import Request, RequestKind
from reconciler.controller.loop.wakeups import AT_ONCE, Wakeups
from reconciler.controller.ports import Cluster
from reconciler.controller.prepare import prepare
from reconciler.gitops.decide import decide
from reconciler.gitops.look import Decision, Look, services_by_scope
from reconciler.gitops.pass_line import outcome, pass_line
from reconciler.gitops.state import LoopState
from reconciler.gitops.superseding import resuming
from reconciler.model.conditions import ConditionType, Reason
from reconciler.model.desired import DesiredState
from reconciler.model.errors import SwarmctlError
from reconciler.model.planned import PlanRequest
from reconciler.model.policies import Policies
from reconciler.model.progress import Verdict
from reconciler.model.sources import SourceStatus

log = structlog.stdlib.get_logger(__name__)

CLUSTER_INCIDENT: Final = "cluster"
"""The key of the incident that the cluster can't be read."""
RESYNC_S: Final = 300.0
"""Seconds after which the cluster is looked at whatever has been heard of it: an event may be lost."""
PROGRESS_LOOK_S: Final = 2.0
"""Seconds between looks while something is on its way: an engine tells nothing of tasks."""
FAILED_LOOK_S: Final = 10.0
"""Seconds between looks while tasks are on their way of what has failed: what has timed out may converge yet."""
CLUSTER_RETRY_S: Final = 2.0
"""Seconds before the second look at a cluster that can't be read, doubled up to RESYNC_S / 10."""
HUNG_FOR_S: Final = 30.0
"""A look that failed after hanging counts once more for each time it hung for so long."""
BESIDE_SHARE: Final = 5.0
"""While an apply is under way, a pass that nobody asked for comes after so many times as long as the last one took."""
LOOK_CAUSES: Final = frozenset({"start", "webhook", "sync", "files"})
"""Causes for which the source is looked at, whenever it was looked at last."""
_ON_ITS_WAY: Final = frozenset({Reason.APPLYING, Reason.PROGRESSING})


@dataclass(slots=True)
class SourcePasses:
    """Passes over one source, one after another."""

    following: Following
    around: Around
    wakeups: Wakeups
    looking: Looking
    applies: Applies
    _looked: SourceStatus | None = None
    """What was found and is not written down yet: the next pass begins with it, should this one fail."""
    cluster_failures: int = 0
    """Looks at the cluster that have failed in a row; one that hung counts for more."""
    began_away: bool = False
    """The cluster could not be reached already when this controller began to lead."""
    _passes: int = 0
    _rests_until_s: float = 0.0
    """Until when no pass comes that nobody asked for, on the monotonic clock."""

    async def causes(self, wait_s: float) -> tuple[str, ...]:
        """Return what the next pass is for, once it is due: in `wait_s` seconds if nothing happens.

        While applies are under way, what they do themselves would call for one pass after another.
        """
        causes = await self.wakeups.next(wait_s)
        while self.applies.busy and AT_ONCE.isdisjoint(causes):
            left_s = self._rests_until_s - self.around.clock.monotonic_s()
            if left_s <= 0:
                break
            causes = tuple(dict.fromkeys((*causes, *await self.wakeups.next(left_s))))
        return causes

    async def one(self, causes: Sequence[str]) -> float:
        """Do one pass, and return after how many seconds the next one is due if nothing happens.

        Raises SwarmctlError when what was decided could not be written down: nothing was applied then, or another
        controller leads.
        """
        began_s = self.around.clock.monotonic_s()
        try:
            return await self._one(causes)
        except Exception:
            self.around.meters.passed("failed", self.around.clock.monotonic_s() - began_s)
            raise
        finally:
            ended_s = self.around.clock.monotonic_s()
            self._rests_until_s = ended_s + max(PROGRESS_LOOK_S, BESIDE_SHARE * (ended_s - began_s))

    async def _one(self, causes: Sequence[str]) -> float:
        clock, memory = self.around.clock, self.around.memory
        self._passes += 1
        pass_id, started = f"{self.around.epoch}-{self._passes}", clock.monotonic_s()
        name = self.following.source.spec.name
        if self._passes == 1:
            self.began_away = CLUSTER_INCIDENT in memory.state(name).incidents
        await self.applies.write_down_ended()
        await rotate_asked(self.following, self.around)
        await self.applies.begin_rollbacks()
        before = memory.state(name)
        requests = self.applies.without_own(memory.requests(name))
        forced = frozenset(one.scope for one in requests.values() if one.what is RequestKind.SYNC)
        source = await self._source(before.source, causes, accept_rewrite=bool(forced))
        state = replace(before, source=source)
        look = await self._look(state, forced)
        if await self.applies.leave_for(look, state):
            before = memory.state(name)
            state = replace(before, source=source)
            look = await self._look(state, forced)
        decision = decide(look, state, clock.now())
        seconds = clock.monotonic_s() - started
        log.info("pass decided", **pass_line(decision, cause=",".join(causes), pass_id=pass_id, seconds=seconds))
        applies = decision.plan is not None and bool(decision.plan.actions)
        # Who asks for a sync means what Git has now, also where its remote takes its time to say so.
        requests = _done(requests, look)
        looks = {key: one for key, one in requests.items() if one.what is RequestKind.LOOK}
        done = {} if look.plan is None or self.looking.is_under_way else looks if applies else requests
        await memory.write(
            before, decision.state, self.around.epoch, alerts=decision.alerts, entry=decision.entry, done=done
        )
        self._looked = None
        self.around.decided(decision.state)
        if applies:
            syncs = {key: one for key, one in requests.items() if key not in done}
            await self.applies.begin(decision, look, syncs, pass_id)
        if decision.resumed:
            await self.applies.begin(resuming(decision, look), look, {}, pass_id)
        self.around.meters.passed(outcome(decision), seconds)
        return self._wait_s(decision, look, clock.now())

    async def _source(self, known: SourceStatus, causes: Sequence[str], *, accept_rewrite: bool) -> SourceStatus:
        """Return where the source stands, as of now or of the last look that ended: no pass waits long for a remote."""
        known = self._looked or known
        if LOOK_CAUSES & set(causes) or self.looking.is_due(self.around.clock.now()):
            self.looking.ask(known, accept_rewrite=accept_rewrite)
        self._looked = await self.looking.found() or self._looked
        return self._looked or known

    async def _look(self, state: LoopState, forced: frozenset[str]) -> Look:
        """Return what is known now, of the revision in force and of the cluster."""
        desired = self.following.desired(state.source)
        policies = desired.policies if desired is not None else Policies()
        began_s = self.around.clock.monotonic_s()
        try:
            cluster = await self.around.link.cluster()
            look = await self._read(cluster, policies, desired)
        except SwarmctlError as error:
            self.cluster_failures += 1 + int((self.around.clock.monotonic_s() - began_s) / HUNG_FOR_S)
            return Look(
                policies,
                desired,
                cluster_problem=error.problems[0],
                cluster_failures=self.cluster_failures,
                forced=forced,
            )
        self.cluster_failures = 0
        return replace(look, forced=forced, busy=self.applies.busy, is_full=self.applies.is_full)

    async def _read(self, cluster: Cluster, policies: Policies, desired: DesiredState | None) -> Look:
        if desired is None:
            actual = await cluster.observe()
            return Look(policies, None, actual)
        asked = PlanRequest(desired, self.around.apply.resolve, elsewhere=self.following.elsewhere())
        planned = await prepare(asked, cluster, self.around.apply.registry_auth, on_thread=True)
        actual = planned.actual
        assessments = await asyncio.to_thread(assessed, actual)
        return Look(policies, desired, actual, planned.plan, assessments)

    def _wait_s(self, decision: Decision, look: Look, now: datetime) -> float:
        moments = [now + timedelta(seconds=RESYNC_S)]
        if self.looking.next_at is not None:
            moments.append(self.looking.next_at)
        if decision.wake_at is not None:
            moments.append(decision.wake_at)
        if look.cluster_problem is not None:
            wait = min(CLUSTER_RETRY_S * 2 ** min(self.cluster_failures - 1, 10), RESYNC_S / 10)
            moments.append(now + timedelta(seconds=wait))
        elif _is_on_its_way(decision.state, self.applies.busy):
            moments.append(now + timedelta(seconds=PROGRESS_LOOK_S))
        elif _may_come_right(decision.state, look, self.applies.busy):
            moments.append(now + timedelta(seconds=FAILED_LOOK_S))
        return max((min(moments) - now).total_seconds(), 0.0)


def _done(requests: Mapping[str, Request], look: Look) -> dict[str, Request]:
    """Return the requests that a pass carries out: not those for a scope that an earlier one is bringing about."""
    return {key: one for key, one in requests.items() if one.what is not RequestKind.SYNC or one.scope not in look.busy}


def _is_on_its_way(state: LoopState, busy: Collection[str]) -> bool:
    """Return whether tasks are on their way that nobody waits for."""
    return any(
        one.type is ConditionType.RECONCILING and one.status and one.reason in _ON_ITS_WAY
        for name, scope in state.scopes.items()
        if name not in busy
        for one in scope.conditions
    )


def _may_come_right(state: LoopState, look: Look, busy: Collection[str]) -> bool:
    """Return whether tasks of a scope are on their way of which an apply has failed."""
    failed = [name for name, scope in state.scopes.items() if scope.attempt is not None and name not in busy]
    services = services_by_scope(look) if failed else {}
    return any(one.verdict is Verdict.PROGRESSING for name in failed for one in services.get(name, ()))
