"""What an apply came to, folded into what the loop remembers; and suspensions as people ask for them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from reconciler.gitops.begun import (
    applied_by,
    by_git_of,
    carried,
    deployed,
    written_before,
)
from reconciler.gitops.drifts import marked_healed
from reconciler.gitops.fingerprint import fingerprint
from reconciler.gitops.history import HistoryEntry as HistoryEntry  # noqa: PLC0414 - callers have it from here
from reconciler.gitops.look import Decision, Look, scope_of, scopes_of_objects
from reconciler.gitops.patience import FAILURES_MAX
from reconciler.gitops.state import Applied, Attempt, LoopState, Suspension
from reconciler.model.actual import ActualState
from reconciler.model.alerts import Alert
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.objects import Kind
from reconciler.model.progress import ActionProgress, ActionStatus, ApplyResult, Assessment, Verdict
from reconciler.model.sources import SourceRevision

PASSING: Final = frozenset(
    {
        ErrorCode.ENGINE_UNREACHABLE,
        ErrorCode.SWARM_UNAVAILABLE,
        ErrorCode.NOT_A_MANAGER,
        ErrorCode.STALE_VERSION,
        ErrorCode.NOT_CONFIRMED,
        ErrorCode.IMAGE_UNRESOLVED,
        ErrorCode.OBJECT_IN_USE,
        ErrorCode.INTERRUPTED,
    }
)
"""What an apply may fail by that can pass though neither Git nor anybody's spec moves."""

_CODES: Final[Mapping[Verdict, ErrorCode]] = {
    Verdict.TIMED_OUT: ErrorCode.TIMED_OUT,
    Verdict.PROGRESSING: ErrorCode.TIMED_OUT,
    Verdict.PAUSED: ErrorCode.UPDATE_PAUSED,
    Verdict.ROLLED_BACK: ErrorCode.ROLLED_BACK,
    Verdict.FAILING: ErrorCode.TASKS_FAILING,
    Verdict.UNSCHEDULABLE: ErrorCode.UNSCHEDULABLE,
    Verdict.MISSING: ErrorCode.NOT_CONVERGED,
    Verdict.CHANGED: ErrorCode.STALE_VERSION,
}

_HALF: Final = "The rest of it has to wait for another stack."
"""What the history says of a scope some of which was written, and some left because of another one's failure."""


class AfterApply(msgspec.Struct, frozen=True):
    """The state after an apply, what to tell of it, and what to write down. No entry where nothing was written."""

    state: LoopState
    alerts: tuple[Alert, ...]
    entry: HistoryEntry | None


def after_apply(
    decision: Decision,
    look: Look,
    result: ApplyResult,
    actual: ActualState | None,
    now: datetime,
    state: LoopState | None = None,
) -> AfterApply:
    """Return what is remembered after `decision.plan` was carried out with `result`.

    `actual` is the cluster as it is after that, None where it could not be read: then what failed is tried again by
    the clock. Each scope stands for itself: what failed in one says nothing of another. `state` is what is remembered
    by now, where passes went on meanwhile; a newer revision in force asks for the same of these scopes. `look.busy` are
    the scopes of other applies under way.
    """
    state, revision = state or decision.state, decision.state.source.in_force
    if revision is None or not decision.applying:
        return AfterApply(state, (), None)
    failures = {scope: why for scope in decision.applying if (why := _failure(scope, look, result)) is not None}
    waited = {scope for scope in decision.applying if scope not in failures and not _is_done(scope, result)}
    earlier = carried(state, look, decision.applying, revision.commit)
    scopes = dict(state.scopes) | applied_by(state, earlier, now)
    for scope in decision.applying:
        before = state.scope(scope)
        if scope in failures:
            attempt = _attempt(before.attempt, failures[scope], state.source.in_force or revision, actual, scope, now)
            scopes[scope] = replace(before, attempt=attempt, begun=None)
        elif scope in waited:
            scopes[scope] = replace(before, begun=None)
        else:
            applied = Applied(revision.commit, revision.identity, now)
            scopes[scope] = replace(before, applied=applied, attempt=None, begun=None)
    written = {one.action.id for one in result.actions if one.was_written}
    after = replace(state, scopes=scopes, drifts=marked_healed(state.drifts, written))
    done = [*earlier, *(scope for scope in decision.applying if scope not in failures and scope not in waited)]
    half = {one for one in waited if written_before(state, [one], decision.plan) + _writes_in([one], result)}
    all_scopes = (*earlier, *(scope for scope in decision.applying if scope not in waited - half))
    entry = HistoryEntry(
        at=now,
        commit=revision.commit,
        author=revision.author,
        subject=revision.subject,
        scopes=all_scopes,
        actions=written_before(state, all_scopes, decision.plan) + _writes_in(all_scopes, result),
        failed={scope: problem.what for scope, problem in failures.items()} | {one: _HALF for one in sorted(half)},
    )
    by_git = {*by_git_of(decision.plan), *(scope for scope, one in state.begun.items() if one.by_git)}
    told = [scope for scope in done if scope in by_git]
    writes = written_before(state, told, decision.plan) + _writes_in(told, result)
    alerts = deployed(told, entry, writes, state.source.name) if told else ()
    return AfterApply(after, alerts, entry if all_scopes else None)


