"""One pass over one source: look, load, observe, plan, decide, write down, apply, write down what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from reconciler.controller.apply import apply
from reconciler.controller.crashes import assessed
from reconciler.controller.loop.around import Around, Told
from reconciler.controller.loop.following import Following
from reconciler.controller.loop.looking import Looking
from reconciler.controller.loop.rollback import roll_back_asked
from reconciler.controller.loop.rotations import rotate_asked
from reconciler.controller.loop.state_records import Request, RequestKind
from reconciler.controller.loop.wakeups import FETCHED, Wakeups
from reconciler.controller.ports import Cluster
from reconciler.controller.prepare import prepare
from reconciler.gitops.decide import decide
from reconciler.gitops.look import Decision, Look
from reconciler.gitops.narrowing import beside
from reconciler.gitops.notices import token_rotated
from reconciler.gitops.pass_line import apply_line, outcome, pass_line
from reconciler.gitops.results import HistoryEntry, after_apply
from reconciler.gitops.state import LoopState
from reconciler.model.actual import ActualState
from reconciler.model.alerts import Alert
from reconciler.model.conditions import ConditionType, Reason
from reconciler.model.desired import DesiredState
from reconciler.model.errors import SwarmctlError
from reconciler.model.planned import PlanRequest
from reconciler.model.policies import Policies
from reconciler.model.progress import ActionStatus, ApplyResult
from reconciler.model.sources import SourceStatus

log = structlog.stdlib.get_logger(__name__)

CLUSTER_INCIDENT: Final = "cluster"
"""The key of the incident that the cluster can't be read."""
ROTATED: Final = "JoinTokens."
"""How the path of a change begins that makes a join token anew; the role follows."""
RESYNC_S: Final = 300.0
"""Seconds after which the cluster is looked at whatever has been heard of it: an event may be lost."""
PROGRESS_LOOK_S: Final = 2.0
"""Seconds between looks while something is on its way: an engine tells nothing of tasks."""
CLUSTER_RETRY_S: Final = 2.0
"""Seconds before the second look at a cluster that can't be read, doubled up to RESYNC_S / 10."""
HUNG_FOR_S: Final = 30.0
"""A look that failed after hanging counts once more for each time it hung for so long."""
BETWEEN_WRITES_S: Final = 0.05
"""Seconds between looks at whether a write is still under way."""
BESIDE_SHARE: Final = 5.0
"""While an apply waits for tasks, the cluster is looked at again after so many times as long as the last look took."""
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
    _looked: SourceStatus | None = None
    """What was found and is not written down yet: the next pass begins with it, should this one fail."""
    cluster_failures: int = 0
    """Looks at the cluster that have failed in a row; one that hung counts for more."""
    began_away: bool = False
    """The cluster could not be reached already when this controller began to lead."""
    _passes: int = 0
    _beside: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by a look beside an apply, and by what it writes."""

    async def one(self, causes: Sequence[str]) -> float:
        """Do one pass, and return after how many seconds the next one is due if nothing happens.

        Raises SwarmctlError when what was decided could not be written down: nothing was applied then, or another
        controller leads.
        """
        clock, memory = self.around.clock, self.around.memory
        self._passes += 1
        pass_id, started = f"{self.around.epoch}-{self._passes}", clock.monotonic_s()
        name = self.following.source.spec.name
        if self._passes == 1:
            self.began_away = CLUSTER_INCIDENT in memory.state(name).incidents
        await rotate_asked(self.following, self.around)
        await roll_back_asked(self.following, self.around)
        before = memory.state(name)
        requests = memory.requests(name)
        forced = frozenset(one.scope for one in requests.values() if one.what is RequestKind.SYNC)
        source = await self._source(before.source, causes, accept_rewrite=bool(forced))
        state = replace(before, source=source)
        look = await self._look(state, forced)
        decision = decide(look, state, clock.now())
        seconds = clock.monotonic_s() - started
        self.around.meters.passed(outcome(decision), seconds)
        log.info("pass decided", **pass_line(decision, cause=",".join(causes), pass_id=pass_id, seconds=seconds))
        applies = decision.plan is not None and bool(decision.plan.actions)
        # Who asks for a sync means what Git has now, also where its remote takes its time to say so.
        done = {} if applies or look.plan is None or self.looking.is_under_way else requests
        await memory.write(
            before, decision.state, self.around.epoch, alerts=decision.alerts, entry=decision.entry, done=done
        )
        self._looked = None
        self.around.decided(decision.state)
        if applies:
            await self._carry_out(decision, look, requests, pass_id)
            return 0.0
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
        return replace(look, forced=forced)

    async def _read(self, cluster: Cluster, policies: Policies, desired: DesiredState | None) -> Look:
        if desired is None:
            actual = await cluster.observe()
            return Look(policies, None, actual)
        planned = await prepare(
            PlanRequest(desired, self.around.apply.resolve), cluster, self.around.apply.registry_auth, on_thread=True
        )
        actual = planned.actual
        assessments = await asyncio.to_thread(assessed, actual)
        return Look(policies, desired, actual, planned.plan, assessments)

    async def _carry_out(self, decision: Decision, look: Look, requests: Mapping[str, Request], pass_id: str) -> None:
        """Apply what was decided, and write down what came of it."""
        assert decision.plan is not None
        assert look.actual is not None
        clock, chosen = self.around.clock, self.around.apply
        started = clock.monotonic_s()
        cluster = await self.around.link.cluster()
        told = Told(pass_id)
        applying = asyncio.ensure_future(apply(decision.plan, look.actual, cluster, chosen.options(), told))
        result = await self._unless_superseded(applying, told, decision)
        if result is None:
            await self._superseded(decision, requests, pass_id)
            return
        await self._write_down(decision, look, result, pass_id, clock.monotonic_s() - started, requests)

    async def _write_down(
        self,
        decision: Decision,
        look: Look,
        result: ApplyResult,
        pass_id: str,
        seconds: float,
        requests: Mapping[str, Request] | None = None,
    ) -> None:
        """Write down what came of an apply."""
        clock = self.around.clock
        self.around.meters.applied(result, seconds)
        log.info("apply ended", **apply_line(result, pass_id=pass_id, seconds=seconds))
        done = after_apply(decision, look, result, await self._after(result), clock.now())
        alerts = (*done.alerts, *_rotated(result, clock.now()))
        await self.around.memory.write(
            decision.state, done.state, self.around.epoch, alerts=alerts, entry=done.entry, done=requests
        )

    async def _unless_superseded(
        self, applying: asyncio.Future[ApplyResult], told: Told, decision: Decision
    ) -> ApplyResult | None:
        """Return how an apply ended; None when a newer revision, or a rollback, came while it only waited for tasks.

        What waits for a service that will never converge must not hold up the commit that mends it, nor hide what
        happens to others. No write is broken off: what has begun is ended first.
        """
        watching = asyncio.ensure_future(self._meanwhile(told, decision))
        both: set[asyncio.Future[Any]] = {applying, watching}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and (bug := watching.exception()) is not None:
                log.error("looks beside an apply ended by a bug of ours", error=type(bug).__name__)
                await asyncio.wait({applying})
            while not applying.done() and told.under_way:
                await asyncio.wait({applying}, timeout=BETWEEN_WRITES_S)
            async with self._beside:
                return applying.result() if applying.done() else None
        finally:
            applying.cancel()
            watching.cancel()
            await asyncio.wait(both)

    async def _meanwhile(self, told: Told, decision: Decision) -> None:
        """Return once the source offers another revision than what is in force, or a rollback of what is applied is
        asked for; look after the cluster until then.

        What else is asked for waits for the next pass.
        """
        source, kept, moved = decision.state.source, set[str](), False
        rested = self.around.clock.monotonic_s() + PROGRESS_LOOK_S
        try:
            while True:
                due_at, now = self.looking.next_at, self.around.clock.now()
                wait_s = (due_at - now).total_seconds() if due_at else RESYNC_S
                left_s = max(rested - self.around.clock.monotonic_s(), BETWEEN_WRITES_S)
                causes = await self.wakeups.next(min(wait_s, left_s) if moved else wait_s)
                moved |= bool({"cluster-event", "interval", "sync"} & set(causes))
                # A further look for these would find no more. A sync may ask for more than a look.
                kept.update(set(causes) - {"webhook", "files", FETCHED})
                found = await self._source(source, causes, accept_rewrite=False)
                known = source.in_force.identity if source.in_force else ""
                if found.in_force is not None and found.in_force.identity != known:
                    return
                if self._is_rollback_asked(decision):
                    return
                if moved and not told.under_way and self.around.clock.monotonic_s() >= rested:
                    begun, moved = self.around.clock.monotonic_s(), False
                    await self._look_beside(frozenset(decision.applying))
                    now_s = self.around.clock.monotonic_s()
                    rested = now_s + max(PROGRESS_LOOK_S, BESIDE_SHARE * (now_s - begun))
        finally:
            for cause in kept:
                self.wakeups.wake(cause)

    def _is_rollback_asked(self, decision: Decision) -> bool:
        asked = self.around.memory.requests(self.following.source.spec.name).values()
        return any(one.what is RequestKind.ROLLBACK and one.scope in decision.applying for one in asked)

    async def _look_beside(self, busy: frozenset[str]) -> None:
        """Look while an apply of `busy` scopes waits for tasks: tell of drift, and put back that of other scopes.

        What fails is done again by a later look.
        """
        try:
            async with self._beside:
                await rotate_asked(self.following, self.around)
                await self._pass_beside(busy)
        except SwarmctlError as error:
            log.warning("look beside an apply failed", code=error.code.value)

    async def _pass_beside(self, busy: frozenset[str]) -> None:
        clock, memory = self.around.clock, self.around.memory
        started = clock.monotonic_s()
        self._passes += 1
        pass_id = f"{self.around.epoch}-{self._passes}"
        before = memory.state(self.following.source.spec.name)
        state = replace(before, source=self._looked or before.source)  # it offers nothing newer, but may have failed
        failures = self.cluster_failures
        look = replace(await self._look(state, frozenset()), busy=busy)
        self.cluster_failures = failures  # the apply itself finds out whether the cluster is away
        if look.plan is None or look.actual is None:
            return
        decision = decide(look, state, clock.now())
        seconds = clock.monotonic_s() - started
        log.info("pass decided", **pass_line(decision, cause="beside", pass_id=pass_id, seconds=seconds))
        await memory.write(before, decision.state, self.around.epoch, alerts=decision.alerts, entry=decision.entry)
        self.around.decided(decision.state)
        if decision.plan is not None and decision.plan.actions:
            options = replace(self.around.apply.options(), wait=False)
            cluster = await self.around.link.cluster()
            result = await apply(beside(decision.plan), look.actual, cluster, options, Told(pass_id))
            await self._write_down(decision, look, result, pass_id, clock.monotonic_s() - started)

    async def _superseded(self, decision: Decision, requests: Mapping[str, Request], pass_id: str) -> None:
        """Write down that an apply was left for what came meanwhile. Its scopes have neither failed nor converged."""
        revision, newer = decision.state.source.in_force, self._looked
        assert revision is not None
        is_newer = newer is not None and newer.in_force is not None and newer.in_force.identity != revision.identity
        by = newer.in_force.commit[:12] if is_newer and newer and newer.in_force else "a rollback"
        log.info("apply superseded", pass_id=pass_id, revision=revision.commit, by=by)
        entry = HistoryEntry(
            at=self.around.clock.now(),
            commit=revision.commit,
            author=revision.author,
            subject=revision.subject,
            scopes=decision.applying,
            actions=len(decision.plan.actions) if decision.plan else 0,
            failed=dict.fromkeys(decision.applying, f"It had not converged when {by} came."),
        )
        ended = replace(decision.state, begun=None)
        await self.around.memory.write(decision.state, ended, self.around.epoch, entry=entry, done=requests)

    async def _after(self, result: ApplyResult) -> ActualState | None:
        if result.lost is not None:
            return None
        try:
            return await (await self.around.link.cluster()).observe()
        except SwarmctlError:
            return None  # what failed is then tried again by the clock

    def _wait_s(self, decision: Decision, look: Look, now: datetime) -> float:
        moments = [now + timedelta(seconds=RESYNC_S)]
        if self.looking.next_at is not None:
            moments.append(self.looking.next_at)
        if decision.wake_at is not None:
            moments.append(decision.wake_at)
        if look.cluster_problem is not None:
            wait = min(CLUSTER_RETRY_S * 2 ** min(self.cluster_failures - 1, 10), RESYNC_S / 10)
            moments.append(now + timedelta(seconds=wait))
        elif _is_on_its_way(decision.state):
            moments.append(now + timedelta(seconds=PROGRESS_LOOK_S))
        return max((min(moments) - now).total_seconds(), 0.0)


def _rotated(result: ApplyResult, now: datetime) -> tuple[Alert, ...]:
    """Return an alert for each join token that the policy had made anew."""
    changes = [
        change.path.removeprefix(ROTATED)
        for one in result.actions
        if one.status is ActionStatus.DONE
        for change in one.action.changes
        if change.path.startswith(ROTATED)
    ]
    return tuple(token_rotated(role.lower(), "It was older than swarm.yaml allows.", now) for role in changes)


def _is_on_its_way(state: LoopState) -> bool:
    return any(
        one.type is ConditionType.RECONCILING and one.status and one.reason in _ON_ITS_WAY
        for scope in state.scopes.values()
        for one in scope.conditions
    )
