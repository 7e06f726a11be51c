"""One alert when something begins, one when it is over, however many passes lie between. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from reconciler.gitops.state import Incident
from reconciler.model.alerts import Alert, AlertKind, AlertPhase, FieldDifference

FLAPS_MAX: Final = 3
"""Times that an incident may open within FLAP_S and be told; from then on it is said once that it flaps."""
FLAP_S: Final = 3600.0
MANY: Final = 10
"""Alerts of one kind and phase in one pass that go out one by one. More become a single one."""
_LISTED: Final = 20


class Wanted(msgspec.Struct, frozen=True):
    """Something that is wrong now, and that people should know of.

    `tokens` are its parts (fields, codes); a part that was not told before is told, once. The rest is for the alert.
    """

    key: str
    kind: AlertKind
    subject: str
    message: str
    tokens: tuple[str, ...] = ()
    differences: tuple[FieldDifference, ...] = ()
    next_step: str = ""
    commands: tuple[str, ...] = ()
    commit: str = ""
    author: str = ""


class Told(msgspec.Struct, frozen=True):
    """The incidents from now on, and what to send."""

    incidents: Mapping[str, Incident]
    alerts: tuple[Alert, ...]


def told(
    before: Mapping[str, Incident],
    wanted: Sequence[Wanted],
    now: datetime,
    *,
    unknown: Collection[str] = (),
    kept: Collection[str] = (),
    over: Mapping[str, str] | None = None,
) -> Told:
    """Return what to tell, given what is wrong now.

    `unknown` are beginnings of keys that this pass could not look at, `kept` are keys whose end is not proven yet:
    these incidents stay as they are. `over` has for keys what to say of their end.
    """
    incidents = dict(before)
    alerts: list[Alert] = []
    for one in wanted:
        incidents[one.key], alert = _standing(before.get(one.key), one, now)
        alerts += [alert] if alert else []
    still = {one.key for one in wanted}
    for key, incident in before.items():
        if key in still or key in kept or any(key.startswith(prefix) for prefix in unknown):
            continue
        ended, alert = _ended(incident, now, (over or {}).get(key, "It is over."))
        alerts += [alert] if alert else []
        if ended is None:
            del incidents[key]
        else:
            incidents[key] = ended
    return Told(incidents, collapsed(alerts, now))


def _standing(incident: Incident | None, one: Wanted, now: datetime) -> tuple[Incident, Alert | None]:
    if incident is None or incident.closed is not None:
        return _opened(incident, one, now)
    new = [token for token in one.tokens if token not in incident.told]
    if not new:
        return incident, None
    grown = replace(incident, told=(*incident.told, *new))
    return grown, None if incident.silenced else _alert(one, AlertPhase.GREW, incident.since, now)


def _opened(incident: Incident | None, one: Wanted, now: datetime) -> tuple[Incident, Alert | None]:
    lately = [at for at in incident.opened if (now - at).total_seconds() < FLAP_S] if incident else []
    flaps = len(lately) >= FLAPS_MAX
    silenced_before = incident is not None and incident.silenced
    made = Incident(one.key, one.kind, one.subject, now, (*lately, now)[-FLAPS_MAX - 1 :], one.tokens, flaps)
    if flaps:
        return made, None if silenced_before else _alert(one, AlertPhase.FLAPPING, lately[0], now)
    return made, _alert(one, AlertPhase.OPENED, now, now)


def _ended(incident: Incident, now: datetime, words: str) -> tuple[Incident | None, Alert | None]:
    """Close an incident, or forget one that has been closed for long. One that flapped is over only then."""
    alert = Alert(incident.key, incident.kind, AlertPhase.RECOVERED, incident.subject, words, now, incident.since)
    if incident.closed is None:
        closed = replace(incident, closed=now)
        return closed, None if incident.silenced else alert
    if (now - incident.closed).total_seconds() < FLAP_S:
        return incident, None
    return None, alert if incident.silenced else None


def _alert(one: Wanted, phase: AlertPhase, since: datetime, now: datetime) -> Alert:
    return Alert(
        key=one.key,
        kind=one.kind,
        phase=phase,
        subject=one.subject,
        message=one.message,
        at=now,
        since=since,
        commit=one.commit,
        author=one.author,
        differences=one.differences,
        next_step=one.next_step,
        commands=one.commands,
    )


def collapsed(alerts: Sequence[Alert], now: datetime) -> tuple[Alert, ...]:
    """Return the alerts; more than MANY of one kind and phase as a single one that lists what they are about."""
    counts = Counter((one.kind, one.phase) for one in alerts)
    made: list[Alert] = []
    for kind, phase in dict.fromkeys((one.kind, one.phase) for one in alerts):
        same = [one for one in alerts if (one.kind, one.phase) == (kind, phase)]
        if counts[kind, phase] <= MANY:
            made += same
            continue
        subjects = ", ".join(one.subject for one in same[:_LISTED])
        more = f" and {len(same) - _LISTED} more" if len(same) > _LISTED else ""
        first = replace(same[0], key=f"{kind.value}/many/{now.isoformat()}", differences=(), since=now)
        made.append(
            replace(first, subject=f"{len(same)} objects", message=f"{same[0].message} The same of: {subjects}{more}.")
        )
    return tuple(made)