def _writes_in(scopes: Sequence[str], result: ApplyResult) -> int:
    return sum(1 for one in result.writes if scope_of(one.action) in scopes)


def _of_scope(scope: str, result: ApplyResult) -> list[ActionProgress]:
    return [one for one in result.actions if scope_of(one.action) == scope]


def _is_done(scope: str, result: ApplyResult) -> bool:
    return all(one.status is ActionStatus.DONE for one in _of_scope(scope, result))


def _failure(scope: str, look: Look, result: ApplyResult) -> Problem | None:
    """Return the first thing that failed in a scope; None when all went well, or it only had to wait for another."""
    undone = next((one for one in result.undone if one.stack == scope), None)
    if undone is not None:
        left = next((one.problem for one in undone.not_back if one.problem is not None), None)
        if left is not None:  # neither what Git asks for nor what it was: by its own code it may be tried again
            return replace(left, what=f"Stack {scope} could not be put back whole. {left.what}")
        return replace(undone.cause, code=ErrorCode.ROLLED_BACK)
    failed = next((one for one in _of_scope(scope, result) if one.status is ActionStatus.FAILED), None)
    if failed is not None:
        text = f"{failed.action.id} could not be written."
        return failed.problem or Problem(ErrorCode.APPLY_FAILED, text)
    scopes = scopes_of_objects(look)
    services = [one for one in result.services if scopes.get(f"{Kind.SERVICE}.{one.service}") == scope]
    behind = next((one for one in services if one.verdict is not Verdict.CONVERGED), None)
    if behind is not None and not (result.lost and behind.verdict is Verdict.PROGRESSING):
        return _of_service(behind)
    if result.lost is not None and (behind is not None or not _is_done(scope, result)):
        return result.lost
    return None


def _of_service(one: Assessment) -> Problem:
    why = one.message
    return Problem(_CODES[one.verdict], f"Service {one.service} {one.verdict.said}.", why)


def _attempt(
    before: Attempt | None,
    problem: Problem,
    revision: SourceRevision,
    actual: ActualState | None,
    scope: str,
    now: datetime,
) -> Attempt:
    passing = problem.code in PASSING or actual is None
    again = before is not None and before.identity == revision.identity
    return Attempt(
        identity=revision.identity,
        fingerprint=fingerprint(actual, scope) if actual is not None else "",
        at=now,
        code=problem.code,
        what=f"{problem.what} {problem.why}".strip(),
        passing=passing,
        failures=min(before.failures + 1, FAILURES_MAX) if before is not None and again else 1,
    )


def suspended(state: LoopState, suspension: Suspension) -> LoopState:
    """Return the state with one suspension more, or in the place of the same scope's."""
    return replace(state, suspensions={**state.suspensions, suspension.scope: suspension})


def resumed(state: LoopState, scope: str) -> LoopState:
    """Return the state without a scope's suspension; what "*" suspends, only resuming "*" resumes."""
    return replace(state, suspensions={name: one for name, one in state.suspensions.items() if name != scope})
