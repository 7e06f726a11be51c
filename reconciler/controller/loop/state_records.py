"""What the loop remembers, read from and written to the replicated store: all of it survives any controller.

One transaction each for what was decided and for what came of it. What has not changed is not written.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from reconciler.controller.loop.ports import Store
from reconciler.gitops import outbox, records
from reconciler.gitops.outbox import Outbox, Routes
from reconciler.gitops.results import HistoryEntry
from reconciler.gitops.state import LoopState
from reconciler.model.alerts import Alert
from reconciler.model.commands import Command, DeleteRecord, PutRecord, Rejected
from reconciler.model.errors import SwarmctlError

_T = TypeVar("_T")

HISTORY: Final = "history"
EVENTS: Final = "events"
REQUESTS: Final = "requests"
CONTROLLER: Final = "controller"
LEADER_KEY: Final = "leader"
HISTORY_MAX: Final = 200
"""Applies of one source that are remembered."""
EVENTS_MAX: Final = 500
"""Events that are remembered, of all sources."""


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """One thing that happened and that people could read of. `source` is "" for what concerns all."""

    source: str
    alert: Alert


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks the leader for something. `what` is "sync"; `scope` "*" for all; `by` who asked."""

    source: str
    scope: str
    what: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Pin:
    """A source is held at an earlier commit of its own, until somebody resumes it. `by` who asked."""

    source: str
    commit: str
    by: str
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Leader:
    """Who led last."""

    member: str
    epoch: int
    at: datetime


@dataclass(slots=True)
class Memory:
    """The records as one controller reads and writes them. Without an epoch (not leading) it may still ask for things.

    `routes` says which alerts which sinks get; `told` is called when there is something to send.
    """

    store: Store
    now: Callable[[], datetime]
    routes: Routes = field(default_factory=dict)
    told: Callable[[Outbox], None] = lambda _: None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- reading ---

    def state(self, source: str) -> LoopState:
        """Return what is remembered of a source."""
        return records.from_records(source, self.store.tables.records_under(records.NAMESPACE))

    def outbox(self) -> Outbox:
        """Return the alerts on their way."""
        return outbox.from_records(self.store.tables.records_under(outbox.NAMESPACE))

    def history(self, source: str) -> tuple[HistoryEntry, ...]:
        """Return the applies of a source, oldest first."""
        return tuple(self._decoded(HISTORY, _prefix(source), HistoryEntry).values())

    def events(self) -> tuple[ToldEvent, ...]:
        """Return what happened, oldest first."""
        return tuple(self._decoded(EVENTS, "", ToldEvent).values())

    def requests(self, source: str) -> dict[str, Request]:
        """Return {key: what was asked for a source}, oldest first."""
        return self._decoded(REQUESTS, _prefix(source), Request)

    def pin(self, source: str) -> Pin | None:
        """Return to which commit a source is held, or None."""
        return next(iter(self._decoded(CONTROLLER, f"pin/{_prefix(source)}", Pin).values()), None)

    def last_leader(self) -> Leader | None:
        """Return who led last, as far as it was written down."""
        return self._decoded(CONTROLLER, LEADER_KEY, Leader).get(LEADER_KEY)

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

        `done` are requests that were carried out. Raises SwarmctlError: fenced when another one leads, and as the
        store does.
        """
        source = after.source.name
        async with self._turn:
            now = self.now()
            box = self.outbox()
            queued = outbox.queued(box, source, alerts, self.routes, now) if alerts else box
            commands: list[Command] = [
                *outbox.commands(box, queued, now),
                *records.changes(before, after).commands(now),
                *self._events(source, alerts, now),
                *(DeleteRecord(at=now, namespace=REQUESTS, key=key) for key in done or ()),
            ]
            if entry is not None:
                commands += self._appended(HISTORY, _prefix(source), [entry], HISTORY_MAX, now)
            if not commands:
                return False
            await self._propose(commands, epoch)
        if alerts:
            self.told(queued)
        return True

    async def delivered(self, alert_id: str, sink: str, epoch: int) -> None:
        """Take an alert out of the outbox for a sink that has it."""
        async with self._turn:
            box = self.outbox()
            commands = outbox.commands(box, outbox.delivered(box, alert_id, sink), self.now())
            if commands:
                await self._propose(commands, epoch)

    async def begin_to_lead(self, member: str, epoch: int, alerts: Sequence[Alert]) -> None:
        """Write down who leads, with what to tell of it; sinks that are set up no more are forgotten."""
        async with self._turn:
            now, box = self.now(), self.outbox()
            queued = outbox.queued(box, "", alerts, self.routes, now)
            queued = outbox.without_other_sinks(queued, self.routes.keys())
            leader = msgspec.json.encode(Leader(member, epoch, now))
            commands: list[Command] = [
                PutRecord(at=now, namespace=CONTROLLER, key=LEADER_KEY, value=leader),
                *outbox.commands(box, queued, now),
                *self._events("", alerts, now),
            ]
            await self._propose(commands, epoch)
        self.told(queued)

    # --- what any controller may write, because somebody asked it to ---

    async def ask(self, request: Request) -> None:
        """Leave a request for the leader."""
        key = f"{_prefix(request.source)}{request.at.isoformat()}/{request.scope}"[: records.KEY_CHARS_MAX]
        value = msgspec.json.encode(request)
        await self._propose([PutRecord(at=self.now(), namespace=REQUESTS, key=key, value=value)], None)

    async def change(self, source: str, change: Callable[[LoopState], LoopState]) -> None:
        """Change what is remembered of a source by hand: suspensions."""
        before = self.state(source)
        commands = records.changes(before, change(before)).commands(self.now())
        if commands:
            await self._propose(commands, None)

    async def set_pin(self, source: str, pin: Pin | None) -> None:
        """Hold a source at a commit, or let it go."""
        key = f"pin/{_prefix(source)}"
        if pin is not None:
            value = msgspec.json.encode(pin)
            await self._propose([PutRecord(at=self.now(), namespace=CONTROLLER, key=key, value=value)], None)
        elif self.pin(source) is not None:
            await self._propose([DeleteRecord(at=self.now(), namespace=CONTROLLER, key=key)], None)

    # --- how ---

    def _events(self, source: str, alerts: Sequence[Alert], now: datetime) -> list[Command]:
        return self._appended(EVENTS, "", [ToldEvent(source, alert) for alert in alerts], EVENTS_MAX, now)

    def _appended(
        self, namespace: str, prefix: str, values: Sequence[HistoryEntry | ToldEvent], most: int, now: datetime
    ) -> list[Command]:
        """Return commands that add values at the end of a list, and take as many away at its beginning as are too many.

        Keys are numbers, counted on from the newest: clocks of two leaders may differ.
        """
        if not values:
            return []
        keys = [record.key for record in self.store.tables.records_under(namespace, prefix)]
        first = int(keys[-1].removeprefix(prefix)) + 1 if keys else 1
        commands: list[Command] = [
            PutRecord(at=now, namespace=namespace, key=f"{prefix}{first + step:012d}", value=msgspec.json.encode(value))
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


def _prefix(source: str) -> str:
    return f"{hashlib.sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}/"
