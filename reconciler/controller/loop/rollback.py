"""Putting one stack back to what an earlier commit asked for, because somebody asked for it.

It is suspended in the same transaction as it is asked for, so that the loop leaves it alone: Git asks for another one.
"""

from __future__ import annotations

import structlog

from reconciler.controller.apply import apply
from reconciler.controller.loop.around import Around, Told
from reconciler.controller.loop.following import Following
from reconciler.controller.loop.state_records import Request
from reconciler.controller.prepare import prepare
from reconciler.gitops.pass_line import apply_line
from reconciler.gitops.results import HistoryEntry
from reconciler.model.errors import SwarmctlError
from reconciler.model.planned import PlanRequest
from reconciler.model.progress import ActionStatus, ApplyResult, Verdict

log = structlog.stdlib.get_logger(__name__)


async def rolled_back(following: Following, around: Around, request: Request, told: Told) -> HistoryEntry:
    """Carry a rollback out, and return what came of it; a failure is in the entry."""
    started = around.clock.monotonic_s()
    try:
        desired = await following.at(request.commit)
        cluster = await around.link.cluster()
        scopes = frozenset({request.scope})
        asked = PlanRequest(desired, around.apply.resolve, scopes, elsewhere=following.elsewhere())
        planned = await prepare(asked, cluster, around.apply.registry_auth, on_thread=True)
        result = await apply(planned.plan, planned.actual, cluster, around.apply.options(), told)
    except SwarmctlError as error:
        log.warning("rollback failed", scope=request.scope, commit=request.commit, code=error.code.value)
        return _entry(request, around, 0, str(error))
    seconds = around.clock.monotonic_s() - started
    log.info(
        "rollback ended",
        scope=request.scope,
        commit=request.commit,
        **apply_line(result, pass_id=told.pass_id, seconds=seconds),
    )
    return _entry(request, around, len(result.writes), _why_not(result))


def left_entry(request: Request, around: Around, told: Told, why: str) -> HistoryEntry:
    """Return the entry of a rollback that was left before it had converged, as far as it was `told`."""
    writes = sum(1 for step in told.steps.values() if step.was_written)
    return _entry(request, around, writes, f"It had not converged when {why}.")


def _why_not(result: ApplyResult) -> str:
    failed = next((one for one in result.actions if one.status is ActionStatus.FAILED), None)
    if failed is not None:
        return failed.problem.what if failed.problem is not None else f"{failed.action.id} could not be written."
    behind = next((one for one in result.services if one.verdict is not Verdict.CONVERGED), None)
    return f"Service {behind.service} {behind.verdict.said}. {behind.message}".strip() if behind else ""


def _entry(request: Request, around: Around, actions: int, failed: str) -> HistoryEntry:
    return HistoryEntry(
        at=around.clock.now(),
        commit=request.commit,
        author=request.by,
        subject="rollback",
        scopes=(request.scope,),
        actions=actions,
        failed={request.scope: failed} if failed else {},
    )
