"""One sink's queue: in order, not too fast, tried again with a growing wait, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

FINISHED_MAX: Final = 1000
"""Ids that are remembered as done with, so that an outbox that is a moment behind has nothing sent twice."""

log = structlog.stdlib.get_logger(__name__)

Payload = TypeVar("Payload")


class OutletLimits(msgspec.Struct, frozen=True):
    """What one sink may cost."""

    waiting: int = 200
    """Messages that wait. The oldest is dropped for a newer one."""
    gap_s: float = 1.0
    """Seconds between two messages, at least; Slack takes one each second."""
    send_s: float = 30.0
    """Seconds for one try."""
    backoff_s: float = 2.0
    """Seconds before the second try; doubled for each further one."""
    backoff_max_s: float = 300.0
    tries: int = 80
    """Tries of one message, about six hours, until it is given up."""
    tries_refused: int = 3
    """Tries of one message that the sink refuses for what it is, so that it doesn't hold the others for hours."""


class NotSent(Exception):
    """A try failed. `why` is fit to print and holds no secret; `refused` says that the sink answered, and said no."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.refused = refused


class OutletStatus(msgspec.Struct, frozen=True):
    """Where a sink stands, for status and metrics: `failing` is why the last try failed, "" when it went well."""

    name: str
    waiting: int = 0
    sent: int = 0
    failed_tries: int = 0
    dropped: int = 0
    given_up: int = 0
    failing: str = ""


@dataclass(slots=True)
class _Job(Generic[Payload]):
    id: str
    payload: Payload
    key: str


Send = Callable[[Payload], Awaitable[None]]
Done = Callable[[str], None]


class Outlet(Generic[Payload]):
    """A sink with what waits for it. `offer` never waits and never raises; `run` sends until it is cancelled.

    `send` raises NotSent. `done` is told a message's id once it was sent, dropped or given up. It must not raise and
    not block. A try whose answer was lost may have arrived: a message can come twice, and doesn't get lost.
    """

    def __init__(self, name: str, send: Send[Payload], limits: OutletLimits, done: Done = lambda _: None) -> None:
        self._name = name
        self._send = send
        self._limits = limits
        self._done = done
        self._jobs: list[_Job[Payload]] = []
        self._under_way: _Job[Payload] | None = None
        self._finished: dict[str, None] = {}
        self._offered = asyncio.Event()
        self._status = OutletStatus(name)

    @property
    def status(self) -> OutletStatus:
        """Return where it stands now."""
        return replace(self._status, waiting=len(self._jobs) + (self._under_way is not None))

    def offer(self, job_id: str, payload: Payload, key: str = "") -> None:
        """Take a message to send. The same id is sent once; a `key` replaces what waits under the same key."""
        if job_id in self._finished:
            self._done(job_id)  # it was not heard of the first time
            return
        if any(one.id == job_id for one in (*self._jobs, self._under_way) if one):
            return
        for older in [one for one in self._jobs if key and one.key == key]:
            self._jobs.remove(older)
            self._finish(older.id)
        self._jobs.append(_Job(job_id, payload, key))
        if len(self._jobs) > self._limits.waiting:
            self._count(dropped=1)
            log.warning("message dropped", sink=self._name, why="too many wait", waiting=self._limits.waiting)
            self._finish(self._jobs.pop(0).id)
        self._offered.set()

    async def run(self) -> None:
        """Send what is offered, one after another."""
        while True:
            await self._offered.wait()
            while self._jobs:
                self._under_way = job = self._jobs.pop(0)
                try:
                    await self._deliver(job)
                finally:
                    self._under_way = None
                self._finish(job.id)
                await asyncio.sleep(self._limits.gap_s)
            self._offered.clear()

    def _finish(self, job_id: str) -> None:
        self._finished[job_id] = None
        while len(self._finished) > FINISHED_MAX:
            del self._finished[next(iter(self._finished))]
        self._done(job_id)

    async def _deliver(self, job: _Job[Payload]) -> None:
        refusals = 0
        for tried in range(1, self._limits.tries + 1):
            try:
                async with asyncio.timeout(self._limits.send_s):
                    await self._send(job.payload)
            except TimeoutError:
                failure = NotSent(f"It did not answer in {self._limits.send_s:g} s.")
            except NotSent as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - whatever a sink's library does ends at this sink
                # Only its kind: an exception's text may quote the sink's address, and so its token.
                failure = NotSent(f"{type(error).__name__} in the sink's library.")
            else:
                self._went_well()
                return
            refusals += failure.refused
            if self._is_hopeless(job, tried, refusals, failure):
                return
            await asyncio.sleep(min(self._limits.backoff_s * 2 ** (tried - 1), self._limits.backoff_max_s))

    def _went_well(self) -> None:
        if self._status.failing:
            log.info("sink is back", sink=self._name)
        self._status = replace(self._status, failing="")
        self._count(sent=1)

    def _is_hopeless(self, job: _Job[Payload], tried: int, refusals: int, failure: NotSent) -> bool:
        if not self._status.failing:  # once, until it is back
            log.warning("message not sent", sink=self._name, why=failure.why, tries=tried)
        self._status = replace(self._status, failing=failure.why)
        self._count(failed_tries=1)
        if tried < self._limits.tries and refusals < self._limits.tries_refused:
            return False
        self._count(given_up=1)
        log.error("message given up", sink=self._name, why=failure.why, tries=tried, message_id=job.id)
        return True

    def _count(self, *, sent: int = 0, failed_tries: int = 0, dropped: int = 0, given_up: int = 0) -> None:
        now = self._status
        self._status = replace(
            now,
            sent=now.sent + sent,
            failed_tries=now.failed_tries + failed_tries,
            dropped=now.dropped + dropped,
            given_up=now.given_up + given_up,
        )
