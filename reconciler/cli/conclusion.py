"""How an apply ended, in words and as an exit code."""

from __future__ import annotations

from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, ExitCode, Problem
from reconciler.model.plan import ActionType
from reconciler.model.progress import ActionStatus, ApplyResult, Assessment, Verdict


def conclude(terminal: Terminal, result: ApplyResult) -> ExitCode:
    """Print how an apply ended and return its exit code: 0 only when all is done, nothing blocked, all converged."""
    problems = [one.problem for one in result.actions if one.problem is not None]
    problems += [one.problem for one in result.plan.blocked]
    unfinished = [one for one in result.services if one.verdict is not Verdict.CONVERGED]
    problems += [_not_converged(one, result.timed_out) for one in unfinished]
    if result.lost is not None:
        problems.append(result.lost)
    terminal.problems(problems)
    if result.actions or result.services:
        terminal.say(_summary(result, problems), "red" if problems else "green")
    return ExitCode.ERROR if problems else ExitCode.OK


def _summary(result: ApplyResult, problems: list[Problem]) -> str:
    done = [one.action.type for one in result.actions if one.status is ActionStatus.DONE]
    counts = {kind: done.count(kind) for kind in ActionType}
    added = counts[ActionType.CREATE] + counts[ActionType.REPLACE]
    destroyed = counts[ActionType.DELETE] + counts[ActionType.REPLACE]
    failed, skipped = result.count(ActionStatus.FAILED), result.count(ActionStatus.SKIPPED)
    text = f"{added} added, {counts[ActionType.UPDATE]} changed, {destroyed} destroyed."
    converged = sum(1 for one in result.services if one.verdict is Verdict.CONVERGED)
    if result.services:
        text += f" {converged} of {len(result.services)} services converged."
    if failed or skipped:
        return f"Apply failed: {text} {failed} failed, {skipped} skipped."
    return f"Applied in part: {text}" if problems else f"Apply complete: {text}"


def _not_converged(one: Assessment, timed_out: bool) -> Problem:
    ending = "has not converged in time" if timed_out and one.verdict is Verdict.PROGRESSING else one.verdict.value
    what = f"Service {one.service}: {ending}, {one.running} of {one.wanted} tasks running."
    return Problem(
        ErrorCode.NOT_CONVERGED,
        what,
        why=one.message,
        hint=f"`docker service ps {one.service}` lists its tasks. Remove the cause, then apply again.",
    )
