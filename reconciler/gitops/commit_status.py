"""What a commit's status on its forge says: is the cluster what this commit asks for? Pure.

Drift and nodes don't count: they are no fault of the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from reconciler.gitops.alert_text import plain
from reconciler.gitops.conditions import NODE
from reconciler.gitops.state import LoopState
from reconciler.gitops.wrongs import name_of
from reconciler.model.commands import PutRecord
from reconciler.model.conditions import Condition, ConditionType, Reason
from reconciler.model.forges import CommitStatus, StatusState
from reconciler.model.tables import KeyValueRecord

NAMESPACE: Final = "commit-status"
COMMITS_MAX: Final = 8
"""Commits of one source whose status is remembered."""
DESCRIPTION_CHARS_MAX: Final = 140
"""What GitHub takes; the others take more."""
_FAILED: Final = frozenset({Reason.APPLY_FAILED, Reason.ROLLED_BACK, Reason.TASKS_FAILING, Reason.PLAN_BLOCKED})


class Posted(msgspec.Struct, frozen=True):
    """What was last posted for one source: of the revision in force, and of a newer one that was refused."""

    source: str
    statuses: tuple[CommitStatus, ...] = ()


def statuses(state: LoopState, cluster: str, target_url: str = "") -> tuple[CommitStatus, ...]:
    """Return what the commit in force should say, and one that was refused.

    `state` is a Decision's: conditions of an earlier pass would speak for an earlier commit.
    `cluster` is in the context, so that two clusters that follow one repository have a status each.
    """
    context = f"swarmctl/{plain(cluster)}"
    found: list[CommitStatus] = []
    source = state.source
    if source.in_force is not None and (told := _told(state)) is not None:
        found.append(CommitStatus(source.in_force.commit, told[0], _short(told[1]), context, target_url))
    fault, in_force = source.fault, source.in_force.commit if source.in_force else ""
    if fault is not None and fault.commit not in ("", in_force) and not fault.passing:
        text = _short(f"Not applied. {fault.what}")
        found.append(CommitStatus(fault.commit, StatusState.FAILURE, text, context, target_url))
    return tuple(found)


def _told(state: LoopState) -> tuple[StatusState, str] | None:
    """Return state and description; None before there was a pass with this revision."""
    scopes = {
        scope: {one.type: one for one in known.conditions}
        for scope, known in state.scopes.items()
        if not scope.startswith(NODE) and known.conditions
    }
    if not scopes:
        return None
    healing = {scope for scope, begun in state.begun.items() if not begun.by_git}
    ready = [scope for scope, three in scopes.items() if scope in healing or _is_fine(three)]
    for scope, three in scopes.items():
        stalled = three[ConditionType.STALLED]
        if stalled.status and stalled.reason in _FAILED:
            return StatusState.FAILURE, f"{name_of(scope)}: {stalled.message or stalled.reason.value}"
    behind = next((scope for scope in scopes if scope not in ready), None)
    if behind is None:
        return StatusState.SUCCESS, "The cluster is what this commit asks for."
    reason = scopes[behind][ConditionType.READY].reason.value
    return StatusState.PENDING, f"{len(ready)} of {len(scopes)} are done; {name_of(behind)}: {reason}"


def _is_fine(three: Mapping[ConditionType, Condition]) -> bool:
    ready = three[ConditionType.READY]
    return ready.status or ready.reason is Reason.DRIFTED


def _short(text: str) -> str:
    shown = plain(text)
    return shown if len(shown) <= DESCRIPTION_CHARS_MAX else f"{shown[: DESCRIPTION_CHARS_MAX - 1]}…"


def due(posted: Posted, wanted: tuple[CommitStatus, ...]) -> tuple[CommitStatus, ...]:
    """Return what is to be posted: what was not posted before, just so."""
    return tuple(one for one in wanted if one not in posted.statuses)


def with_posted(posted: Posted, status: CommitStatus) -> Posted:
    """Return what is remembered once a status was posted; only the newest few commits are."""
    others = [one for one in posted.statuses if (one.commit, one.context) != (status.commit, status.context)]
    return Posted(posted.source, (*others, status)[-COMMITS_MAX:])


def command(posted: Posted, at: datetime) -> PutRecord:
    """Return the command that remembers what was posted."""
    return PutRecord(at=at, namespace=NAMESPACE, key=f"source/{posted.source}", value=msgspec.json.encode(posted))


def from_records(source: str, records: Iterable[KeyValueRecord]) -> Posted:
    """Return what was posted for a source; nothing where the records don't say, or can't be read."""
    for record in records:
        if (record.namespace, record.key) == (NAMESPACE, f"source/{source}"):
            try:
                return msgspec.json.decode(record.value, type=Posted)
            except (msgspec.DecodeError, UnicodeDecodeError):
                break
    return Posted(source)
