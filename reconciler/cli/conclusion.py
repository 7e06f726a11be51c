"""How an apply ended, in words and as an exit code."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from reconciler.cli.terminal import Terminal
from reconciler.model.endings import EXIT_CODES, exit_code, problem_of
from reconciler.model.errors import ErrorCode, ExitCode, Problem, Severity
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType
from reconciler.model.progress import ActionStatus, ApplyResult, Assessment, UndoneStack, Verdict
from reconciler.model.words import many


def conclude(terminal: Terminal, result: ApplyResult) -> ExitCode:
    """Print how an apply ended and return its exit code: OK only when all is done, nothing blocked, all converged."""
    gone = _taken_back(result)
    for action in result.actions:
        if action.problem is not None:
            name = action.action.name if action.action.kind is Kind.SERVICE else None
            terminal.problems([_of_what_is_gone(action.problem) if name in gone else action.problem])
            _tell_log(terminal, action.log)
    terminal.problems(one.problem for one in result.plan.blocked)
    told = [action.problem for action in result.actions]
    for one in result.services:
        # One that an action had to wait for has been told with its own action.
        if one.verdict is not Verdict.CONVERGED and problem_of(one) not in told:
            _tell(terminal, one, foreign=_is_foreign(one, result), gone=one.service in gone)
    if result.lost is not None:
        terminal.problems([result.lost])
    for undone in result.undone:
        _tell_undone(terminal, undone)
    terminal.problems(result.warnings)
    code = _exit_code(result)
    if result.actions or result.services:
        terminal.say(_summary(result, code), "red" if code is not ExitCode.OK else "green")
    return code


def _is_foreign(one: Assessment, result: ApplyResult) -> bool:
    """Return whether the manifests don't declare a service, and its tasks were only moved along with a node's."""
    ours = {*result.plan.services, *(action.name for action in result.plan.actions if action.kind is Kind.SERVICE)}
    ours |= {action.action.name for stack in result.undone for action in stack.actions}
    return one.service not in ours


def _of_what_is_gone(problem: Problem) -> Problem:
    """Return an ending of a service that is again what it was: what would go on with it, or run it again, is no more.

    To run such a job once more would run what it was before.
    """
    if problem.code not in EXIT_CODES:
        return problem
    return replace(problem, hint="The service is again what it was before. Mend the cause, then apply again.")


def _tell(terminal: Terminal, one: Assessment, *, foreign: bool = False, gone: bool = False) -> None:
    """Print the problem of one service, and what its task printed last. What is not ours is told, and fails nothing."""
    problem = _of_what_is_gone(problem_of(one)) if gone else problem_of(one)
    if foreign:
        why = f"These manifests don't declare it, and a node that they drain or relabel moved its tasks. {problem.why}"
        hint = "See to it with whoever deploys it; this apply counts as done without it."
        problem = replace(problem, severity=Severity.WARNING, why=why.strip(), hint=hint)
    terminal.problems([problem])
    _tell_log(terminal, one.log)


def _tell_log(terminal: Terminal, lines: Iterable[str]) -> None:
    for line in lines:
        terminal.note(f"  log:  {line}", "dim")


def _tell_undone(terminal: Terminal, undone: UndoneStack) -> None:
    terminal.problems([_undone_problem(undone)])
    terminal.problems(one.problem for one in undone.actions if one.problem is not None)
    for one in undone.services:
        if one.verdict is not Verdict.CONVERGED:
            _tell(terminal, one)


def _undone_problem(undone: UndoneStack) -> Problem:
    # A service of which two steps put it back is one service, and not back where one of them failed.
    not_back = {one.action.name for one in undone.not_back}
    types = {one.action.name: one.action.type for one in undone.actions if one.action.name not in not_back}
    done = list(types.values())
    removed = done.count(ActionType.DELETE)
    again = len(done) - removed
    parts = [f"{many(again, 'service')} written again"] if again else []
    if not done:
        parts = ["nothing was to be undone"]
    if removed:
        parts.append(f"{removed} removed" if again else f"{many(removed, 'service')} removed")
    how = "was put back to what it was before"
    if undone.not_back:
        how = "was put back in part only" if done else "could not be put back"
        left = len(not_back)
        told = f"{many(left, 'service')} may not be what {'it was' if left == 1 else 'they were'}"
        parts = [*(parts if done else ()), told]
    return Problem(
        ErrorCode.ROLLED_BACK,
        f"Stack {undone.stack} {how}: {', '.join(parts)}.",
        why=" ".join(part for part in (undone.cause.what, undone.cause.why) if part),
        hint="Mend the cause, then apply again.",
    )


def _exit_code(result: ApplyResult) -> ExitCode:
    """Return the gravest code (model/endings.py). What failed in a stack that was put back counts as that alone."""
    undone = {one.stack for one in result.undone}
    stack_of = {action.name: action.stack for action in result.plan.actions if action.kind is Kind.SERVICE}
    # What an earlier apply had written is no action of this plan.
    stack_of |= {one.action.name: stack.stack for stack in result.undone for one in stack.actions}
    problems = [one.problem for one in result.actions if one.problem is not None and one.action.stack not in undone]
    problems += [one.problem for one in result.plan.blocked]
    awaited = [one for one in result.services if not _is_foreign(one, result)]
    services = [one for one in awaited if stack_of.get(one.service) not in undone]
    for stack in result.undone:
        problems.append(_undone_problem(stack))
        problems += [one.problem for one in stack.actions if one.problem is not None]
        services += stack.services
    problems += [problem_of(one) for one in services if one.verdict is not Verdict.CONVERGED]
    problems += [result.lost] if result.lost is not None else []
    return exit_code(problems)


def _summary(result: ApplyResult, code: ExitCode) -> str:
    gone = _taken_back(result)
    done = [
        one.action.type
        for one in result.actions
        if one.was_written and not (one.action.kind is Kind.SERVICE and one.action.name in gone)
    ]
    counts = {kind: done.count(kind) for kind in ActionType}
    added = counts[ActionType.CREATE] + counts[ActionType.REPLACE]
    destroyed = counts[ActionType.DELETE] + counts[ActionType.REPLACE]
    failed, skipped = result.count(ActionStatus.FAILED), result.count(ActionStatus.SKIPPED)
    text = f"{added} added, {counts[ActionType.UPDATE]} changed, {destroyed} destroyed."
    services = [one for one in result.services if not _is_foreign(one, result)]
    converged = sum(1 for one in services if one.verdict is Verdict.CONVERGED)
    if services:
        text += f" {converged} of {len(services)} services converged."
    if failed or skipped:
        text = f"Apply failed: {text} {failed} failed, {skipped} skipped."
    else:
        text = f"Applied in part: {text}" if code is not ExitCode.OK else f"Apply complete: {text}"
    whole = [one.stack for one in result.undone if not one.not_back]
    half = [one.stack for one in result.undone if one.not_back]
    text += f" Put back: {', '.join(whole)}." if whole else ""
    return text + (f" Not put back, or in part only: {', '.join(half)}." if half else "")


def _taken_back(result: ApplyResult) -> frozenset[str]:
    """Return the services that are again what they were: all of a stack that was put back but those that are not."""
    undone = {one.stack for one in result.undone}
    kept = {one.action.name for stack in result.undone for one in stack.not_back}
    names = {action.name for action in result.plan.actions if action.stack in undone and action.kind is Kind.SERVICE}
    return frozenset(names - kept)
