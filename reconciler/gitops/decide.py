"""The loop's decision: what is known in, what to do now out. Pure, and all choices of a pass are made here.

Level-triggered: the same look decides the same, and of a converged cluster nothing is decided, written or said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec.structs import replace

from reconciler.gitops.begun import finished, resumed
from reconciler.gitops.conditions import NODE, Progress, Standing, conditions, node_standings, standing_of
from reconciler.gitops.drifts import next_drifts
from reconciler.gitops.incidents import told
from reconciler.gitops.look import Decision, Gate, Held, Look, scope_of, scopes_of, scopes_of_objects
from reconciler.gitops.narrowing import without
from reconciler.gitops.stages import gates, held_actions
from reconciler.gitops.state import CLUSTER, LoopState, ScopeState, Suspension
from reconciler.gitops.windows import opening
from reconciler.gitops.wrongs import endings, wrongs
from reconciler.model.objects import Kind
from reconciler.model.plan import Plan


def decide(look: Look, state: LoopState, now: datetime) -> Decision:
    """Return what to do at `now` (aware UTC), given what was read and what is remembered. Nothing is changed.

    Without a plan (no revision, or a cluster that can't be read) nothing is written, and what could not be looked at
    stays as it was remembered.
    """
    state = replace(state, suspensions=_lasting(state.suspensions, now))
    closed = gates(look, state, now)
    held = held_actions(look, closed)
    plan = _narrowed(look, held)
    applying = tuple(dict.fromkeys(scope_of(action) for action in plan.actions)) if plan else ()
    progress = Progress.of(look, closed, held.values(), applying)
    standings = {scope: standing_of(scope, look, state, progress) for scope in _scopes(look, state)}
    standings |= {scope: standing for scope, _, standing in node_standings(look)}
    drifts = next_drifts(look, state, now)
    said = told(
        state.incidents,
        wrongs(look, state, standings, drifts, held),
        now,
        unknown=("drift/", "failed/", "node/") if look.plan is None else (),
        kept=_unproven(look, state, standings),
        over=endings(state, drifts, standings),
    )
    ended = finished(state, look, plan, standings, now)
    known = replace(state, scopes={**state.scopes, **ended.scopes})
    after = replace(
        state,
        scopes=_next_scopes(look, known, standings, now),
        drifts=drifts,
        incidents=said.incidents,
    )
    return Decision(
        plan=plan,
        applying=applying,
        held=tuple(held.values()),
        alerts=(*said.alerts, *ended.alerts),
        state=after,
        wake_at=_wake_at(look, after, closed, now),
        counts=_counts(plan, held.values(), standings),
        entry=ended.entry,
        awaited=tuple(sorted(look.busy)),
        resumed=resumed(after, look, applying, standings),
    )


def _scopes(look: Look, state: LoopState) -> Iterable[str]:
    """Return every scope that there is something to say of. Of what can't be read any more, those that there were."""
    unread = state.scopes if look.desired is None and state.source.fault is not None else ()
    return dict.fromkeys((*scopes_of(look), *(scope for scope in unread if not scope.startswith(NODE))))


def _narrowed(look: Look, held: Mapping[str, Held]) -> Plan | None:
    if look.plan is None or look.actual is None:
        return None
    plan = without(look.plan, held.keys(), look.actual)
    # Nor is it waited for services of others: a stack that never converges must not hold up those that do.
    scopes, written = scopes_of_objects(look), {scope_of(action) for action in plan.actions}
    services = tuple(name for name in plan.services if scopes.get(f"{Kind.SERVICE}.{name}") in written)
    # Whoever brings a stack about puts it back, should it fail; and writes down what it asked of nodes and settings.
    atomic = tuple(name for name in plan.atomic_stacks if name not in look.busy)
    topology = plan.topology if not look.busy or CLUSTER in written else None
    return replace(plan, services=services, atomic_stacks=atomic, topology=topology)


def _lasting(suspensions: Mapping[str, Suspension], now: datetime) -> dict[str, Suspension]:
    return {name: one for name, one in suspensions.items() if one.until is None or one.until > now}


def _unproven(look: Look, state: LoopState, standings: Mapping[str, Standing]) -> frozenset[str]:
    """Return the incidents whose end is not seen yet, though what began them may be another thing now.

    A new revision that is on its way proves nothing; nor does a remote that fails in a way that may pass by itself.
    """
    kept = {f"failed/{scope}" for scope, one in standings.items() if not one.ready and not scope.startswith(NODE)}
    if state.source.fault is not None:
        kept.add(f"source/{state.source.name}")
    if look.cluster_problem is not None:
        kept.add("cluster")
    return frozenset(kept)


def _next_scopes(
    look: Look, state: LoopState, standings: Mapping[str, Standing], now: datetime
) -> dict[str, ScopeState]:
    """Return what is remembered of each scope. One that is ready has nothing to remember of an earlier failure."""
    scopes = {name: one for name, one in state.scopes.items() if look.plan is None or one.begun is not None}
    for scope, standing in standings.items():
        before = state.scope(scope)
        attempt = None if standing.ready else before.attempt
        scopes[scope] = replace(before, attempt=attempt, conditions=conditions(before.conditions, standing, now))
    return scopes


def _wake_at(look: Look, state: LoopState, closed: Mapping[str, Gate], now: datetime) -> datetime | None:
    """Return when the clock alone may change what is decided: a window, the end of a wait or of a suspension."""
    moments = [gate.until for gate in closed.values() if gate.until is not None]
    moments += [one.until for one in state.suspensions.values() if one.until is not None]
    for scope in scopes_of(look):
        until = opening(look.policies.windows_of(scope), now).until
        moments += [until] if until is not None else []
    return min((moment for moment in moments if moment > now), default=None)


def _counts(plan: Plan | None, held: Iterable[Held], standings: Mapping[str, Standing]) -> dict[str, int]:
    return {
        "actions": len(plan.actions) if plan else 0,
        "held": sum(1 for _ in held),
        "blocked": len(plan.blocked) if plan else 0,
        "ready": sum(1 for one in standings.values() if one.ready),
        "stalled": sum(1 for one in standings.values() if one.stalled),
    }
