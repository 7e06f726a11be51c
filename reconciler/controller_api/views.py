"""What the API shows, as JSON: the loop's values without what only the loop needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import asdict

from reconciler import __version__
from reconciler.gitops.conditions import NODE
from reconciler.gitops.overview import ControllerEvent, Health, Overview, Trace
from reconciler.gitops.results import HistoryEntry
from reconciler.gitops.state import CLUSTER, EVERYTHING, LoopState, ScopeState, Suspension
from reconciler.model.json import JsonObject
from reconciler.model.tickets import JoinTicket, TicketIssue


def health(ok: bool, found: Health) -> JsonObject:
    """Return what a probe reads."""
    return {"ok": ok, "why": "" if ok else found.why}


def status(found: Overview, now: datetime) -> JsonObject:
    """Return where everything stands. What a suspension of everything holds is told with the source."""
    states = [state for _, state in sorted(found.states.items())]
    return {
        "version": __version__,
        "cluster": found.cluster,
        "member": found.member,
        "leader": found.leader,
        "epoch": found.epoch,
        "members": [asdict(one) for one in found.members],
        "last_pass": _moment(found.last_pass),
        "sources": [_source(state, now, found.passing.get(state.source.name)) for state in states],
        "scopes": [_scope(state, name, one, now) for state in states for name, one in sorted(state.scopes.items())],
        "drifts": [one for state in states for one in _drifts(state)],
        "incidents": [one for state in states for one in _incidents(state)],
    }


def _source(state: LoopState, now: datetime, passing: datetime | None) -> JsonObject:
    source, revision, fault = state.source, state.source.in_force, state.source.fault
    everything = state.suspensions.get(EVERYTHING)
    return {
        "name": source.name,
        "revision": revision
        and {
            "commit": revision.commit,
            "reference": revision.reference,
            "author": revision.author,
            "subject": revision.subject,
            "committed_at": _moment(revision.committed_at),
            "signer": revision.signer,
            "rewritten": revision.rewritten,
        },
        "fault": fault and asdict(fault),
        "since": _moment(source.since),
        "failures": source.failures,
        "pass_seconds": max(int((now - passing).total_seconds()), 0) if passing is not None else None,
        "suspended": _suspension(everything if everything and state.suspension(EVERYTHING, now) else None),
    }


def _scope(state: LoopState, scope: str, known: ScopeState, now: datetime) -> JsonObject:
    kind = "cluster" if scope == CLUSTER else "node" if scope.startswith(NODE) else "stack"
    applied, attempt = known.applied, known.attempt
    return {
        "source": state.source.name,
        "kind": kind,
        "name": scope.removeprefix(NODE),
        "conditions": [
            {
                "type": one.type.value,
                "status": one.status,
                "reason": one.reason.value,
                "message": one.message,
                "since": _moment(one.since),
            }
            for one in known.conditions
        ],
        "applied": applied and {"commit": applied.commit, "at": _moment(applied.at)},
        "failed": attempt
        and {
            "code": attempt.code.value,
            "what": attempt.what,
            "at": _moment(attempt.at),
            "failures": attempt.failures,
        },
        "suspended": _suspension(state.suspension(scope, now)),
    }


def _suspension(found: Suspension | None) -> JsonObject | None:
    if found is None:
        return None
    return {"since": _moment(found.since), "until": _moment(found.until), "by": found.by, "reason": found.reason}


def _drifts(state: LoopState) -> list[JsonObject]:
    return [
        {
            "source": state.source.name,
            "stack": one.scope,
            "object": one.object_id,
            "since": _moment(one.since),
            "commit": one.commit,
            "differences": [
                {"path": each.path, "applied": each.applied, "found": each.found} for each in one.differences
            ],
            "healed": one.healed,
        }
        for _, one in sorted(state.drifts.items())
    ]


def _incidents(state: LoopState) -> list[JsonObject]:
    return [
        {
            "source": state.source.name,
            "kind": one.kind.value,
            "subject": one.subject,
            "since": _moment(one.since),
            "flapping": one.silenced,
        }
        for _, one in sorted(state.incidents.items())
        if one.closed is None
    ]


def history(found: Sequence[HistoryEntry], tickets: Sequence[TicketIssue]) -> JsonObject:
    """Return applies and given join commands in their order."""
    applies = [_plain(one) | {"scopes": list(one.scopes), "failed": dict(one.failed)} for one in found]
    return {"applies": applies, "tickets": [_plain(one) for one in tickets]}


def ticket(found: JoinTicket, hostname: str) -> JsonObject:
    """Return what lets a machine in. This is the only answer that has a join token in it."""
    return {
        "role": found.role.value,
        "hostname": hostname,
        "command": found.command,
        "addresses": list(found.addresses),
    }


def events(found: Sequence[ControllerEvent]) -> JsonObject:
    """Return events in their order."""
    return {"events": [_plain(one) for one in found]}


def trace(found: Trace) -> JsonObject:
    """Return one trace."""
    return _plain(found)


def _plain(value: msgspec.Struct) -> JsonObject:
    return {name: _moment(one) if isinstance(one, datetime) else one for name, one in asdict(value).items()}


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at is not None else None
