"""What a running controller answers and takes, whoever leads. Satisfies `controller_api.ports.Controller`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import structlog
from msgspec.structs import replace

from reconciler.controller.loop.leader import Leader
from reconciler.controller.loop.naming import Named, existing, named
from reconciler.controller.loop.state_records import Request, RequestKind
from reconciler.controller.loop.tracing import trace_of
from reconciler.gitops.overview import ControllerEvent, Health, Member, Overview, Trace
from reconciler.gitops.pushes import Push, concerned
from reconciler.gitops.results import HistoryEntry, resumed, suspended
from reconciler.gitops.state import CLUSTER, EVERYTHING, LoopState, ScopeState, Suspension
from reconciler.gitops.webhooks import Answer, Deliveries, Passed, Receiver, Refused, WebhookRequest, forge_of, receive
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import NodeRole
from reconciler.model.replication import Backup
from reconciler.model.tickets import JoinTicket, TicketIssue

log = structlog.stdlib.get_logger(__name__)

CLUSTER_WAIT_S: Final = 20.0
"""Seconds for what has to ask the cluster; commands wait for 30."""


class Counters(Protocol):
    """What the API counts, and all counts as a page."""

    def webhook(self, forge: str, outcome: str) -> None:
        """Count a webhook."""
        ...

    def request(self, method: str, route: str, status: int) -> None:
        """Count an API request."""
        ...

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return (text, content type) for a scraper."""
        ...


