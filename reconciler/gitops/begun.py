"""Applies whose end nobody has written down: whoever leads next finds them, and finishes the books as well. Pure.

Before an apply begins, the state says so of each scope that it writes. Whoever was carrying it out may die after its
last write: of what it has written nothing is left to do then, and without this nobody would know which commit it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from reconciler.gitops.conditions import Standing
from reconciler.gitops.history import HistoryEntry
from reconciler.gitops.look import Look, scope_of, services_by_scope
from reconciler.gitops.state import Applied, Begun, LoopState, ScopeState
from reconciler.gitops.wrongs import name_of
from reconciler.model.alerts import Alert, AlertKind, AlertPhase
from reconciler.model.conditions import Reason
from reconciler.model.plan import Origin, Plan
from reconciler.model.progress import Verdict
from reconciler.model.sources import SourceRevision

NAMES_TOLD_MAX = 10
_FAILED: Final = (Reason.APPLY_FAILED, Reason.ROLLED_BACK, Reason.TASKS_FAILING)
"""Reasons that are a scope's own, and no other's that it has to wait for."""


class Finished(msgspec.Struct, frozen=True):
    """What a pass finds out about applies: what is to be remembered of scopes, and what to write down and tell."""

    scopes: Mapping[str, ScopeState] = msgspec.field(default_factory=dict)
    entry: HistoryEntry | None = None
    alerts: tuple[Alert, ...] = ()


def finished(
    state: LoopState,
    look: Look,
    plan: Plan | None,
    standings: Mapping[str, Standing],
    now: datetime,
) -> Finished:
    """Return what is known now of what earlier leaders began, and `plan` added to what is under way.

    As long as the same commit is being brought about elsewhere, their scopes wait, so that one entry tells of all; but
    for those that have failed. Of several commits, one is finished in each pass.
    """
    revision = state.source.in_force
    if look.plan is None or revision is None:
        return Finished()
    left = {scope: one for scope, one in state.begun.items() if scope not in look.busy}
    older = {scope: one for scope, one in left.items() if one.identity != revision.identity}
    begun = _begun(state, plan, revision) | _kept_up(state, look, revision)
    if older:
        return _unknown(state, look, older, begun, now)
    commits = {one.commit for scope, one in {**state.begun, **begun}.items() if scope in look.busy or scope in begun}
    ended = {
        scope: one
        for scope, one in left.items()
        if scope not in begun
        and (_has_failed(standings.get(scope)) or (one.commit not in commits and _has_ended(standings.get(scope))))
    }
    if not ended:
        return Finished(_with(state, begun))
    return _ended(state, look, _of_one_commit(ended), begun, standings, now)


def resumed(
    state: LoopState, look: Look, applying: Collection[str], standings: Mapping[str, Standing]
) -> tuple[str, ...]:
    """Return the scopes of one commit that an earlier leader has written, and whose tasks are on their way still.

    Nobody awaits these yet: they would be on their way without an end, and an atomic stack never go back. While the
    same commit is being brought about elsewhere they wait, so that one entry tells of all.
    """
    revision = state.source.in_force
    if look.plan is None or revision is None or look.is_full:
        return ()
    left, under_way = _writes(look.plan), look.busy.union(applying)
    commits = {one.commit for scope, one in state.begun.items() if scope in under_way}
    ones = {
        scope: one
        for scope, one in state.begun.items()
        if scope not in under_way
        and one.commit not in commits
        and scope not in left
        and one.identity == revision.identity
        and (standing := standings.get(scope)) is not None
        and standing.reason is Reason.PROGRESSING
    }
    return tuple(_of_one_commit(ones)) if ones else ()


def _begun(state: LoopState, plan: Plan | None, revision: SourceRevision) -> dict[str, Begun]:
    """Return {scope: its apply} of `plan`, which begins now. What an earlier leader had begun for the same goes on."""
    by_git, found = by_git_of(plan), {}
    for scope, writes in _writes(plan).items():
        before = state.scope(scope).begun
        if before is not None and before.identity == revision.identity:
            is_by_git = before.by_git or scope in by_git
            found[scope] = replace(before, by_git=is_by_git, actions=max(before.actions, writes))
        else:
            found[scope] = Begun(
                revision.commit, revision.identity, revision.author, revision.subject, scope in by_git, writes
            )
    return found


def _kept_up(state: LoopState, look: Look, revision: SourceRevision) -> dict[str, Begun]:
    """Return the applies under way. A newer revision that left them asks for the same: whoever leads next knows it."""
    return {
        scope: replace(one, identity=revision.identity)
        for scope, one in state.begun.items()
        if scope in look.busy and one.identity != revision.identity
    }


def _with(state: LoopState, begun: Mapping[str, Begun | None]) -> dict[str, ScopeState]:
    return {scope: replace(state.scope(scope), begun=one) for scope, one in begun.items()}


def _of_one_commit(begun: Mapping[str, Begun]) -> dict[str, Begun]:
    commit = next(iter(begun.values())).commit
    return {scope: one for scope, one in begun.items() if one.commit == commit}


def _unknown(
    state: LoopState, look: Look, older: Mapping[str, Begun], begun: Mapping[str, Begun], now: datetime
) -> Finished:
    """Return that nothing is known of applies whose leader was gone, and that had not ended when a newer one came."""
    ones, newer = _of_one_commit(older), state.source.in_force
    why = f"Its leader was gone, and it had not ended when {newer.commit[:12] if newer else 'another'} came."
    entry = entry_of(ones, look, now, dict.fromkeys(ones, why))
    return Finished(_with(state, {**dict.fromkeys(ones), **begun}), entry)


def _ended(
    state: LoopState,
    look: Look,
    ended: Mapping[str, Begun],
    begun: Mapping[str, Begun],
    standings: Mapping[str, Standing],
    now: datetime,
) -> Finished:
    failed = {
        scope: standing.message or standing.reason.value
        for scope in ended
        if (standing := standings.get(scope)) is not None and standing.stalled
    }
    entry = entry_of(ended, look, now, failed)
    told = [scope for scope, one in ended.items() if scope not in failed and one.by_git]
    alerts = deployed(told, entry, entry.actions, state.source.name) if told else ()
    scopes = _with(state, {**dict.fromkeys(ended), **begun})
    scopes |= applied_by(state, [scope for scope in ended if scope not in failed], now)
    return Finished(scopes, entry, alerts)


def entry_of(begun: Mapping[str, Begun], look: Look, at: datetime, failed: Mapping[str, str]) -> HistoryEntry:
    """Return the entry of applies of one commit, one or more of them, that have ended.

    What is left to write, as of `look`, was not written: nobody is there who counted it.
    """
    one, left = next(iter(begun.values())), _writes(look.plan)
    writes = sum(max(each.actions - left[scope], 0) for scope, each in begun.items())
    return HistoryEntry(at, one.commit, one.author, one.subject, tuple(begun), writes, dict(failed))


def _has_ended(standing: Standing | None) -> bool:
    """Return whether nothing of a scope is on its way: one that is gone from Git is so, too."""
    return standing is None or standing.ready or standing.stalled


def _has_failed(standing: Standing | None) -> bool:
    return standing is not None and standing.stalled and standing.reason in _FAILED


def _writes(plan: Plan | None) -> Counter[str]:
    """Return {scope: how many writes a plan has there}, in the plan's order."""
    return Counter(scope_of(action) for action in plan.actions) if plan else Counter()


