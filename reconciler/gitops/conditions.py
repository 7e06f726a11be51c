"""Ready, Reconciling and Stalled of each scope and node, with reason codes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from reconciler.gitops.look import Gate, Held, Look, blocked_by_scope, services_by_scope
from reconciler.gitops.stages import BROKEN, reason_of
from reconciler.gitops.state import LoopState, ScopeState
from reconciler.model.conditions import Condition, Conditions, ConditionType, Reason
from reconciler.model.desired import DesiredNode
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.objects import ObservedObject
from reconciler.model.policies import DriftMode
from reconciler.model.progress import Assessment, Verdict

NODE: Final = "node/"
"""What the scope of a node starts with; no stack's name has a slash."""
_OF_TASKS: Final = frozenset(
    {ErrorCode.TIMED_OUT, ErrorCode.UNSCHEDULABLE, ErrorCode.TASKS_FAILING, ErrorCode.UPDATE_PAUSED}
)
"""What an apply of a scope fails by though all of it was written."""


class Standing(msgspec.Struct, frozen=True):
    """What the three conditions say together. `ready` excludes the other two, and they each other."""

    reason: Reason
    message: str = ""
    ready: bool = False
    reconciling: bool = False
    stalled: bool = False


CONVERGED: Final = Standing(Reason.CONVERGED, ready=True)


def conditions(before: Conditions, standing: Standing, now: datetime) -> Conditions:
    """Return the three conditions; each keeps the moment at which its status last changed."""
    was = {one.type: one for one in before}
    statuses = {
        ConditionType.READY: standing.ready,
        ConditionType.RECONCILING: standing.reconciling,
        ConditionType.STALLED: standing.stalled,
    }
    return tuple(
        Condition(
            kind,
            status,
            standing.reason,
            standing.message,
            was[kind].since if kind in was and was[kind].status is status else now,
        )
        for kind, status in statuses.items()
    )


class Progress(msgspec.Struct, frozen=True):
    """What is decided of all scopes and known of them, each by scope: by this every one's standing is told."""

    closed: Mapping[str, Gate]
    held: Mapping[str, Sequence[Held]]
    applying: Collection[str]
    blocked: Mapping[str, Sequence[Problem]]
    services: Mapping[str, Sequence[Assessment]]

    @classmethod
    def of(cls, look: Look, closed: Mapping[str, Gate], held: Collection[Held], applying: Collection[str]) -> Progress:
        """Return it, sorted by scope once, for all of them."""
        by_scope: dict[str, list[Held]] = {}
        for one in held:
            by_scope.setdefault(one.scope, []).append(one)
        return cls(closed, by_scope, look.busy.union(applying), blocked_by_scope(look), services_by_scope(look))

    def waiting(self, scope: str) -> Held | None:
        """Return the first action of a scope that is held for another reason than a policy for drift."""
        return next((one for one in self.held.get(scope, ()) if one.reason is not Reason.DRIFTED), None)


def standing_of(scope: str, look: Look, state: LoopState, progress: Progress) -> Standing:
    """Return where one scope stands after the decision; the first thing that is wrong is told."""
    return (
        _without_a_plan(look, state)
        or _held(scope, progress)
        or _under_way(scope, progress)
        or _health(progress.services.get(scope, ()), state.scope(scope))
        or _drifted(scope, look, progress)
        or CONVERGED
    )


def _without_a_plan(look: Look, state: LoopState) -> Standing | None:
    fault = state.source.fault
    if state.source.in_force is None:
        if fault is None:
            return Standing(Reason.NO_REVISION, "Nothing was fetched yet.", reconciling=True)
        return Standing(Reason.SOURCE_FAILED, fault.what, reconciling=fault.passing, stalled=not fault.passing)
    if look.desired is None and fault is not None:
        what = f"What is in force can't be read here. {fault.what}"
        return Standing(Reason.SOURCE_FAILED, what, reconciling=fault.passing, stalled=not fault.passing)
    if look.desired is None:
        return Standing(Reason.NO_REVISION, "The revision in force is not loaded yet.", reconciling=True)
    if look.plan is None:
        message = look.cluster_problem.what if look.cluster_problem else ""
        return Standing(Reason.CLUSTER_UNREACHABLE, message, reconciling=True)
    return None


