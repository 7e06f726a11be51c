"""Everything that is wrong now and that people should know of, in words. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Final

from reconciler.gitops.conditions import NODE, Standing
from reconciler.gitops.drifts import ADDED, REMOVED
from reconciler.gitops.incidents import Wanted
from reconciler.gitops.look import CLUSTER_FAILURES_MAX, Held, Look
from reconciler.gitops.state import CLUSTER, DriftIncident, LoopState
from reconciler.model.alerts import AlertKind
from reconciler.model.conditions import Reason
from reconciler.model.errors import ErrorCode
from reconciler.model.plan import NO_STACK
from reconciler.model.policies import DriftMode

SOURCE_FAILURES_MAX: Final = 3
"""Looks at a remote that may fail in a row before people are told of what may pass by itself."""
_SIGNATURES: Final = (ErrorCode.SIGNATURE_MISSING, ErrorCode.SIGNATURE_REFUSED)
_OF_SOURCES: Final = (
    *(ErrorCode.SOURCE_UNREACHABLE, ErrorCode.SOURCE_TIMED_OUT, ErrorCode.SOURCE_REFUSED, ErrorCode.SOURCE_EMPTY),
    *(ErrorCode.SOURCE_TOO_LARGE, ErrorCode.SOURCE_UNSAFE, ErrorCode.SOURCE_DAMAGED, ErrorCode.SOURCE_BUSY),
    *(ErrorCode.SOURCE_DISK_FULL, ErrorCode.HISTORY_REWRITTEN, ErrorCode.REVISION_NOT_FOUND, ErrorCode.PATH_NOT_FOUND),
    *(ErrorCode.GIT_FAILED, ErrorCode.SOURCE_INVALID),
)
_FAILED: Final = (Reason.APPLY_FAILED, Reason.ROLLED_BACK, Reason.TASKS_FAILING, Reason.PLAN_BLOCKED)
_NODES: Final = {Reason.NODE_DOWN: "down", Reason.NODE_NOT_LISTED: "not-listed", Reason.NODE_MISSING: "missing"}
_AFTER_NODES: Final = {
    Reason.NODE_DOWN: "Swarm runs its tasks on other nodes, where there are any that fit.",
    Reason.NODE_NOT_LISTED: "It is left as it is: list it in swarm.yaml to keep it, or drain and remove it.",
    Reason.NODE_MISSING: "It is set up as swarm.yaml says when it joins. A manager joins with --role manager.",
}


def wrongs(
    look: Look,
    state: LoopState,
    standings: Mapping[str, Standing],
    drifts: Mapping[str, DriftIncident],
    held: Mapping[str, Held],
) -> list[Wanted]:
    """Return what is wrong. `standings` are those of scopes and nodes, `held` the actions that wait."""
    return [
        *_source(state),
        *_cluster(look),
        *_failed(state, standings),
        *(_drift(look, one, held.get(one.object_id)) for one in drifts.values()),
        *_nodes(standings),
    ]


def _source(state: LoopState) -> Iterator[Wanted]:
    source, fault = state.source, state.source.fault
    if fault is None:
        return
    kind = AlertKind.SOURCE if fault.code in _OF_SOURCES else AlertKind.MANIFESTS
    kind = AlertKind.SIGNATURE if fault.code in _SIGNATURES else kind
    if fault.passing and source.failures < SOURCE_FAILURES_MAX:
        return
    kept = " Nothing is in force yet."
    if source.in_force is not None:  # a work tree has no commits
        kept = f" {source.in_force.commit[:12] or 'What it was before'} stays in force."
    yield Wanted(
        key=f"source/{source.name}",
        kind=kind,
        subject=source.name,
        message=f"{fault.what} {fault.why}".strip(),
        tokens=(f"{fault.code.value} {fault.commit}".strip(),),
        next_step=f"Nothing newer is applied.{kept}",
        commands=("swarmctl status",),
        commit=fault.commit,
    )


def _cluster(look: Look) -> Iterator[Wanted]:
    problem = look.cluster_problem
    if problem is None or look.cluster_failures < CLUSTER_FAILURES_MAX:
        return
    message = f"{problem.what} {problem.why}".strip()
    yield Wanted(
        "cluster", AlertKind.CLUSTER, "cluster", message, (problem.code.value,), next_step="It is tried again."
    )


def _failed(state: LoopState, standings: Mapping[str, Standing]) -> Iterator[Wanted]:
    revision = state.source.in_force
    for scope, standing in standings.items():
        if not standing.stalled or standing.reason not in _FAILED:
            continue
        rolled_back = standing.reason is Reason.ROLLED_BACK
        subject = name_of(scope)
        yield Wanted(
            key=f"failed/{scope}",
            kind=AlertKind.ROLLED_BACK if rolled_back else AlertKind.FAILED,
            subject=subject,
            message=standing.message,
            tokens=(f"{standing.reason.value} {revision.identity[:12] if revision else ''}".strip(),),
            next_step="It is not tried again until Git or the cluster moves.",
            commands=("swarmctl status", f"swarmctl sync {_argument(scope)}"),
            commit=revision.commit if revision else "",
            author=revision.author if revision else "",
        )


def _drift(look: Look, drift: DriftIncident, held: Held | None) -> Wanted:
    fields = f"differs in {len(drift.paths)} field{'s' if len(drift.paths) > 1 else ''}"
    if drift.paths == (REMOVED,):
        fields = "is gone"
    elif drift.paths == (ADDED,):
        fields = "was made by somebody else, with our label on it"
    return Wanted(
        key=f"drift/{drift.object_id}",
        kind=AlertKind.DRIFT,
        subject=drift.object_id,
        message=f"{drift.object_id} {fields}, and no commit asked for that.",
        tokens=drift.paths,
        differences=drift.differences,
        next_step=_after_drift(look, drift, held),
        commands=(
            f"swarmctl diff {_stack_option(drift.scope)}".strip(),
            f"swarmctl {'sync' if held else 'suspend'} {_argument(drift.scope)}",
        ),
        commit=drift.commit,
    )


def _after_drift(look: Look, drift: DriftIncident, held: Held | None) -> str:
    is_added = drift.paths == (ADDED,)
    if held is None:
        return "It is removed now." if is_added else "It is put back now."
    if look.policies.drift_of(drift.object_id, drift.scope) is not DriftMode.HEAL:
        back = "remove it" if is_added else "put it back"
        return f"Nothing is done: commit it to accept it, or sync to {back}."
    return f"It is not put back yet. {held.message}"


def _stack_option(scope: str) -> str:
    return f"--stack {scope}" if scope != CLUSTER else ""


def _argument(scope: str) -> str:
    """Return a scope as a command takes it, ready to be pasted into a shell."""
    return shlex.quote(scope or NO_STACK)


def _nodes(standings: Mapping[str, Standing]) -> Iterator[Wanted]:
    for scope, standing in standings.items():
        token = _NODES.get(standing.reason)
        if scope.startswith(NODE) and token is not None:
            name = scope.removeprefix(NODE)
            message, hostname = standing.message, standing.message.split()[1]
            commands: tuple[str, ...] = ("swarmctl status",)
            if standing.reason is Reason.NODE_MISSING:
                commands = (*commands, f"swarmctl token issue --role worker --for {hostname}")
            yield Wanted(
                key=f"node/{name}",
                kind=AlertKind.NODE,
                subject=hostname,
                message=message,
                tokens=(token,),
                next_step=_AFTER_NODES[standing.reason],
                commands=commands,
            )


def name_of(scope: str) -> str:
    """Return what people call a scope."""
    return "the cluster" if scope == CLUSTER else scope


def endings(state: LoopState, drifts: Mapping[str, DriftIncident], standings: Mapping[str, Standing]) -> dict[str, str]:
    """Return {incident key: what to say of its end}, for all that may end now."""
    words: dict[str, str] = {}
    for key, incident in state.incidents.items():
        if incident.kind is AlertKind.DRIFT:
            before = state.drifts.get(incident.subject)
            words[key] = "It was put back." if before and before.healed else "It is gone; somebody else put it back."
            if before and before.paths == (ADDED,):
                words[key] = "It was removed." if before.healed else "It is gone; somebody else removed it."
        elif incident.kind is AlertKind.NODE:
            known = any(one.message.startswith(f"Node {incident.subject} ") for one in standings.values())
            words[key] = "The node is back as it should be." if known else "It is neither listed nor in the swarm now."
        elif incident.kind in (AlertKind.FAILED, AlertKind.ROLLED_BACK):
            words[key] = "It is what Git asks for again."
        else:
            words[key] = "All is well again."
    return {key: text for key, text in words.items() if key.removeprefix("drift/") not in drifts}