def by_git_of(plan: Plan | None) -> tuple[str, ...]:
    """Return the scopes in which a plan does more than put drift back."""
    actions = plan.actions if plan else ()
    return tuple(dict.fromkeys(scope_of(one) for one in actions if one.origin is not Origin.DRIFT))


def written_before(state: LoopState, scopes: Collection[str], plan: Plan | None) -> int:
    """Return how many writes to these scopes were done before `plan`, which has the rest, began."""
    left = _writes(plan)
    return sum(max(one.actions - left[scope], 0) for scope, one in state.begun.items() if scope in scopes)


def carried(state: LoopState, look: Look, applying: Collection[str], commit: str) -> tuple[str, ...]:
    """Return the scopes that an earlier leader has brought to `commit`, beside those that are applied.

    As of `look`: of a scope that waits to be written a part is there at most.
    """
    services, left = services_by_scope(look), _writes(look.plan)
    return tuple(
        scope
        for scope, begun in state.begun.items()
        if begun.commit == commit
        and scope not in applying
        and scope not in look.busy
        and scope not in left
        and all(one.verdict is Verdict.CONVERGED for one in services.get(scope, ()))
    )


def applied_by(state: LoopState, scopes: Collection[str], now: datetime) -> dict[str, ScopeState]:
    """Return those of `scopes` in which something was begun, as they are once that has brought them to its commit."""
    return {
        scope: replace(state.scope(scope), applied=Applied(begun.commit, begun.identity, now), attempt=None, begun=None)
        for scope, begun in state.begun.items()
        if scope in scopes
    }


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
