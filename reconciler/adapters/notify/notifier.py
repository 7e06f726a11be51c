"""All sinks at once: what waits in the outbox goes to each by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from reconciler.adapters.notify.outlet import Outlet, OutletLimits
from reconciler.adapters.notify.outlets import Outlets
from reconciler.gitops.alert_text import AlertText, alert_text
from reconciler.gitops.outbox import Pending


class Sink(Protocol):
    """Sends one text, or raises NotSent."""

    async def send(self, text: AlertText) -> None:
        """Send one message."""
        ...


class Notifier(Outlets[AlertText]):
    """Sends alerts to sinks. `offer` never waits or raises.

    `done` is told (alert id, sink name) once a sink has an alert, or never will: take it out of the outbox then.
    """

    def __init__(
        self,
        cluster: str,
        sinks: Mapping[str, Sink],
        done: Callable[[str, str], None],
        limits: OutletLimits | None = None,
    ) -> None:
        super().__init__(
            {
                name: Outlet[AlertText](name, sink.send, limits or OutletLimits(), _teller(name, done))
                for name, sink in sinks.items()
            }
        )
        self._cluster = cluster

    def offer(self, waiting: Iterable[Pending]) -> None:
        """Take alerts of the outbox for the sinks that they wait for; those that were taken before are passed over."""
        for one in waiting:
            for name in one.sinks:
                if (outlet := self._outlets.get(name)) is not None:
                    outlet.offer(one.id, alert_text(one.alert, self._cluster))


def _teller(sink: str, done: Callable[[str, str], None]) -> Callable[[str], None]:
    return lambda alert_id: done(alert_id, sink)
