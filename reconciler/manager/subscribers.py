"""Fans events out to whoever listens, each with a bounded queue of its own."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent

EVENTS_MAX = 4096
"""Events that one subscriber may be behind. Events only wake a reader, which then reads everything anew."""


class Subscription(AsyncIterator[ClusterEvent]):
    """The events from now on. A reader that falls too far behind, or outlives the swarm, gets engine-unreachable."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[ClusterEvent | None] = asyncio.Queue(EVENTS_MAX + 1)
        self._lost_because = ""

    def put(self, event: ClusterEvent) -> None:
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

    def __init__(self) -> None:
        self._open: weakref.WeakSet[Subscription] = weakref.WeakSet()

    def subscribe(self) -> Subscription:
        subscription = Subscription()
        self._open.add(subscription)
        return subscription

    def publish(self, event: ClusterEvent) -> None:
        for subscription in tuple(self._open):
            subscription.put(event)

    def close(self) -> None:
        for subscription in tuple(self._open):
            subscription.lose("The swarm has ended.")
