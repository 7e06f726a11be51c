"""Gauges of what is so now, made of the loop's memory when somebody asks: a stack that is gone has no series left."""

from __future__ import annotations

from collections import Counter as CounterOf
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.adapters.notify.outlet import OutletStatus
from reconciler.gitops.conditions import NODE
from reconciler.gitops.state import CLUSTER, LoopState
from reconciler.model.replication import Member

SERIES_MAX: Final = 5000
"""Series of one metric, at most: a cluster that drifts as a whole must not burst a Prometheus."""


class Remembered(msgspec.Struct, frozen=True):
    """All that is known at one moment. `states` is by source, `queues` by the name of what waits there."""

    now: datetime
    member: str
    leading: bool = False
    epoch: int = 0
    states: Sequence[LoopState] = ()
    queues: Mapping[str, int] = msgspec.field(default_factory=dict)
    sinks: Sequence[OutletStatus] = ()
    members: Sequence[Member] = ()


class RememberedCollector(Collector):
    """Makes families of what `look` returns. `look` is called at each scrape, must not wait, and may raise nothing."""

    def __init__(self, look: Callable[[], Remembered]) -> None:
        self._look = look

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not look yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all families of this moment."""
        now = self._look()
        yield _family(
            "swarmctl_leader", "1 on the controller that leads.", [((now.member,), float(now.leading))], "member"
        )
        yield _family("swarmctl_epoch", "The term in which the leader may write.", [((), float(now.epoch))])
        yield from _of_members(now)
        yield from _of_sources(now)
        yield from _of_scopes(now)
        yield from _of_drifts(now)
        queues = [((name,), float(length)) for name, length in now.queues.items()]
        queues += [((f"sink/{one.name}",), float(one.waiting)) for one in now.sinks]
        yield _family("swarmctl_queue_length", "What waits, by queue.", queues, "queue")
        yield from _of_sinks(now.sinks)


Sample = tuple[tuple[str, ...], float]


def _family(name: str, about: str, samples: Sequence[Sample], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, number in samples[:SERIES_MAX]:
        family.add_metric(list(values), number)
    return family


def _of_members(now: Remembered) -> Iterator[Metric]:
    """Yield what this controller knows of the others: all of it while it leads, of itself always."""
    refusing = [((one.id,), float(bool(one.refuses))) for one in now.members if one.id == now.member or now.leading]
    about = "1 while a controller can't use the leader's snapshot, and so falls behind."
    yield _family("swarmctl_member_snapshot_refused", about, refusing, "member")
    behind = [((one.id,), float(one.behind)) for one in now.members if one.behind is not None]
    yield _family("swarmctl_member_behind_entries", "Entries that a controller has not got yet.", behind, "member")
    silent = [((one.id,), one.silent_s) for one in now.members if one.silent_s is not None]
    yield _family("swarmctl_member_silent_seconds", "Since a controller was last heard.", silent, "member")


def _of_sources(now: Remembered) -> Iterator[Metric]:
    sources = [state.source for state in now.states]
    in_force = [((one.name, one.in_force.commit), 1.0) for one in sources if one.in_force]
    yield _family("swarmctl_revision_info", "The commit in force.", in_force, "source", "commit")
    ready = [((one.name, one.fault.code.value if one.fault else ""), float(one.fault is None)) for one in sources]
    yield _family("swarmctl_source_ready", "1 while nothing is wrong with a source.", ready, "source", "code")
    failures = [((one.name,), float(one.failures)) for one in sources]
    yield _family("swarmctl_source_failures", "Looks in a row that failed.", failures, "source")
    open_ones = CounterOf(
        (state.source.name, one.kind.value)
        for state in now.states
        for one in state.incidents.values()
        if one.closed is None
    )
    incidents = [(labels, float(count)) for labels, count in sorted(open_ones.items())]
    yield _family("swarmctl_incidents_open", "Incidents that last.", incidents, "source", "kind")


def _of_scopes(now: Remembered) -> Iterator[Metric]:
    conditions: list[Sample] = []
    suspended: list[Sample] = []
    for state in now.states:
        for scope, one in state.scopes.items():
            for condition in one.conditions:
                labels = (state.source.name, *_named(scope), condition.type.value, condition.reason.value)
                conditions.append((labels, float(condition.status)))
        suspended += [((state.source.name, scope), 1.0) for scope in state.suspensions]
    labels = ("source", "kind", "name", "condition", "reason")
    yield _family(
        "swarmctl_condition", "1 while a condition of a stack, node or the cluster is true.", conditions, *labels
    )
    yield _family("swarmctl_suspended", "1 while nothing of a scope is written.", suspended, "source", "scope")


def _named(scope: str) -> tuple[str, str]:
    if scope == CLUSTER:
        return "cluster", ""
    return ("node", scope.removeprefix(NODE)) if scope.startswith(NODE) else ("stack", scope)


def _of_drifts(now: Remembered) -> Iterator[Metric]:
    seconds: list[Sample] = []
    for state in now.states:
        for one in state.drifts.values():
            since = max(0.0, (now.now - one.since).total_seconds())
            seconds.append(((state.source.name, one.scope, one.object_id), since))
    yield _family("swarmctl_drift_seconds", "For how long an object has drifted.", seconds, "source", "stack", "object")
    counts = [((state.source.name,), float(len(state.drifts))) for state in now.states]
    yield _family("swarmctl_drifted_objects", "Objects that have drifted.", counts, "source")


def _of_sinks(sinks: Sequence[OutletStatus]) -> Iterator[Metric]:
    totals = CounterMetricFamily("swarmctl_alerts", "Alerts by what became of them.", labels=("sink", "outcome"))
    for one in sinks:
        totals.add_metric([one.name, "sent"], one.sent)
        totals.add_metric([one.name, "failed-try"], one.failed_tries)
        totals.add_metric([one.name, "dropped"], one.dropped)
        totals.add_metric([one.name, "given-up"], one.given_up)
    yield totals
    failing = [((one.name,), float(bool(one.failing))) for one in sinks]
    yield _family("swarmctl_sink_failing", "1 while the last try of a sink failed.", failing, "sink")