@dataclass(slots=True)
class Answers:
    """One controller of the group, as its API has it. `receivers` are whose webhooks count."""

    cluster: str
    leader: Leader
    counters: Counters
    receivers: Sequence[Receiver] = ()
    clock_now: Callable[[], datetime] = field(kw_only=True)
    _deliveries: Deliveries = field(default_factory=Deliveries)
    _refusals: frozenset[tuple[str, ErrorCode]] = frozenset()
    """Which refusals of webhooks were logged: (forge, code)."""
    _tracing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by what opens a connection of its own to the cluster: one at a time."""

    # --- reading ---

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return self.clock_now()

    def health(self) -> Health:
        """Return how it is: ready is who knows a leader, since what it is asked for reaches that one.

        Who can't follow the leader is not: what it shows may be hours old.
        """
        standing = self.leader.store.standing
        if standing.removed:
            return Health(alive=False, ready=False, why="This controller was removed from its group.")
        if not standing.leader:
            return Health(ready=False, why="No controller leads: fewer than a majority of the group can be reached.")
        refuses = next((one.refuses for one in self.leader.store.members() if one.id == self.leader.member), "")
        return Health(ready=not refuses, why=refuses)

    def overview(self) -> Overview:
        """Return where everything stands."""
        store = self.leader.store
        standing = store.standing
        last = self.leader.memory.last_leader()
        return Overview(
            cluster=self.cluster,
            member=self.leader.member,
            leader=standing.leader,
            epoch=standing.epoch or (last.epoch if last else 0),
            members=self._members(),
            states=self._states(),
            last_pass=self.leader.last_pass,
            passing=dict(self.leader.passing),
        )

    def _members(self) -> tuple[Member, ...]:
        """Return the controllers: why one can't follow is known to itself and to the leader, which writes it down."""
        written = {name: one.why for name, one in self.leader.memory.laggards().items()}
        return tuple(
            Member(
                one.id,
                "",
                one.leader,
                one.refuses or written.get(one.id, ""),
                one.behind,
                None if one.silent_s is None else int(one.silent_s),
            )
            for one in self.leader.store.members()
        )

    def _states(self) -> Mapping[str, LoopState]:
        return {name: self.leader.memory.state(name) for name in self.leader.wakeups}

    async def history(self, scope: str | None, limit: int) -> Sequence[HistoryEntry]:
        """Return the newest applies first."""
        meant = None if scope is None else named(scope, self._states())
        found = [
            one
            for name in (self.leader.wakeups if meant is None else meant.sources)
            for one in self.leader.memory.history(name)
        ]
        kept = [one for one in found if meant is None or meant.scope in one.scopes]
        return sorted(kept, key=lambda one: one.at, reverse=True)[:limit]

    async def events(self, scope: str | None, after: int, limit: int) -> Sequence[ControllerEvent]:
        """Return the newest events, oldest of them first; with `after` the ones next to it: who pages misses none."""
        found = [one for one in self.leader.memory.events() if one.number > after]
        if scope is not None:
            meant = named(scope, self._states())
            found = [one for one in found if one.scope == meant.scope and one.source in ("", *meant.sources)]
        return found[:limit] if after or not limit else found[-limit:]

    async def trace(self, name: str) -> Trace:
        """Return where a task or service comes from. One at a time: each looks at the whole cluster."""
        async with _in_time(), self._tracing:
            return await trace_of(name, self.leader)

    async def tickets(self, limit: int) -> Sequence[TicketIssue]:
        """Return who was given join commands, newest first."""
        return self.leader.memory.tickets()[::-1][:limit]

    def backup(self, by: str) -> AbstractAsyncContextManager[Backup]:
        """Offer a copy of all that this controller has applied."""
        log.info("backup asked for", by=by)
        return self.leader.store.backup()

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return (text, content type) for Prometheus."""
        return self.counters.exposition(accept)

    def answered(self, method: str, route: str, status: int) -> None:
        """Count a request."""
        self.counters.request(method, route, status)

    # --- asking the leader ---

    async def sync(self, scopes: frozenset[str], by: str) -> None:
        """Look at the sources and bring these scopes to what Git asks for."""
        states = self._states()
        meant = [existing(scope, states) for scope in sorted(scopes)]
        requests = {(source, one.scope): RequestKind.SYNC for one in meant for source in one.sources}
        await self.leader.memory.ask([Request(*key, kind, by, self.now()) for key, kind in requests.items()])

    async def suspend(self, suspension: Suspension) -> None:
        """Write nothing of a scope until it is resumed, or until its time."""
        meant = existing(suspension.scope, self._states())
        made = replace(suspension, scope=meant.scope)
        await self._change(meant, suspension.by, lambda state: suspended(state, made))

    async def resume(self, scope: str, by: str) -> None:
        """End a suspension. That of everything is not ended for one stack alone: who thinks so is told."""
        now, states = self.now(), self._states()
        meant = existing(scope, states)
        if meant.scope != EVERYTHING and any(states[name].suspension(EVERYTHING, now) for name in meant.sources):
            raise SwarmctlError(
                ErrorCode.API_REQUEST_INVALID,
                f"{scope} stays suspended, because everything is.",
                why="A suspension of everything ends for all stacks at once.",
                hint="`swarmctl resume '*'` ends it; suspend those first that are to stay so.",
            )
        await self._change(meant, by, lambda state: resumed(state, meant.scope))

    async def _change(self, meant: Named, by: str, change: Callable[[LoopState], LoopState]) -> None:
        now = self.now()
        asked = [Request(one, meant.scope, RequestKind.LOOK, by, now) for one in meant.sources]
        await self.leader.memory.ask(asked, change)

    async def rollback(self, scope: str, commit: str, by: str) -> str:
        """Put a stack back to what an earlier commit asked for, and suspend it."""
        states = self._states()
        meant = named(scope, states)
        if meant.scope in (EVERYTHING, CLUSTER):
            raise SwarmctlError(
                ErrorCode.API_REQUEST_INVALID,
                f"A rollback puts one stack back, and {scope} is none.",
                why="Nodes, settings and networks of swarm.yaml have one history with all stacks.",
                hint="Name a stack; `swarmctl status` lists them. For the others revert the commit in Git.",
            )
        (source,) = existing(scope, states).sources
        found = _earlier(commit, meant.scope, self.leader.memory.state(source), self.leader.memory.history(source))
        now = self.now()
        held = Suspension(meant.scope, now, by, f"rolled back to {found[:12]}")
        request = Request(source, meant.scope, RequestKind.ROLLBACK, by, now, found)
        await self.leader.memory.ask([request], lambda state: suspended(state, held))
        return found

    async def issue_ticket(self, role: NodeRole, hostname: str, by: str) -> JoinTicket:
        """Return what a machine joins with, once it is written down who gets it."""
        async with _in_time(), self._tracing:
            cluster = await self.leader.connect()
            try:
                ticket = await cluster.join_ticket(role)
            finally:
                await cluster.close()
        await self.leader.memory.note_ticket(TicketIssue(self.now(), role, hostname, by))
        return ticket

    async def rotate_token(self, role: NodeRole, by: str) -> None:
        """Have the leader make the join token of a role anew."""
        first = next(iter(self.leader.wakeups))
        await self.leader.memory.ask([Request(first, role.value, RequestKind.ROTATE, by, self.now())])

    async def webhook(self, request: WebhookRequest) -> Answer:
        """Check a webhook and wake what it is about."""
        forge = forge_of(request.headers).value
        answer, self._deliveries = receive(request, self.receivers, self._deliveries, self.now())
        if isinstance(answer, Refused):
            self.counters.webhook(forge, answer.code.value)
            self._log_refusal(forge, answer)
            return answer
        self._refusals = frozenset(one for one in self._refusals if one[0] != forge)
        self.counters.webhook(forge, "passed" if isinstance(answer, Passed) else "push")
        if isinstance(answer, Push):
            await self._woken(answer, forge)
        return answer

    def _log_refusal(self, forge: str, refused: Refused) -> None:
        """Log the first refusal of a kind, until a webhook of that forge is right: anybody may send a million."""
        if (forge, refused.code) not in self._refusals:
            self._refusals |= {(forge, refused.code)}
            log.warning("webhook refused", forge=forge, code=refused.code.value, why=refused.why)

    async def _woken(self, push: Push, forge: str) -> None:
        names = concerned(push, [one.source.spec for one in self.leader.followings])
        log.info("webhook", forge=forge, delivery=push.delivery, sources=" ".join(names))
        if not names:
            return
        if self.leader.store.standing.epoch:
            self.leader.wake("webhook", *names)
            return
        now = self.now()
        await self.leader.memory.ask(
            [Request(name, EVERYTHING, RequestKind.LOOK, f"{forge} webhook", now) for name in names]
        )


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Give up on a cluster that hangs, before whoever asks gives up on this controller. Raises engine-unreachable."""
    try:
        async with asyncio.timeout(CLUSTER_WAIT_S):
            yield
    except TimeoutError as error:
        raise SwarmctlError(
            ErrorCode.ENGINE_UNREACHABLE,
            "The cluster does not answer.",
            why=f"This controller has waited for it for {CLUSTER_WAIT_S:g} s.",
            hint="See whether its managers are well, and ask again.",
            passing=True,
        ) from error


