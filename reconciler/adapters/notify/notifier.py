"""All sinks at once: what waits in the outbox goes to each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

from reconciler.adapters.notify.outlet import Outlet, OutletLimits, OutletStatus
from reconciler.gitops.alert_text import AlertText, alert_text
from reconciler.gitops.outbox import Pending


class Sink(Protocol):
    """Sends one text, or raises NotSent."""

    async def send(self, text: AlertText) -> None:
        """Send one message."""
        ...


class Notifier(AbstractAsyncContextManager["Notifier"]):
    """Sends alerts to sinks while its context is open: as long as this controller leads. `offer` never waits or raises.

    `done` is told (alert id, sink name) once a sink has an alert, or never will: take it out of the outbox then. On
    leaving, what is under way is left alone: whoever leads next finds it in the outbox.
    """

    def __init__(
        self,
        cluster: str,
        sinks: Mapping[str, Sink],
        done: Callable[[str, str], None],
        limits: OutletLimits | None = None,
    ) -> None:
        self._cluster = cluster
        self._outlets = {
            name: Outlet[AlertText](name, sink.send, limits or OutletLimits(), _teller(name, done))
            for name, sink in sinks.items()
        }
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Notifier:
        self._tasks = [asyncio.create_task(one.run(), name=f"sink {name}") for name, one in self._outlets.items()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def statuses(self) -> Sequence[OutletStatus]:
        """Return where each sink stands."""
        return tuple(one.status for one in self._outlets.values())

    def offer(self, waiting: Iterable[Pending]) -> None:
        """Take alerts of the outbox for the sinks that they wait for; those that were taken before are passed over."""
        for one in waiting:
            for name in one.sinks:
                if (outlet := self._outlets.get(name)) is not None:
                    outlet.offer(one.id, alert_text(one.alert, self._cluster))


def _teller(sink: str, done: Callable[[str, str], None]) -> Callable[[str], None]:
    return lambda alert_id: done(alert_id, sink)