def _held(scope: str, progress: Progress) -> Standing | None:
    """Return what a closed gate means for a scope that has something to write."""
    gate = progress.closed.get(scope)
    if gate is None or progress.waiting(scope) is None:
        return None
    return Standing(gate.reason, gate.message, reconciling=not gate.stalled, stalled=gate.stalled)


def _under_way(scope: str, progress: Progress) -> Standing | None:
    if scope in progress.applying:
        services = progress.services.get(scope, ())
        behind = next((one for one in services if one.verdict is not Verdict.CONVERGED), None)
        awaited = f" Service {behind.service} is awaited." if behind is not None else ""
        return Standing(Reason.APPLYING, f"It is being brought to what Git asks for.{awaited}", reconciling=True)
    blocked = progress.blocked.get(scope)
    if blocked:
        return Standing(Reason.PLAN_BLOCKED, blocked[0].what, stalled=True)
    waiting = progress.waiting(scope)
    return Standing(waiting.reason, waiting.message, reconciling=True) if waiting else None


def _health(services: Sequence[Assessment], known: ScopeState) -> Standing | None:
    """Return what is wrong with the services of a scope of which nothing is written now.

    One look can't tell what has timed out, or finds no node, from what is on its way: the apply that waited for it can.
    What it came to holds until all is well, or something is written again.
    """
    broken = next((one for one in services if one.verdict in BROKEN), None)
    if broken is not None:
        return Standing(Reason.TASKS_FAILING, f"Service {broken.service} is {broken.verdict.value}.", stalled=True)
    behind = next((one for one in services if one.verdict is not Verdict.CONVERGED), None)
    if behind is None:
        return None
    attempt = known.attempt if known.begun is None else None
    if attempt is not None and attempt.code in _OF_TASKS:
        return Standing(reason_of(attempt.code), attempt.what, stalled=True)
    return Standing(Reason.PROGRESSING, f"Service {behind.service} is on its way.", reconciling=True)


def _drifted(scope: str, look: Look, progress: Progress) -> Standing | None:
    told = [
        one
        for one in progress.held.get(scope, ())
        if look.policies.drift_of(one.object_id, scope) is not DriftMode.IGNORE
    ]
    if not told:
        return None
    return Standing(Reason.DRIFTED, f"{told[0].object_id} is not what was last applied; the policy leaves it so.")


def node_standings(look: Look) -> Iterator[tuple[str, str, Standing]]:
    """Yield (scope, hostname, where it stands) of each node there is or should be.

    A node that nobody lists is told only where swarm.yaml lists any.
    """
    if look.actual is None:
        return
    wanted = look.desired.nodes if look.desired else ()
    for node in look.actual.nodes:
        hostname = _hostname(node)
        state = str(node.dig("Status", "State") or "unknown")
        if state != "ready":
            yield f"{NODE}{node.id}", hostname, Standing(Reason.NODE_DOWN, f"Node {hostname} is {state}.", stalled=True)
        elif wanted and not any(_means(one, node) for one in wanted):
            message = f"Node {hostname} has joined, and swarm.yaml does not list it."
            yield f"{NODE}{node.id}", hostname, Standing(Reason.NODE_NOT_LISTED, message)
        else:
            message = f"Node {hostname} is ready."
            yield f"{NODE}{node.id}", hostname, Standing(Reason.CONVERGED, message, ready=True)
    for one in wanted:
        if not one.absent and not any(_means(one, node) for node in look.actual.nodes):
            message = f"Node {one.selector} is listed, and has not joined."
            yield f"{NODE}{one.selector}", one.selector, Standing(Reason.NODE_MISSING, message, stalled=True)


def _hostname(node: ObservedObject) -> str:
    return str(node.dig("Description", "Hostname") or node.name or node.id)


def _means(wanted: DesiredNode, node: ObservedObject) -> bool:
    return wanted.selector == (node.id if wanted.by_id else _hostname(node))
