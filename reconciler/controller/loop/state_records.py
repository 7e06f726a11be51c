"""What the loop remembers, read from and written to the replicated store: all of it survives any controller.

One transaction each for what was decided and for what came of it. What has not changed is not written.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from msgspec import structs
from msgspec.structs import replace

from reconciler.controller.loop.happened import happened, told
from reconciler.controller.loop.ports import Store
from reconciler.gitops import commit_status, outbox, records
from reconciler.gitops.bounded import encoded
from reconciler.gitops.commit_status import Posted
from reconciler.gitops.laggards import Laggard, Laggards
from reconciler.gitops.outbox import Outbox, Routes
from reconciler.gitops.overview import ControllerEvent, EventKind
from reconciler.gitops.results import HistoryEntry
from reconciler.gitops.state import EVERYTHING, LoopState
from reconciler.model.alerts import Alert
from reconciler.model.commands import Command, DeleteRecord, PutRecord, Rejected
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.forges import CommitStatus
from reconciler.model.plan import NO_STACK
from reconciler.model.tickets import TicketIssue

_T = TypeVar("_T")

HISTORY: Final = "history"
EVENTS: Final = "events"
REQUESTS: Final = "requests"
CONTROLLER: Final = "controller"
TICKETS: Final = "tickets"
LAGGARDS: Final = "laggards"
LEADER_KEY: Final = "leader"
BLIND: Final = "blind/"
"""What the keys of controllers begin with whose engines don't answer; the member follows."""
REQUESTS_MAX: Final = 100
"""Requests that wait for one source."""
HISTORY_MAX: Final = 200
"""Applies of one source that are remembered."""
EVENTS_MAX: Final = 500
"""Events that are remembered, of all sources."""
TICKETS_MAX: Final = 500
"""Join commands of which it is remembered who got them."""


class RequestKind(enum.StrEnum):
    """What the leader is asked for."""

    LOOK = "look"
    """Look at the source: a webhook came to another controller, or something was changed by hand."""
    SYNC = "sync"
    ROLLBACK = "rollback"
    ROTATE = "rotate"
    """Make the join token of a role anew."""


class Request(msgspec.Struct, frozen=True):
    """Somebody asks the leader for something. `by` is who asked, `commit` for a rollback.

    `scope` is "*" for all, and the role for the rotation of a join token.
    """

    source: str
    scope: str
    what: RequestKind
    by: str
    at: datetime
    commit: str = ""


class Leader(msgspec.Struct, frozen=True):
    """Who led last."""

    member: str
    epoch: int
    at: datetime


