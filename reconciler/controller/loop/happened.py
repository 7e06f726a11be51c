"""What is worth an event, from what was remembered before and after. Pure: nothing is read here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Final

from reconciler.gitops.overview import ControllerEvent, EventKind
from reconciler.gitops.results import HistoryEntry
from reconciler.gitops.state import CLUSTER, LoopState
from reconciler.gitops.wrongs import name_of
from reconciler.model.alerts import Alert, AlertKind
from reconciler.model.conditions import Condition, ConditionType

_KINDS: Final = {
    AlertKind.DRIFT: EventKind.DRIFT,
    AlertKind.LEADER: EventKind.LEADER,
    AlertKind.TOKEN: EventKind.TOKEN,
    AlertKind.DEPLOYED: EventKind.APPLY,
}


def happened(
    before: LoopState, after: LoopState, alerts: Sequence[Alert], entry: HistoryEntry | None, now: datetime
) -> tuple[ControllerEvent, ...]:
    """Return what to note, in order, of one transaction. Numbers are given when they are written down."""
    return (
        *_revision(before, after, now),
        *_applied(after.source.name, entry),
        *_conditions(before, after, now),
        *told(after.source.name, alerts, after.scopes),
    )


def told(source: str, alerts: Sequence[Alert], scopes: Collection[str] = ()) -> tuple[ControllerEvent, ...]:
    """Return one event for each alert: who reads events need not read chats."""
    return tuple(
        ControllerEvent(
            number=0,
            at=alert.at,
            kind=_KINDS.get(alert.kind, EventKind.INCIDENT),
            message=f"{alert.kind.value} {alert.phase.value}, {alert.subject}: {alert.message}",
            source=source,
            scope=_scope(alert, scopes),
            commit=alert.commit,
        )
        for alert in alerts
    )


def _scope(alert: Alert, scopes: Collection[str]) -> str:
    """Return the stack that an alert is about, as far as its subject says it: stacks have underscores, too."""
    kind, _, name = alert.subject.partition(".")
    if kind not in ("service", "network", "secret", "config"):
        return CLUSTER if alert.subject == name_of(CLUSTER) else alert.subject
    return max((one for one in scopes if one and name.startswith(f"{one}_")), key=len, default=CLUSTER)


def _revision(before: LoopState, after: LoopState, now: datetime) -> Iterator[ControllerEvent]:
    source, found = after.source.name, after.source.in_force
    if found is not None and found != before.source.in_force:
        message = f"{found.commit[:12] or found.reference} is in force: {found.subject}"
        yield ControllerEvent(0, now, EventKind.REVISION, message, source, commit=found.commit, by=found.author)
    fault = after.source.fault
    if fault is not None and (before.source.fault is None or before.source.fault.code is not fault.code):
        yield ControllerEvent(0, now, EventKind.REVISION, f"{fault.code.value}: {fault.what}", source)


def _applied(source: str, entry: HistoryEntry | None) -> Iterator[ControllerEvent]:
    if entry is None:
        return
    for scope in entry.scopes:
        failed = entry.failed.get(scope)
        message = f"Applied {entry.commit[:12]}." if failed is None else f"{entry.commit[:12]} failed: {failed}"
        yield ControllerEvent(0, entry.at, EventKind.APPLY, message, source, scope, entry.commit, entry.author)


def _conditions(before: LoopState, after: LoopState, now: datetime) -> Iterator[ControllerEvent]:
    for scope, state in after.scopes.items():
        old, new = _standing(before.scope(scope).conditions), _standing(state.conditions)
        if new is not None and (old is None or (old.type, old.reason) != (new.type, new.reason)):
            message = f"{new.type.value}, {new.reason.value}. {new.message}".strip()
            yield ControllerEvent(0, now, EventKind.CONDITION, message, after.source.name, scope)


def _standing(conditions: Sequence[Condition]) -> Condition | None:
    """Return the one condition that is true, else the first: "not ready, and nobody has to do anything"."""
    first = next((one for one in conditions if one.type is ConditionType.READY), None)
    return next((one for one in conditions if one.status), first)
