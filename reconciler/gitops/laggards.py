"""Controllers that can't take over the leader's snapshot, and so fall behind for ever: who, why, and whom it is told.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from reconciler.model.alerts import Alert, AlertKind, AlertPhase
from reconciler.model.replication import Member

_HINT: Final = "It goes on voting, and catches up by itself once the cause is gone."


class Laggard(msgspec.Struct, frozen=True):
    """A controller that refuses what it needs, `why` in its own words. `index` is what the leader had at that time."""

    member: str
    why: str
    since: datetime
    index: int


class Laggards(msgspec.Struct, frozen=True):
    """Who lags now, by name, and what is to be told of it."""

    found: Mapping[str, Laggard]
    alerts: tuple[Alert, ...] = ()


def look(known: Mapping[str, Laggard], members: Sequence[Member], index: int, now: datetime) -> Laggards:
    """Return who lags, from who did and from what the leader sees of the members; `index` is what it has applied.

    A new leader knows nothing of a member that has not answered it yet: so only who has all that the leader had back
    then lags no more. Who is a member no more is told nobody.
    """
    found: dict[str, Laggard] = {}
    alerts: list[Alert] = []
    for one in members:
        before = known.get(one.id)
        if one.refuses:
            found[one.id] = replace(before, why=one.refuses) if before else Laggard(one.id, one.refuses, now, index)
            alerts += [] if before else [_alert(found[one.id], AlertPhase.OPENED, now)]
        elif before is not None and one.behind is not None and index - one.behind >= before.index:
            alerts.append(_alert(before, AlertPhase.RECOVERED, now))
        elif before is not None:
            found[one.id] = before
    return Laggards(found, tuple(alerts))


def _alert(laggard: Laggard, phase: AlertPhase, now: datetime) -> Alert:
    name = laggard.member
    opened = phase is AlertPhase.OPENED
    refuses = f"Controller {name} can't use the leader's snapshot, and falls behind. {laggard.why}"
    return Alert(
        key=f"controller/{name}/{laggard.since.isoformat()}",
        kind=AlertKind.CONTROLLER,
        phase=phase,
        subject=name,
        message=refuses if opened else f"Controller {name} has caught up with the others.",
        at=now,
        since=laggard.since,
        next_step=_HINT if opened else "",
        commands=("swarmctl status",),
    )
