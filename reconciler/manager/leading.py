"""What the leader does: asks the brain, proposes what it decides, waits for it, and asks again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from reconciler.manager.ports import Clock, IdSource, Store
from reconciler.model.commands import Applied, Command, Outcome
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Batch
from reconciler.orchestration.brain import Brain

PASSES_MAX = 200
"""Passes of the brain in a row before it has to pause; a healthy swarm needs a handful."""

PAUSE_S = 1.0
"""Seconds of that pause."""

RETRY_S = 0.1
"""Seconds until the leader begins anew after the store could not do what it asked for."""

NOTING_TURNS_MAX = 10
"""Turns of the event loop in which a change that is applied has come to the brain; one that changed nothing never."""

_PASSING = frozenset(
    {
        ErrorCode.RAFT_WATCH_BEHIND,
        ErrorCode.RAFT_NO_LEADER,
        ErrorCode.RAFT_OUTCOME_UNKNOWN,
        ErrorCode.RAFT_OVERLOADED,
    }
)
"""Errors after which the leader looks at everything anew: its decisions can be made, and proposed, any number of
times."""

_log = logging.getLogger(__name__)


class Leader:
    """The work of `Store.lead`. Decides nothing while its last decision is under way."""

    def __init__(self, store: Store, clock: Clock, ids: IdSource) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def work(self, epoch: int) -> None:
        """Lead until cancelled. Raises SwarmctlError when the store can't go on."""
        while True:
            try:
                await _Term(self._store, self._clock, self._ids, epoch).serve()
            except SwarmctlError as error:
                if error.code not in _PASSING:
                    raise
                _log.warning("The leader looks at everything anew: %s", error.problems[0].what)
                await asyncio.sleep(RETRY_S)


class _Term:
    """A brain, and what keeps it up to date, from one look at everything to the next."""

    def __init__(self, store: Store, clock: Clock, ids: IdSource, epoch: int) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._epoch = epoch
        self._noted = store.tables.index
        self._brain = Brain(store.tables)
        self._news = asyncio.Event()

    async def serve(self) -> None:
        async with contextlib.aclosing(self._store.watch(self._noted)) as batches:
            following = asyncio.ensure_future(self._follow(batches))
            following.add_done_callback(lambda _: self._news.set())
            try:
                while not following.done():
                    self._news.clear()
                    await self._sleep(await self._come_to_rest())
                following.result()
            finally:
                following.cancel()
                await asyncio.wait({following})

    async def _follow(self, batches: AsyncIterator[Batch]) -> None:
        async for batch in batches:
            self._brain.note(batch.changes)
            self._noted = batch.index
            self._news.set()

    async def _come_to_rest(self) -> datetime | None:
        """Decide until nothing more comes of it; return when time alone may change that."""
        for _ in range(PASSES_MAX):
            decision = self._brain.decide(self._clock.now(), self._ids.new_id)
            if not decision.commands:
                return decision.wake_at
            applied = [one.index for one in await self._propose(decision.commands) if isinstance(one, Applied)]
            if not applied:
                return decision.wake_at
            await self._take_in(max(applied))
        _log.error("The orchestrator did not come to rest in %d passes; going on.", PASSES_MAX)
        await asyncio.sleep(PAUSE_S)
        return self._clock.now()

    async def _propose(self, commands: tuple[Command, ...]) -> list[Outcome]:
        """Propose all at once, so that they share entries and syncs, each as a transaction of its own."""
        proposing = (self._store.propose((command,), epoch=self._epoch) for command in commands)
        outcomes = await asyncio.gather(*proposing, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]

    async def _take_in(self, index: int) -> None:
        """Wait until the brain knows what the entries up to `index` have changed."""
        for _ in range(NOTING_TURNS_MAX):
            if self._noted >= index:
                return
            await asyncio.sleep(0)

    async def _sleep(self, wake_at: datetime | None) -> None:
        """Wait for a change, or until `wake_at`."""
        if wake_at is None:
            await self._news.wait()
            return
        delay = max(wake_at - self._clock.now(), timedelta())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay.total_seconds()):
                await self._news.wait()
