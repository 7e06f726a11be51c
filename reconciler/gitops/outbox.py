"""Alerts on their way, as every controller of the group has them: what one leader could not send, the next one does.

Write the outbox with the loop's state in one transaction, or before it. A leader that dies in between has its decision
made again by the next one, with the same alert at another moment; that is known here by its incident and phase, and
goes out once. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from reconciler.gitops.bounded import encoded
from reconciler.model.alerts import Alert, AlertKind, AlertPhase
from reconciler.model.commands import DeleteRecord, PutRecord
from reconciler.model.tables import KeyValueRecord

NAMESPACE: Final = "alerts"
PENDING_MAX: Final = 200
"""Alerts that wait at most. The oldest are dropped for newer ones: what is wrong now is worth more."""
EXPIRES_S: Final = 24 * 3600.0
"""An alert that nobody took for a day is no news any more."""
LAST_KEPT_S: Final = 7 * 24 * 3600.0
"""How long it is remembered which was the last alert of an incident that is over."""
LAST_MAX: Final = 2000


_OF_ALL_SOURCES: Final = (AlertKind.NODE, AlertKind.CLUSTER)


class Pending(msgspec.Struct, frozen=True):
    """An alert that `sinks` have not got yet. `id` is the same on every controller.

    `place` is where it stood among those of its pass.
    """

    id: str
    alert: Alert
    sinks: tuple[str, ...]
    place: int = 0


def _order(one: Pending) -> tuple[datetime, int, str]:
    return one.alert.at, one.place, one.id


class LastTold(msgspec.Struct, frozen=True):
    """The newest alert of one incident. `digest` is of its phase and of what it told."""

    digest: str
    phase: AlertPhase
    at: datetime


class Outbox(msgspec.Struct, frozen=True):
    """`pending` by alert id, oldest first; `last` by the digest of source and incident.

    `dropped` counts for metrics, since this controller has read the outbox.
    """

    pending: Mapping[str, Pending] = msgspec.field(default_factory=dict)
    last: Mapping[str, LastTold] = msgspec.field(default_factory=dict)
    dropped: int = 0


Routes = Mapping[str, frozenset[AlertKind] | None]
"""{sink name: the kinds that it gets, None for all}."""


def queued(outbox: Outbox, source: str, alerts: Sequence[Alert], routes: Routes, now: datetime) -> Outbox:
    """Return the outbox with these alerts of one source for its sinks; without those that were queued before.

    Of one incident the same phase with the same content is never queued twice in a row, whoever decided it.
    """
    pending, last = dict(outbox.pending), dict(outbox.last)
    for place, alert in enumerate(alerts):
        # A node and the cluster are the same to all sources, each of which finds that they are away.
        incident = _digest("" if alert.kind in _OF_ALL_SOURCES else source, alert.key)
        digest = _told_digest(alert)
        before = last.get(incident)
        if before is not None and before.digest == digest:
            continue
        last[incident] = LastTold(digest, alert.phase, now)
        alert_id = _digest(incident, digest, alert.at.isoformat())[:24]
        if sinks := tuple(name for name, kinds in routes.items() if kinds is None or alert.kind in kinds):
            pending[alert_id] = Pending(alert_id, alert, sinks, place)
    return _bounded(Outbox(pending, last, outbox.dropped), now)


def _told_digest(alert: Alert) -> str:
    """Return what tells two alerts of one incident apart. When one began again is another alert, and said by phases."""
    told: list[str] = []
    if alert.phase is AlertPhase.GREW:
        told = [alert.message, *(f"{one.path}\0{one.applied}\0{one.found}" for one in alert.differences)]
    elif alert.phase is AlertPhase.NOTICE:
        told = [alert.at.isoformat()]
    return _digest(alert.phase.value, alert.kind.value, *told)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _bounded(outbox: Outbox, now: datetime) -> Outbox:
    fresh = {name: one for name, one in outbox.pending.items() if (now - one.alert.at).total_seconds() < EXPIRES_S}
    newest = sorted(fresh.values(), key=_order)[-PENDING_MAX:]
    known = {name: one for name, one in outbox.last.items() if _is_kept(one, now)}
    kept = sorted(known.items(), key=lambda one: (one[1].at, one[0]))[-LAST_MAX:]
    dropped = outbox.dropped + len(outbox.pending) - len(newest)
    return Outbox({one.id: one for one in newest}, dict(kept), dropped)


def _is_kept(last: LastTold, now: datetime) -> bool:
    over = last.phase in (AlertPhase.RECOVERED, AlertPhase.NOTICE)
    return not over or (now - last.at).total_seconds() < LAST_KEPT_S


def delivered(outbox: Outbox, alert_id: str, sink: str) -> Outbox:
    """Return the outbox once `sink` has an alert, or never will."""
    one = outbox.pending.get(alert_id)
    if one is None or sink not in one.sinks:
        return outbox
    left = tuple(name for name in one.sinks if name != sink)
    others = {name: other for name, other in outbox.pending.items() if name != alert_id}
    return replace(outbox, pending={**outbox.pending, alert_id: replace(one, sinks=left)} if left else others)


def waiting_for(outbox: Outbox, sink: str) -> tuple[Pending, ...]:
    """Return what a sink has to get, oldest first: all that a new leader gives to its senders."""
    return tuple(one for one in outbox.pending.values() if sink in one.sinks)


def without_other_sinks(outbox: Outbox, sinks: Collection[str]) -> Outbox:
    """Return the outbox without what waits for sinks that are set up no more."""
    for one in tuple(outbox.pending.values()):
        for name in one.sinks:
            if name not in sinks:
                outbox = delivered(outbox, one.id, name)
    return outbox


def to_records(outbox: Outbox) -> dict[str, bytes]:
    """Return {key: value} of an outbox. The same outbox gives the same bytes."""
    found: dict[str, Any] = {f"pending/{name}": one for name, one in outbox.pending.items()}
    found |= {f"last/{name}": one for name, one in outbox.last.items()}
    return {key: encoded(one) for key, one in found.items()}


def from_records(records: Iterable[KeyValueRecord]) -> Outbox:
    """Return the outbox that the records of our namespace say. What can't be read is passed over."""
    pending: list[Pending] = []
    last: dict[str, LastTold] = {}
    for record in records:
        if record.namespace != NAMESPACE:
            continue
        kind, _, name = record.key.partition("/")
        try:
            if kind == "pending":
                pending.append(msgspec.json.decode(record.value, type=Pending))
            elif kind == "last":
                last[name] = msgspec.json.decode(record.value, type=LastTold)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    ordered = sorted(pending, key=_order)
    return Outbox({one.id: one for one in ordered}, last)


def commands(before: Outbox, after: Outbox, at: datetime) -> tuple[PutRecord | DeleteRecord, ...]:
    """Return what to propose so that the records go from `before` to `after`; nothing where they are equal."""
    old, new = to_records(before), to_records(after)
    puts = [PutRecord(at=at, namespace=NAMESPACE, key=key, value=new[key]) for key in new if old.get(key) != new[key]]
    return (*puts, *(DeleteRecord(at=at, namespace=NAMESPACE, key=key) for key in old if key not in new))
