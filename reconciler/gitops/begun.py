"""Applies whose end nobody has written down: whoever leads next finds them, and finishes the books as well. Pure.

Before an apply begins, the state says so. Whoever was carrying it out may die after its last write: of what it has
written nothing is left to do then, and without this nobody would know which commit brought it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.gitops.conditions import Standing
from reconciler.gitops.history import HistoryEntry
from reconciler.gitops.look import Look, scope_of, services_by_scope
from reconciler.gitops.state import Applied, Begun, LoopState, ScopeState
from reconciler.gitops.wrongs import name_of
from reconciler.model.alerts import Alert, AlertKind, AlertPhase
from reconciler.model.plan import Origin, Plan
from reconciler.model.progress import Verdict

NAMES_TOLD_MAX = 10


@dataclass(frozen=True, slots=True)
class Finished:
    """What a pass finds out about an apply of an earlier leader: what is still open, and what to write down."""

    begun: Begun | None
    scopes: Mapping[str, ScopeState]
    """Those that it has brought to its commit."""
    entry: HistoryEntry | None = None
    alerts: tuple[Alert, ...] = ()


def finished(
    state: LoopState,
    look: Look,
    plan: Plan | None,
    standings: Mapping[str, Standing],
    now: datetime,
) -> Finished:
    """Return what is known now of what an earlier leader began, and `plan` added to what is under way.

    As long as more is to be written for the same revision, its scopes wait, so that one entry tells of all.
    """
    before, revision = state.begun, state.source.in_force
    applying = tuple(dict.fromkeys(scope_of(action) for action in plan.actions)) if plan else ()
    if look.plan is None or revision is None:
        return Finished(before, {})
    if before is not None and before.identity == revision.identity and (applying or look.busy):
        return Finished(_with(before, plan, applying), {})
    new = _new(state, plan, applying)
    if before is None:
        return Finished(new, {})
    if before.identity != revision.identity:
        return Finished(new, {}, _unknown(before, revision.commit, now))
    ended = tuple(scope for scope in before.scopes if _has_ended(standings.get(scope)))
    if not ended:
        return Finished(before, {})
    failed = {
        scope: standing.message or standing.reason.value
        for scope in ended
        if (standing := standings.get(scope)) is not None and standing.stalled
    }
    good = [scope for scope in ended if scope not in failed]
    entry = HistoryEntry(now, before.commit, before.author, before.subject, ended, before.actions, failed)
    told = [scope for scope in good if scope in before.by_git]
    alerts = deployed(told, entry, before.actions, state.source.name) if told else ()
    return Finished(without_scopes(before, ended), applied_by(state, good, now), entry, alerts)


def _unknown(begun: Begun, newer: str, now: datetime) -> HistoryEntry:
    """Return the entry of an apply whose leader was gone, and which nobody had ended when a newer revision came."""
    why = f"Its leader was gone, and it had not ended when {newer[:12]} came."
    failed = dict.fromkeys(begun.scopes, why)
    return HistoryEntry(now, begun.commit, begun.author, begun.subject, begun.scopes, begun.actions, failed)


def _has_ended(standing: Standing | None) -> bool:
    """Return whether nothing of a scope is on its way: one that is gone from Git is so, too."""
    return standing is None or standing.ready or standing.stalled


def _new(state: LoopState, plan: Plan | None, applying: Sequence[str]) -> Begun | None:
    revision = state.source.in_force
    if plan is None or revision is None or not applying:
        return None
    return Begun(
        revision.commit,
        revision.identity,
        revision.author,
        revision.subject,
        tuple(applying),
        by_git_of(plan),
        len(plan.actions),
    )


def _with(before: Begun, plan: Plan | None, applying: Sequence[str]) -> Begun:
    """Return an apply with those of its scopes that `plan` adds. What it has left to do was counted before."""
    return replace(
        before,
        scopes=tuple(dict.fromkeys((*before.scopes, *applying))),
        by_git=tuple(dict.fromkeys((*before.by_git, *by_git_of(plan)))),
        actions=max(before.actions, len(plan.actions) if plan else 0),
    )


def by_git_of(plan: Plan | None) -> tuple[str, ...]:
    """Return the scopes in which a plan does more than put drift back."""
    actions = plan.actions if plan else ()
    return tuple(dict.fromkeys(scope_of(one) for one in actions if one.origin is not Origin.DRIFT))


def written_before(begun: Begun | None, plan: Plan | None) -> int:
    """Return how many writes of an apply were done before `plan`, which has the rest, began."""
    return max(begun.actions - len(plan.actions), 0) if begun is not None and plan is not None else 0


def carried(state: LoopState, look: Look, applying: Collection[str]) -> tuple[str, ...]:
    """Return the scopes that an earlier leader has brought to the revision in force, beside those that are applied."""
    begun, revision = state.begun, state.source.in_force
    if begun is None or revision is None or begun.identity != revision.identity:
        return ()
    services = services_by_scope(look)
    return tuple(
        scope
        for scope in begun.scopes
        if scope not in applying
        and scope not in look.busy
        and all(one.verdict is Verdict.CONVERGED for one in services.get(scope, ()))
    )


def without_scopes(begun: Begun | None, ended: Collection[str]) -> Begun | None:
    """Return what is left of an apply when some of its scopes have ended; None when that is nothing."""
    left = tuple(scope for scope in begun.scopes if scope not in ended) if begun else ()
    return replace(begun, scopes=left) if begun is not None and left else None


def applied_by(state: LoopState, scopes: Collection[str], now: datetime) -> dict[str, ScopeState]:
    """Return scopes as they are once what was begun has brought them to its commit."""
    if state.begun is None:
        return {}
    applied = Applied(state.begun.commit, state.begun.identity, now)
    return {scope: replace(state.scope(scope), applied=applied, attempt=None) for scope in scopes}


def deployed(scopes: Sequence[str], entry: HistoryEntry, writes: int, source: str) -> tuple[Alert, ...]:
    """Return the one alert of what a commit brought; putting drift back is told as that drift's end."""
    names = ", ".join(name_of(scope) for scope in scopes[:NAMES_TOLD_MAX])
    alert = Alert(
        key=f"deployed/{source}/{entry.commit}",
        kind=AlertKind.DEPLOYED,
        phase=AlertPhase.NOTICE,
        subject=names + (" and others" if len(scopes) > NAMES_TOLD_MAX else ""),
        message=f"{entry.subject} ({writes} write{'s' if writes > 1 else ''})",
        at=entry.at,
        since=entry.at,
        commit=entry.commit,
        author=entry.author,
        commands=("swarmctl history",),
    )
    return (alert,)