def _is_left(known: ScopeState) -> bool:
    """Return whether a scope is no more what was applied last: another revision has failed, or is on its way."""
    applied, attempt, begun = known.applied, known.attempt, known.begun
    if applied is None:
        return False
    # A failure from before somebody put the stack back says nothing of what it is since.
    has_failed = attempt is not None and attempt.identity != applied.identity and attempt.at > applied.at
    return has_failed or (begun is not None and begun.identity != applied.identity)


def _earlier(commit: str, scope: str, state: LoopState, history: Sequence[HistoryEntry]) -> str:
    """Return the full id of the commit to go back to. Raises object-not-found."""
    good = [one.commit for one in history if scope in one.scopes and scope not in one.failed and one.commit]
    if commit:
        named = [one.commit for one in history if one.commit.startswith(commit)]
        if named:
            return named[-1]
        if len(commit) in (40, 64):
            return commit
    else:
        applied = state.scope(scope).applied
        now = applied.commit if applied is not None and not _is_left(state.scope(scope)) else ""
        # Before the first time that it was so: who puts a stack back twice does not want the harm again.
        earlier = good[: good.index(now)] if now in good else good
        if earlier:
            return earlier[-1]
    raise SwarmctlError(
        ErrorCode.OBJECT_NOT_FOUND,
        f"There is no commit {commit[:12]} to put {scope} back to."
        if commit
        else f"{scope} has no earlier good commit.",
        why="The history knows of none.",
        hint="`swarmctl history` lists commits; any commit of the repository may be given in full.",
    )
