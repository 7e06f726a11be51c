"""Applies under way beside the passes: each waits for its own tasks, and holds up no other stack.

A pass begins them, and later passes write down what came of them: the decision is the pass's, here is only done what
was decided. All of them end with the leadership; whoever leads next finds what had begun in the state.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog
from msgspec.structs import replace

from reconciler.controller.apply import apply
from reconciler.controller.looks import Looks
from reconciler.controller.loop.around import Around, Told
from reconciler.controller.loop.following import Following
from reconciler.controller.loop.rollback import left_entry, rolled_back
from reconciler.controller.loop.state_records import Request, RequestKind
from reconciler.controller.loop.wakeups import ENDED, Wakeups
from reconciler.controller.patience import Patience
from reconciler.controller.ports import Cluster
from reconciler.gitops.begun import written_before
from reconciler.gitops.look import Decision, Look, scope_of
from reconciler.gitops.notices import token_rotated
from reconciler.gitops.pass_line import apply_line
from reconciler.gitops.results import HistoryEntry, after_apply
from reconciler.gitops.state import CLUSTER, Applied, LoopState
from reconciler.gitops.superseding import Standing, only_awaited, over, released, superseded
from reconciler.model.actual import ActualState
from reconciler.model.alerts import Alert
from reconciler.model.errors import SwarmctlError
from reconciler.model.progress import ActionProgress, ActionStatus, ApplyResult, Progress
from reconciler.model.sources import SourceRevision

log = structlog.stdlib.get_logger(__name__)

APPLIES_MAX: Final = 8
"""Applies of one source that may be under way at once: each keeps what it read."""
BETWEEN_WRITES_S: Final = 0.05
"""Seconds between looks at whether a write is still under way."""
_BEGINS: Final = (ActionStatus.RUNNING, ActionStatus.WAITING)
ROTATED: Final = "JoinTokens."
"""How the path of a change begins that makes a join token anew; the role follows."""
WRITE_WAIT_S: Final = 5.0
"""Seconds for which a pass waits for a write to end, before it leaves its apply. A new role of a node takes longer."""
BUG_PAUSE_MAX_S: Final = 60.0
"""Seconds at most without an apply after an apply that ended by a bug of ours; doubled for each in a row."""
RESUMED_MIN_S: Final = 10.0
"""Seconds for which a wait goes on at least, that was broken off for what came for another stack of its apply."""


@dataclass(slots=True, eq=False)
class Applying:
    """What one decision brings about. `began_s` is when its writes began, on the monotonic clock."""

    decision: Decision
    look: Look
    requests: Mapping[str, Request]
    told: Told
    began_s: float
    work: asyncio.Task[ApplyResult]
    heard: frozenset[str] = frozenset()
    """The scopes for whose early end a pass was woken."""

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.decision.applying)

    @property
    def revision(self) -> SourceRevision:
        revision = self.decision.state.source.in_force
        assert revision is not None
        return revision

    @property
    def standing(self) -> Standing:
        assert self.decision.plan is not None
        return Standing(
            self.decision.plan,
            self.look,
            self.scopes,
            self.revision.identity,
            {name: one.status for name, one in self.told.steps.items()},
            {name: one.verdict for name, one in self.told.services.items()},
            frozenset(self.told.undone),
        )

    def may_end_by(self, step: Progress) -> bool:
        """Return whether a step may be the end of a scope that is told early: of most writes it can't be."""
        if not isinstance(step, ActionProgress):
            return True
        if step.status in _BEGINS:
            return False
        return CLUSTER in self.scopes or any(one.status is ActionStatus.FAILED for one in self.told.steps.values())

    def narrowed(self, scopes: Collection[str]) -> Decision:
        """Return the decision as far as it is about `scopes`."""
        return replace(self.decision, applying=tuple(one for one in self.decision.applying if one in scopes))


