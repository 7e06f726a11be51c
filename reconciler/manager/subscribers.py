"""Fans events out to whoever listens, each with a bounded queue of its own."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent

EVENTS_MAX = 4096
"""Events that one subscriber may be behind. Events only wake a reader, which then reads everything anew."""

RECENT_MAX = 256
"""Changes that are remembered for who asks what was before (`docker events --since`); dockerd keeps as many."""


class Subscription(AsyncIterator[ClusterEvent]):
    """The events from now on. A reader that falls too far behind, or outlives the swarm, gets engine-unreachable."""

    def __init__(self, after: int) -> None:
        """`after` is the index of the log from which on its events are told."""
        self._queue: asyncio.Queue[ClusterEvent | None] = asyncio.Queue(EVENTS_MAX + 1)
        self._after = after
        self._lost_because = ""

    def put(self, event: ClusterEvent, index: int) -> None:
        """Take an event of the entry at `index`."""
        if index <= self._after:
            return
        if self._queue.qsize() >= EVENTS_MAX:
            self.lose(f"More than {EVENTS_MAX} events were not read in time.")
        elif not self._lost_because:
            self._queue.put_nowait(event)

    def lose(self, because: str) -> None:
        """End the subscription, after what is in the queue already."""
        if not self._lost_because:
            self._lost_because = because
            self._queue.put_nowait(None)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> ClusterEvent:
        event = await self._queue.get()
        if event is None:
            self._queue.put_nowait(None)
            raise SwarmctlError(
                ErrorCode.ENGINE_UNREACHABLE,
                "The stream of events has ended.",
                why=self._lost_because,
                hint="Read the whole state and subscribe again.",
            )
        return event

    async def aclose(self) -> None:
        self.lose("The reader closed it.")


class Subscribers:
    """Knows the open subscriptions; one that nobody holds any more is forgotten by itself."""

    def __init__(self, applied: Callable[[], int]) -> None:
        """`applied` returns the log's index up to which everything has happened."""
        self._applied = applied
        self._open: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._recent: deque[ClusterEvent] = deque(maxlen=RECENT_MAX)

    def recent(self) -> tuple[ClusterEvent, ...]:
        """Return the last changes, oldest first."""
        return tuple(self._recent)

    def subscribe(self) -> Subscription:
        subscription = Subscription(self._applied())
        self._open.add(subscription)
        return subscription

    def publish(self, event: ClusterEvent, index: int) -> None:
        """Tell of an event of the log's entry at `index`."""
        self._recent.append(event)
        for subscription in tuple(self._open):
            subscription.put(event, index)

    def lose_all(self, because: str) -> None:
        """End all subscriptions that are open now."""
        for subscription in tuple(self._open):
            subscription.lose(because)

    def close(self) -> None:
        self.lose_all("The swarm has ended.")
