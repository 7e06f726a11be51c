"""The one line of the log that says what a pass decided, also when that was nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.gitops.look import Decision
from reconciler.model.progress import ActionStatus, ApplyResult

Field = str | int | float | bool
NAMES_MAX: Final = 20
"""Names that one field lists."""


def pass_line(decision: Decision, *, cause: str, pass_id: str, seconds: float) -> Mapping[str, Field]:
    """Return the fields of the line "pass decided".

    `cause` is what woke the pass ("poll", "webhook", "cluster-event", "interval", "sync", "clock"); `pass_id` is in
    all lines of this pass, down to its writes. No field holds a value of a spec.
    """
    source = decision.state.source
    line: dict[str, Field] = {
        "pass_id": pass_id,
        "cause": cause,
        "source": source.name,
        "revision": source.in_force.commit if source.in_force else "",
        "outcome": outcome(decision),
        **decision.counts,
        "drifted": len(decision.state.drifts),
        "alerts": len(decision.alerts),
        "seconds": round(seconds, 3),
    }
    if decision.applying:
        line["applying"] = _names(decision.applying)
    if decision.awaited:
        line["awaited"] = _names(tuple(name or "cluster" for name in decision.awaited))
    reasons = dict.fromkeys(f"{one.scope or 'cluster'}:{one.reason.value}" for one in decision.held)
    if reasons:
        line["waiting"] = _names(tuple(reasons))
    if source.fault is not None:
        line["source_code"] = source.fault.code.value
    if decision.wake_at is not None:
        line["wake_at"] = decision.wake_at.isoformat()
    return line


def outcome(decision: Decision) -> str:
    """Return what a pass came to, in a word: for the line and for metrics."""
    if decision.plan is None:
        return "blind"
    if decision.applying:
        return "applies"
    if decision.awaited:
        return "waits"
    return "holds" if decision.held or decision.plan.blocked else "idle"


def apply_line(result: ApplyResult, *, pass_id: str, seconds: float) -> Mapping[str, Field]:
    """Return the fields of the line "apply ended"."""
    line: dict[str, Field] = {
        "pass_id": pass_id,
        **{
            status.value: result.count(status)
            for status in (ActionStatus.DONE, ActionStatus.FAILED, ActionStatus.SKIPPED)
        },
        "timed_out": result.timed_out,
        "undone": _names(tuple(one.stack for one in result.undone)),
        "seconds": round(seconds, 3),
    }
    failed = [f"{one.action.id}:{one.problem.code.value}" for one in result.actions if one.problem is not None]
    if failed:
        line["problems"] = _names(tuple(failed))
    return line


def _names(names: tuple[str, ...]) -> str:
    shown = " ".join(names[:NAMES_MAX])
    return f"{shown} and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else shown