@dataclass(slots=True, eq=False)
class RollingBack:
    """What somebody asked for by hand. It ends with an entry of the history."""

    key: str
    request: Request
    told: Told
    work: asyncio.Task[HistoryEntry]


@dataclass(slots=True)
class Applies:
    """Those of one source. One pass after another uses them; nothing else does."""

    following: Following
    around: Around
    wakeups: Wakeups
    _applying: list[Applying] = field(default_factory=list)
    _rolling_back: list[RollingBack] = field(default_factory=list)
    _looks: Looks | None = None
    """While any is under way."""
    _bugs: int = 0
    """Applies in a row that ended by a bug of ours."""
    _rests_until_s: float = 0.0
    """Until when none begins after such a one, on the monotonic clock."""

    @property
    def busy(self) -> frozenset[str]:
        """The scopes that are being brought about."""
        scopes = {one.request.scope for one in self._rolling_back}
        return frozenset(scopes.union(*(one.scopes for one in self._applying)))

    @property
    def is_full(self) -> bool:
        """Whether no further one may begin now."""
        under_way = len(self._applying) + len(self._rolling_back)
        return under_way >= APPLIES_MAX or self.around.clock.monotonic_s() < self._rests_until_s

    def without_own(self, requests: Mapping[str, Request]) -> dict[str, Request]:
        """Return the requests that a pass is to see: not those that are being carried out, nor those for others."""
        own = {key for one in self._applying for key in one.requests}
        others = (RequestKind.ROLLBACK, RequestKind.ROTATE)
        return {key: one for key, one in requests.items() if key not in own and one.what not in others}

    # --- how they begin ---

    async def begin(self, decision: Decision, look: Look, requests: Mapping[str, Request], pass_id: str) -> None:
        """Begin to carry out what was decided and written down. Raises SwarmctlError: there is no connection."""
        assert look.actual is not None
        began_s = self.around.clock.monotonic_s()
        cluster, told = await self.around.link.cluster(), Told(pass_id)
        work = self._working(decision, look.actual, cluster, told, began_s)
        self._add(Applying(decision, look, requests, told, began_s, work))

    def _add(self, one: Applying) -> None:
        self._applying.append(one)
        one.told.moved = partial(self._hear, one)

    def _hear(self, one: Applying, step: Progress) -> None:
        """Let a pass begin once more of an apply has ended than was known, and is to be told before the rest."""
        if one.work.done() or one not in self._applying or not one.may_end_by(step):
            return
        found = over(one.standing)
        if found - one.heard:
            one.heard |= found
            self.wakeups.wake(ENDED)

    def _working(
        self, decision: Decision, actual: ActualState, cluster: Cluster, told: Told, began_s: float
    ) -> asyncio.Task[ApplyResult]:
        """Return the task that carries out what was decided, or waits for what an apply that was left has written."""
        plan, options = decision.plan, replace(self.around.apply.options(), looks=self._shared_looks(cluster, actual))
        assert plan is not None
        if not plan.actions:
            left_s = options.timeout_s - (self.around.clock.monotonic_s() - began_s)
            options = replace(options, timeout_s=max(left_s, RESUMED_MIN_S), resumed=plan.services)
        work = asyncio.ensure_future(apply(plan, actual, cluster, options, told))
        work.add_done_callback(self._ended)
        return work

    async def begin_rollbacks(self) -> None:
        """Begin what rollbacks were asked for, oldest first. They take the place of what their scopes wait for."""
        memory = self.around.memory
        for key, request in memory.requests(self.following.source.spec.name).items():
            known = {one.key for one in self._rolling_back}
            if request.what is not RequestKind.ROLLBACK or key in known:
                continue
            for applying in [one for one in self._applying if request.scope in one.scopes]:
                await self._leave(applying, frozenset({request.scope}), "a rollback")
            for back in [one for one in self._rolling_back if one.request.scope == request.scope]:
                await self._leave_rollback(back, "another one was asked for")
            if request.scope in self.busy or self.is_full:
                continue
            told = Told(f"{self.around.epoch}-rollback")
            work = asyncio.ensure_future(rolled_back(self.following, self.around, request, told))
            work.add_done_callback(self._ended)
            self._rolling_back.append(RollingBack(key, request, told, work))

    def _shared_looks(self, cluster: Cluster, actual: ActualState) -> Looks:
        """Return what those under way look with: as many looks as one would need are enough for all."""
        if self._looks is None:
            self._looks = Looks(cluster, Patience(), actual)
        return self._looks

    def _ended(self, work: asyncio.Task[Any]) -> None:
        if not work.cancelled():
            self.wakeups.wake(ENDED)

    # --- what came of them ---

    async def write_down_ended(self) -> None:
        """Write down what came of those that have ended, and of parts of others, where these are to be told by now.

        Raises as writing does; then it is done again later.
        """
        for one in tuple(self._applying):
            if not one.work.done():
                if given := over(one.standing):
                    await self._release(one, given)
                continue
            try:
                result = one.work.result()
            except Exception:
                self._applying.remove(one)
                self._bugs += 1
                self._rests_until_s = self.around.clock.monotonic_s() + min(2.0**self._bugs, BUG_PAUSE_MAX_S)
                raise
            await self._write_down(one, one.decision, result)
            self._applying.remove(one)
            self._bugs = 0
            seconds = self.around.clock.monotonic_s() - one.began_s
            self.around.meters.applied(result, seconds)
            log.info("apply ended", **apply_line(result, pass_id=one.told.pass_id, seconds=seconds))
        for back in [each for each in self._rolling_back if each.work.done()]:
            await self._write_down_rollback(back, back.work.result())
        if not self._applying:
            self._close_looks()

    async def _write_down(self, one: Applying, decision: Decision, result: ApplyResult) -> None:
        """Write down what came of the scopes that `decision` is about, which may be some of an apply's."""
        around, memory = self.around, self.around.memory
        actual = await self._after(result)
        now, state = around.clock.now(), memory.state(self.following.source.spec.name)
        look = replace(one.look, busy=self.busy - frozenset(decision.applying))
        done = after_apply(decision, look, result, actual, now, state)
        alerts = (*done.alerts, *(_rotated(result, now) if CLUSTER in decision.applying else ()))
        requests = one.requests if one.scopes <= frozenset(decision.applying) else {}
        await memory.write(state, done.state, around.epoch, alerts=alerts, entry=done.entry, done=requests)

    async def _after(self, result: ApplyResult) -> ActualState | None:
        if result.lost is not None:
            return None
        try:
            return await (await self.around.link.cluster()).observe()
        except SwarmctlError:
            return None  # what failed is then tried again by the clock

    async def _write_down_rollback(self, back: RollingBack, entry: HistoryEntry) -> None:
        memory, scope = self.around.memory, back.request.scope
        before = after = memory.state(self.following.source.spec.name)
        if not entry.failed:
            applied = Applied(entry.commit, "", entry.at)
            after = replace(before, scopes={**before.scopes, scope: replace(before.scope(scope), applied=applied)})
        await memory.write(before, after, self.around.epoch, entry=entry, done={back.key: back.request})
        self._rolling_back.remove(back)

    # --- what they are left for ---

    async def leave_for(self, look: Look, state: LoopState) -> bool:
        """Leave what a newer revision, or a resumption, takes the place of; return whether there was any."""
        now, revision, has_left = self.around.clock.now(), state.source.in_force, False
        for one in tuple(self._applying):
            if given := released(one.standing, look, state, now):
                await self._release(one, given)
                has_left = True
            left = superseded(one.standing, look, state, now)
            if left and revision is not None:
                await self._leave(one, left, revision.commit[:12])
                has_left = True
        for back in tuple(self._rolling_back):
            if state.suspension(back.request.scope, now) is None:
                await self._leave_rollback(back, "it was resumed")
                has_left = True
        return has_left

    async def _release(self, one: Applying, given: frozenset[str]) -> None:
        """Write down how some scopes of an apply have ended, which goes on to wait for the others."""
        told, plan = one.told, one.standing.plan
        steps = [told.steps.get(action.id) for action in plan.actions if scope_of(action) in given]
        begun = tuple(step for step in steps if step is not None)
        result = ApplyResult(plan, begun, tuple(told.services.values()), undone=tuple(told.undone.values()))
        await self._write_down(one, one.narrowed(given), result)
        one.decision = one.narrowed(one.scopes - given)
        log.info("apply goes on", pass_id=one.told.pass_id, without=" ".join(sorted(given)))

    async def _leave(self, one: Applying, left: frozenset[str], by: str) -> None:
        """Leave some scopes of an apply, and go on to wait for the others. No write is broken off.

        What waits for a service that will never converge must not hold up the commit that mends it.
        """
        if not await self._has_stopped(one.work, one.told):
            await self.write_down_ended()
            return
        kept = one.standing.written - left
        log.info("apply superseded", pass_id=one.told.pass_id, revision=one.revision.commit, by=by)
        await self._write_down_left(one, tuple(scope for scope in one.decision.applying if scope not in kept), by, kept)
        self._applying.remove(one)
        if kept:
            cluster = await self.around.link.cluster()
            decision = replace(one.narrowed(kept), plan=only_awaited(one.standing.plan, one.look, kept))
            actual, told = await cluster.observe(), Told(one.told.pass_id)
            work = self._working(decision, actual, cluster, told, one.began_s)
            self._add(dataclasses.replace(one, decision=decision, told=told, work=work))

    async def _write_down_left(self, one: Applying, left: tuple[str, ...], by: str, kept: frozenset[str]) -> None:
        """Write down that scopes were left. They have neither failed nor converged."""
        memory, revision = self.around.memory, one.revision
        before = memory.state(self.following.source.spec.name)
        sent = sum(1 for step in one.told.steps.values() if step.was_written and scope_of(step.action) in left)
        entry = HistoryEntry(
            at=self.around.clock.now(),
            commit=revision.commit,
            author=revision.author,
            subject=revision.subject,
            scopes=left,
            actions=written_before(before, left, one.standing.plan) + sent,
            failed=dict.fromkeys(left, f"It had not converged when {by} came."),
        )
        ended = {scope: replace(before.scope(scope), begun=None) for scope in left}
        after = replace(before, scopes={**before.scopes, **ended})
        await memory.write(before, after, self.around.epoch, entry=entry, done={} if kept else one.requests)

    async def _leave_rollback(self, back: RollingBack, why: str) -> None:
        if not await self._has_stopped(back.work, back.told):
            await self.write_down_ended()
            return
        log.info("rollback superseded", scope=back.request.scope, commit=back.request.commit, by=why)
        await self._write_down_rollback(back, left_entry(back.request, self.around, back.told, why))

    async def _has_stopped(self, work: asyncio.Task[Any], told: Told) -> bool:
        """End a wait, and return True; False when it came to its own end meanwhile, or a write takes its time.

        That one is left by a later pass: this one has others to look after.
        """
        due_s = self.around.clock.monotonic_s() + WRITE_WAIT_S
        while not work.done() and told.is_writing:
            if self.around.clock.monotonic_s() >= due_s:
                return False
            await asyncio.wait({work}, timeout=BETWEEN_WRITES_S)
        work.cancel()
        await asyncio.wait({work})
        return work.cancelled()

    async def end(self) -> None:
        """End all of them: this controller leads no more."""
        works: list[asyncio.Task[Any]] = [one.work for one in self._applying]
        works += [one.work for one in self._rolling_back]
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works)
        self._close_looks()

    def _close_looks(self) -> None:
        if self._looks is not None:
            self._looks.close()
            self._looks = None


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
