"""What was counted and measured since the start, in a registry of our own: nobody else's metrics are in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from reconciler import __version__
from reconciler.adapters.metrics.remembered import Remembered, RememberedCollector
from reconciler.model.progress import ApplyResult

SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class Metrics:
    """Counts what happens. No method waits or raises, and no label holds more than names, codes and outcomes."""

    def __init__(self, look: Callable[[], Remembered]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(RememberedCollector(look))
        ProcessCollector(registry=self._registry)
        build = Gauge("swarmctl_build_info", "Which swarmctl this is.", ["version"], registry=self._registry)
        build.labels(__version__).set(1)
        self._passes = self._counter("swarmctl_passes", "Passes by how they ended.", "outcome")
        self._pass_s = self._seconds("swarmctl_pass_duration_seconds", "A pass, from its look to its decision.")
        self._apply_s = self._seconds("swarmctl_apply_duration_seconds", "An apply, with the wait for its tasks.")
        self._writes = self._counter("swarmctl_writes", "Actions by what became of them.", "kind", "action", "outcome")
        self._fetch_s = self._seconds("swarmctl_fetch_duration_seconds", "A look at a source.", "source", "outcome")
        self._webhooks = self._counter("swarmctl_webhooks", "Webhooks by how they were answered.", "forge", "outcome")
        self._requests = self._counter("swarmctl_api_requests", "API requests.", "method", "route", "status")
        self._leaderships = self._counter("swarmctl_leaderships", "Times that this controller began to lead.")

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self._registry)

    def _seconds(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(name, about, labels, buckets=SECONDS, registry=self._registry)

    def passed(self, outcome: str, seconds: float) -> None:
        """Count a pass. `outcome` is "idle", "applied", "held", "failed" or what else there are a few of."""
        self._passes.labels(outcome).inc()
        self._pass_s.observe(seconds)

    def applied(self, result: ApplyResult, seconds: float) -> None:
        """Count the actions of an apply."""
        self._apply_s.observe(seconds)
        for one in result.actions:
            self._writes.labels(one.action.kind.value, one.action.type.value, one.status.value).inc()

    def fetched(self, source: str, outcome: str, seconds: float) -> None:
        """Count a look at a source; `outcome` is "new", "same" or an error's code."""
        self._fetch_s.labels(source, outcome).observe(seconds)

    def webhook(self, forge: str, outcome: str) -> None:
        """Count a webhook; `outcome` is "push", "passed" or an error's code."""
        self._webhooks.labels(forge, outcome).inc()

    def request(self, method: str, route: str, status: int) -> None:
        """Count an API request. `route` is the template, never the path that was asked for."""
        self._requests.labels(method, route, str(status)).inc()

    def began_to_lead(self) -> None:
        """Count that this controller leads from now on."""
        self._leaderships.inc()

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return (text, content type) in the format that a scraper's Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        text: bytes = encode(self._registry)
        return text, content_type
