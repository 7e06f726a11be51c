"""Which revision is in force, and when to look again. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from reconciler.gitops.patience import FAILURES_MAX, after, backed_off_s, jittered_s
from reconciler.model.errors import SwarmctlError
from reconciler.model.sources import SourceFault, SourceRevision, SourceSpec, SourceStatus

LOOK_MAX_S: Final = 15 * 60.0
"""The longest wait between two looks at a source that fails, unless its own interval is longer."""


def next_status(before: SourceStatus, found: SourceRevision | SourceFault, now: datetime) -> SourceStatus:
    """Return where a source stands after one look. What is in force stays so, whatever the fault.

    The same again gives an equal status, so that nothing has to be written.
    """
    if isinstance(found, SourceRevision):
        since = before.since if before.fault is None and before.since is not None else now
        return SourceStatus(before.name, found, None, since, 0)
    same = before.fault is not None and (before.fault.code, before.fault.commit) == (found.code, found.commit)
    since = before.since if same and before.since is not None else now
    return replace(before, fault=found, since=since, failures=min(before.failures + 1, FAILURES_MAX))


def load_fault(error: SwarmctlError, commit: str) -> SourceFault:
    """Return what a source offers when its newest commit can't be loaded: what is in force stays so."""
    first, more = error.problems[0], len(error.problems) - 1
    at = f"{first.place}: " if first.place is not None else ""
    why = f"{first.why} There are {more} further problems." if more else first.why
    return SourceFault(first.code, f"{at}{first.what}", why.strip(), first.hint, commit)


def next_look(status: SourceStatus, spec: SourceSpec, looked: datetime, looker: str = "") -> datetime:
    """Return when to look again, after a look at `looked`. What may pass by itself is asked for less and less often.

    `looker` is what no other process has: all that follow one repository under one name must not ask at once.
    """
    seed = f"{looker}/{spec.name}/{looked.isoformat()}"
    if status.fault is None or not status.fault.passing:
        return after(looked, jittered_s(spec.interval_s, seed))
    most = max(LOOK_MAX_S, spec.interval_s)
    return after(looked, backed_off_s(status.failures, seed, first_s=spec.interval_s, max_s=most))