@dataclass(slots=True)
class Memory:
    """The records as one controller reads and writes them. Without an epoch (not leading) it may still ask for things.

    `routes` says which alerts which sinks get; `offer` is called when there is something to send.
    """

    store: Store
    now: Callable[[], datetime]
    routes: Routes = field(default_factory=dict)
    offer: Callable[[Outbox], None] = lambda _: None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- reading ---

    def state(self, source: str) -> LoopState:
        """Return what is remembered of a source."""
        return records.from_records(source, self.store.tables.records_under(records.NAMESPACE))

    def outbox(self) -> Outbox:
        """Return the alerts on their way."""
        return outbox.from_records(self.store.tables.records_under(outbox.NAMESPACE))

    def statuses_posted(self, source: str) -> Posted:
        """Return what was posted last to the forge of a source."""
        return commit_status.from_records(source, self.store.tables.records_under(commit_status.NAMESPACE))

    def history(self, source: str) -> tuple[HistoryEntry, ...]:
        """Return the applies of a source, oldest first."""
        return tuple(self._decoded(HISTORY, key_prefix(source), HistoryEntry).values())

    def events(self) -> tuple[ControllerEvent, ...]:
        """Return what happened, oldest first."""
        return tuple(self._decoded(EVENTS, "", ControllerEvent).values())

    def requests(self, source: str) -> dict[str, Request]:
        """Return {key: what was asked for a source}, oldest first."""
        return self._decoded(REQUESTS, key_prefix(source), Request)

    def tickets(self) -> tuple[TicketIssue, ...]:
        """Return who was given join commands, oldest first."""
        return tuple(self._decoded(TICKETS, "", TicketIssue).values())

    def laggards(self) -> dict[str, Laggard]:
        """Return the controllers that can't follow, by name."""
        return self._decoded(LAGGARDS, "", Laggard)

    def last_leader(self) -> Leader | None:
        """Return who led last, as far as it was written down."""
        return self._decoded(CONTROLLER, LEADER_KEY, Leader).get(LEADER_KEY)

    def blind(self) -> frozenset[str]:
        """Return the members whose engines don't answer, as they have noted themselves."""
        found = self.store.tables.records_under(CONTROLLER, BLIND)
        return frozenset(record.key.removeprefix(BLIND) for record in found)

    def _decoded(self, namespace: str, prefix: str, kind: type[_T]) -> dict[str, _T]:
        found: dict[str, _T] = {}
        for record in self.store.tables.records_under(namespace, prefix):
            try:
                found[record.key] = msgspec.json.decode(record.value, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # of a later version of ours
        return found

    # --- what the leader writes ---

    async def write(
        self,
        before: LoopState,
        after: LoopState,
        epoch: int,
        *,
        alerts: Sequence[Alert] = (),
        entry: HistoryEntry | None = None,
        done: Mapping[str, Request] | None = None,
    ) -> bool:
        """Write what changed and what is to be told, as one transaction; return whether there was anything.

        `done` are requests that were carried out; those that are gone already are passed over. Raises SwarmctlError:
        fenced when another one leads, and as the store does.
        """
        source = after.source.name
        async with self._turn:
            now = self.now()
            box, waiting = self.outbox(), self.requests(source) if done else {}
            queued = outbox.queued(box, source, alerts, self.routes, now) if alerts else box
            commands: list[Command] = [
                *outbox.commands(box, queued, now),
                *records.changes(before, after).commands(now),
                *self._events(happened(before, after, alerts, entry, now), now),
                *(DeleteRecord(at=now, namespace=REQUESTS, key=key) for key in done or () if key in waiting),
            ]
            if entry is not None:
                commands += self._appended(HISTORY, key_prefix(source), [entry], HISTORY_MAX, now)
            if not commands:
                return False
            await self._propose(commands, epoch)
        if alerts:
            self.offer(queued)
        return True

    async def given_up(self, key: str, event: ControllerEvent, epoch: int) -> None:
        """Forget a request that can't be carried out, and note why."""
        async with self._turn:
            now = self.now()
            forgotten = DeleteRecord(at=now, namespace=REQUESTS, key=key)
            await self._propose([forgotten, *self._events([event], now)], epoch)

    async def delivered(self, alert_id: str, sink: str, epoch: int) -> None:
        """Take an alert out of the outbox for a sink that has it."""
        async with self._turn:
            box = self.outbox()
            commands = outbox.commands(box, outbox.delivered(box, alert_id, sink), self.now())
            if commands:
                await self._propose(commands, epoch)

    async def posted(self, source: str, status: CommitStatus, epoch: int) -> None:
        """Remember that a forge has a commit's status."""
        async with self._turn:
            known = commit_status.with_posted(self.statuses_posted(source), status)
            await self._propose([commit_status.command(known, self.now())], epoch)

    async def begin_to_lead(self, member: str, epoch: int, alerts: Sequence[Alert]) -> None:
        """Write down who leads, with what to tell of it; sinks that are set up no more are forgotten."""
        async with self._turn:
            now, box = self.now(), self.outbox()
            queued = outbox.queued(box, "", alerts, self.routes, now)
            queued = outbox.without_other_sinks(queued, self.routes.keys())
            leader = encoded(Leader(member, epoch, now))
            commands: list[Command] = [
                PutRecord(at=now, namespace=CONTROLLER, key=LEADER_KEY, value=leader),
                *outbox.commands(box, queued, now),
                *self._events(told("", alerts), now),
            ]
            await self._propose(commands, epoch)
        self.offer(queued)

    async def note_laggards(self, now_so: Laggards, epoch: int) -> None:
        """Write down which controllers can't follow, with what to tell of it."""
        async with self._turn:
            now, box, before = self.now(), self.outbox(), self.laggards()
            queued = outbox.queued(box, "", now_so.alerts, self.routes, now)
            changed = [one for name, one in now_so.found.items() if one != before.get(name)]
            commands: list[Command] = [
                *(PutRecord(at=now, namespace=LAGGARDS, key=one.member, value=encoded(one)) for one in changed),
                *(DeleteRecord(at=now, namespace=LAGGARDS, key=name) for name in before if name not in now_so.found),
                *outbox.commands(box, queued, now),
                *self._events(told("", now_so.alerts), now),
            ]
            await self._propose(commands, epoch)
        self.offer(queued)

    # --- what any controller may write, because somebody asked it to ---

    async def ask(
        self, requests: Sequence[Request], change: Callable[[LoopState], LoopState] = lambda state: state
    ) -> None:
        """Leave requests for the leader, and change what is remembered of their sources, as one transaction.

        `change` is for what is said by hand: suspensions. The leader is woken by the requests. One look that waits
        stands for all. Raises SwarmctlError: api-overloaded when too much waits, and as the store does.
        """
        await self.store.read_barrier()  # a follower may be behind: what it does not know, it could not take back
        async with self._turn:
            now = self.now()
            commands: list[Command] = []
            for request in requests:
                before = self.state(request.source)
                changed = records.changes(before, change(before)).commands(now)
                commands += changed
                waiting = self.requests(request.source)
                if request.what is RequestKind.LOOK and not changed and _has_look(waiting):
                    continue
                if len(waiting) >= REQUESTS_MAX:
                    raise _too_many(request.source)
                key = f"{key_prefix(request.source)}{request.at.isoformat()}/{request.scope}"[: records.KEY_CHARS_MAX]
                value = encoded(request)
                commands.append(PutRecord(at=now, namespace=REQUESTS, key=key, value=value))
            asked = [_asked(one) for one in requests if one.what is not RequestKind.LOOK]
            commands += self._events(asked, now, beside=True)
            if commands:
                await self._propose(commands, None)

    async def note_blind(self, member: str, *, is_blind: bool) -> None:
        """Write down whether a member's engine is silent, or take that away. Raises SwarmctlError as the store does."""
        async with self._turn:
            now, key = self.now(), f"{BLIND}{member}"
            noted = PutRecord(at=now, namespace=CONTROLLER, key=key, value=encoded(now.isoformat()))
            await self._propose([noted if is_blind else DeleteRecord(at=now, namespace=CONTROLLER, key=key)], None)

    async def note_ticket(self, issue: TicketIssue) -> None:
        """Write down who gets a join command, before it is given. Raises SwarmctlError as the store does."""
        await self.store.read_barrier()
        async with self._turn:
            keys = [record.key for record in self.store.tables.records_under(TICKETS)]
            key = f"{issue.at.isoformat()}/{issue.hostname}"[: records.KEY_CHARS_MAX]
            who, role = issue.by or "Somebody", issue.role.value
            message = f"{who} was given the join command of a {role} for {issue.hostname}."
            event = ControllerEvent(0, issue.at, EventKind.TOKEN, message, scope=f"node/{issue.hostname}", by=issue.by)
            surplus = keys[: max(len(keys) + 1 - TICKETS_MAX, 0)]
            commands: list[Command] = [
                PutRecord(at=issue.at, namespace=TICKETS, key=key, value=encoded(issue)),
                *(DeleteRecord(at=issue.at, namespace=TICKETS, key=one) for one in surplus),
                *self._events([event], issue.at, beside=True),
            ]
            await self._propose(commands, None)

    # --- how ---

    def _events(self, events: Sequence[ControllerEvent], now: datetime, *, beside: bool = False) -> list[Command]:
        """Return commands that add events. `beside`: the leader may add others of the same numbers just now."""
        made = self._appended(EVENTS, "", events, EVENTS_MAX, now)
        if not beside:
            return made
        return [_known_by_content(one) if isinstance(one, PutRecord) else one for one in made]

    def _appended(
        self, namespace: str, prefix: str, values: Sequence[HistoryEntry | ControllerEvent], most: int, now: datetime
    ) -> list[Command]:
        """Return commands that add values at the end of a list, and take as many away at its beginning as are too many.

        Keys begin with numbers, counted on from the newest: clocks of two leaders may differ.
        """
        if not values:
            return []
        values = values[-most:]
        keys = [record.key for record in self.store.tables.records_under(namespace, prefix)]
        first = int(keys[-1].removeprefix(prefix).partition("/")[0]) + 1 if keys else 1
        commands: list[Command] = [
            PutRecord(
                at=now,
                namespace=namespace,
                key=f"{prefix}{first + step:012d}",
                value=encoded(replace(value, number=first + step) if isinstance(value, ControllerEvent) else value),
            )
            for step, value in enumerate(values)
        ]
        surplus = keys[: max(len(keys) + len(values) - most, 0)]
        return [*commands, *(DeleteRecord(at=now, namespace=namespace, key=key) for key in surplus)]

    async def _propose(self, commands: Sequence[Command], epoch: int | None) -> None:
        outcome = await self.store.propose(commands, epoch=epoch)
        if isinstance(outcome, Rejected):
            raise SwarmctlError(
                outcome.code,
                "What the controller remembers could not be written.",
                why=outcome.message,
                hint="The controller that leads goes on; `swarmctl status` names it.",
            )


def _known_by_content(one: PutRecord) -> PutRecord:
    """Return the command with a key that no other content has."""
    key = f"{one.key}/{hashlib.sha256(one.value).hexdigest()[:12]}"
    return structs.replace(one, key=key)


def _has_look(waiting: Mapping[str, Request]) -> bool:
    return any(one.what is RequestKind.LOOK for one in waiting.values())


def _too_many(source: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.API_OVERLOADED,
        f"{REQUESTS_MAX} requests wait already for source {source}.",
        why="The controller that leads has not come to them: its cluster may be away.",
        hint="See `swarmctl status`, and ask again.",
    )


def _asked(request: Request) -> ControllerEvent:
    if request.what is RequestKind.ROTATE:
        message = f"{request.by or 'Somebody'} asks for a new {request.scope} join token."
        return ControllerEvent(0, request.at, EventKind.REQUEST, message, by=request.by)
    about = "everything" if request.scope == EVERYTHING else request.scope or NO_STACK
    to = f" to {request.commit[:12]}" if request.commit else ""
    message = f"{request.by or 'Somebody'} asks for a {request.what.value} of {about}{to}."
    scope = "" if request.scope == EVERYTHING else request.scope
    return ControllerEvent(0, request.at, EventKind.REQUEST, message, request.source, scope, request.commit, request.by)


def key_prefix(source: str) -> str:
    """Return what the keys of a source's requests and applies begin with."""
    return f"{hashlib.sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}/"
