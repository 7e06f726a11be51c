"""Which scopes may be written now, wave by wave, and why the others may not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from reconciler.gitops.fingerprint import fingerprint
from reconciler.gitops.look import Gate, Held, Look, blocked_by_scope, object_of, scope_of, scopes_of, services_by_scope
from reconciler.gitops.patience import after, backed_off_s
from reconciler.gitops.state import Attempt, LoopState
from reconciler.gitops.windows import opening
from reconciler.model.conditions import Reason
from reconciler.model.desired import Stack
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Origin
from reconciler.model.policies import DriftMode
from reconciler.model.progress import Assessment, Verdict
from reconciler.planning.order import stack_waves

BROKEN: Final = frozenset({Verdict.FAILING, Verdict.UNSCHEDULABLE, Verdict.PAUSED, Verdict.ROLLED_BACK})
"""Verdicts that don't pass by waiting."""


def gates(look: Look, state: LoopState, now: datetime) -> dict[str, Gate]:
    """Return {scope: why nothing of it is written now}; scopes without a gate are open."""
    own = {scope: gate for scope in scopes_of(look) if (gate := _own_gate(look, state, scope, now)) is not None}
    return _with_dependencies(look, own)


def _own_gate(look: Look, state: LoopState, scope: str, now: datetime) -> Gate | None:
    if scope in look.busy:
        return Gate(Reason.APPLYING, "It is being brought to what Git asks for.")
    suspension = state.suspension(scope, now)
    if suspension is not None:
        who = f" by {suspension.by}" if suspension.by else ""
        why = f": {suspension.reason}" if suspension.reason else "."
        return Gate(Reason.SUSPENDED, f"It was suspended{who}{why}", suspension.until, stalled=True)
    if look.is_forced(scope):
        return None
    attempt = state.scope(scope).attempt
    if attempt is not None and (gate := _after_failure(look, state, scope, attempt, now)) is not None:
        return gate
    window = opening(look.policies.windows_of(scope), now)
    if not window.is_open:
        opens = f"It opens at {window.until:%Y-%m-%d %H:%M} UTC." if window.until else "None opens within a week."
        return Gate(Reason.OUTSIDE_WINDOW, f"No maintenance window is open. {opens}", window.until)
    return None


def _after_failure(look: Look, state: LoopState, scope: str, attempt: Attempt, now: datetime) -> Gate | None:
    """Return what an earlier failure holds; None once Git or the cluster has moved, or the wait is over."""
    in_force = state.source.in_force
    if in_force is None or in_force.identity != attempt.identity:
        return None
    if attempt.passing:
        retry = after(attempt.at, backed_off_s(attempt.failures, f"{scope}/{attempt.identity}"))
        return Gate(Reason.BACKING_OFF, attempt.what, retry) if retry > now else None
    if look.actual is not None and fingerprint(look.actual, scope) != attempt.fingerprint:
        return None
    return Gate(reason_of(attempt.code), attempt.what, stalled=True)


def reason_of(code: ErrorCode) -> Reason:
    """Return the reason code for a failed apply."""
    if code is ErrorCode.ROLLED_BACK:
        return Reason.ROLLED_BACK
    failing = (ErrorCode.TASKS_FAILING, ErrorCode.UNSCHEDULABLE, ErrorCode.UPDATE_PAUSED)
    return Reason.TASKS_FAILING if code in failing else Reason.APPLY_FAILED


def _with_dependencies(look: Look, own: Mapping[str, Gate]) -> dict[str, Gate]:
    """Return the gates with those of stacks whose dependencies can't be brought, or are not, to what Git asks for."""
    closed = dict(own)
    if look.desired is None:
        return closed
    planned = {scope_of(action) for action in _written(look)}
    blocked, services = blocked_by_scope(look), services_by_scope(look)
    waves = stack_waves(look.desired.stacks)
    for stack in sorted(look.desired.stacks, key=lambda one: waves[one.name]):
        if stack.name in closed:
            continue
        for needed in stack.depends_on:
            gate = closed.get(needed) if needed in planned or needed in look.busy else None
            gate = gate or _unready(needed, planned, blocked.get(needed, ()), services.get(needed, ()))
            if gate is not None:
                closed[stack.name] = replace(
                    gate, reason=Reason.DEPENDENCY_NOT_READY, message=_waits(stack, needed, gate.message)
                )
                break
    return closed


def _written(look: Look) -> list[Action]:
    """Return the actions that are more than drift that the policy leaves alone: only those make a stack unready."""
    return [action for action in look.plan.actions if not _left_alone(look, action)] if look.plan else []


def _unready(needed: str, planned: set[str], blocked: Sequence[Problem], services: Sequence[Assessment]) -> Gate | None:
    """Return why a stack that others need is not what Git asks for, or None when it is, or is about to be."""
    if blocked:
        return Gate(Reason.PLAN_BLOCKED, blocked[0].what, stalled=True)
    if needed in planned:
        return None  # it is written in this pass, and the plan's own order makes the others wait
    behind = next((one for one in services if one.verdict is not Verdict.CONVERGED), None)
    if behind is None:
        return None
    message = f"Its service {behind.service} is {behind.verdict.value}."
    return Gate(Reason.PROGRESSING, message, stalled=behind.verdict in BROKEN)


def _waits(stack: Stack, needed: str, why: str) -> str:
    return f"Stack {stack.name} has to wait for stack {needed}. {why}"


def held_actions(look: Look, closed: Mapping[str, Gate]) -> dict[str, Held]:
    """Return {action id: why it is not carried out now}, with all that has to come after such an action."""
    held: dict[str, Held] = {}
    for action in look.plan.actions if look.plan else ():
        scope, written = scope_of(action), object_of(action)
        gate = closed.get(scope)
        earlier = next((held[name] for name in action.after if name in held), None)
        if _left_alone(look, action):
            mode = look.policies.drift_of(written, scope)
            held[action.id] = Held(
                action.id, written, scope, Reason.DRIFTED, f"The policy for its drift is {mode.value}."
            )
        elif gate is not None:
            held[action.id] = Held(action.id, written, scope, gate.reason, gate.message, gate.until)
        elif earlier is not None:
            message = f"It has to wait for {earlier.action_id}. {earlier.message}"
            held[action.id] = Held(action.id, written, scope, Reason.DEPENDENCY_NOT_READY, message, earlier.until)
        elif look.is_full or _may_be_needed_again(look, action):
            held[action.id] = Held(
                action.id, written, scope, Reason.APPLYING, "It has to wait for the applies that are under way."
            )
    return held


def _may_be_needed_again(look: Look, action: Action) -> bool:
    """Return whether an action removes what an atomic stack may need, should it go back to what it was."""
    if action.type is not ActionType.DELETE or action.kind not in (Kind.NETWORK, Kind.SECRET, Kind.CONFIG):
        return False
    atomic = look.plan.atomic_stacks if look.plan is not None else ()
    return not look.busy.isdisjoint(atomic)


def _left_alone(look: Look, action: Action) -> bool:
    """Return whether an action does nothing but undo drift, where the policy is not to.

    What a commit asks for as well is carried out whole: the new commit speaks for all of the object.
    """
    if action.origin is not Origin.DRIFT or look.is_forced(scope_of(action)):
        return False
    return look.policies.drift_of(object_of(action), scope_of(action)) is not DriftMode.HEAL
