"""How a service that did not converge is told: its problem, its code, and the exit code that stands for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reconciler.model.errors import ErrorCode, ExitCode, Problem, Severity
from reconciler.model.progress import Assessment, Verdict

CODES: Final = {
    Verdict.TIMED_OUT: ErrorCode.TIMED_OUT,
    Verdict.PAUSED: ErrorCode.UPDATE_PAUSED,
    Verdict.ROLLED_BACK: ErrorCode.ROLLED_BACK,
    Verdict.FAILING: ErrorCode.TASKS_FAILING,
    Verdict.UNSCHEDULABLE: ErrorCode.UNSCHEDULABLE,
    Verdict.CHANGED: ErrorCode.STALE_VERSION,
}
"""What every other verdict but CONVERGED comes to is NOT_CONVERGED."""

EXIT_CODES: Final = {
    ErrorCode.UNSCHEDULABLE: ExitCode.UNSCHEDULABLE,
    ErrorCode.TASKS_FAILING: ExitCode.TASKS_FAILING,
    ErrorCode.UPDATE_PAUSED: ExitCode.PAUSED,
    ErrorCode.ROLLED_BACK: ExitCode.ROLLED_BACK,
    ErrorCode.TIMED_OUT: ExitCode.TIMED_OUT,
}
"""The gravest first: of several, that one is the command's. Graver than all of them is ERROR: something that was
asked for was not even written. Being unschedulable and failing call for a person, a paused update waits for one,
what was rolled back runs as before, and what timed out may still converge by itself."""

_HINTS: Final = {
    Verdict.TIMED_OUT: "It may still converge: `swarmctl status` tells. Give it more time with --timeout.",
    Verdict.PAUSED: "Mend the cause and apply again: that goes on with the update.",
    Verdict.ROLLED_BACK: "What ran before runs again. Mend the cause and apply again.",
    Verdict.FAILING: "Mend what the task's error and log name, then apply again.",
    Verdict.UNSCHEDULABLE: (
        "Change what the reason names: the placement, the reservations or the network's subnet; or add such a node. "
        "Then apply again."
    ),
    Verdict.MISSING: "Apply again: that creates it anew.",
    Verdict.CHANGED: "Apply again: that brings it back to what was asked for. `diff` shows first what was changed.",
}


_NO_IMAGE: Final = "No such image"
"""What an engine says of a task whose image it could not pull, whatever the registry had answered."""

_NO_IMAGE_HINT: Final = (
    "See whether the registry has the image and the node reaches it; of a private registry, apply again "
    "with --with-registry-auth, which hands your `docker login` to the nodes."
)


def problem_of(one: Assessment) -> Problem:
    """Return the problem of a service that ended otherwise than converged; its log lines are not part of it."""
    return Problem(
        CODES.get(one.verdict, ErrorCode.NOT_CONVERGED),
        f"Service {one.service}: {_ending(one)}, {_count(one)}.",
        why=one.message,
        hint=_hint(one),
    )


def _count(one: Assessment) -> str:
    if one.is_job:
        return f"{one.running} of {one.wanted} tasks complete"
    if one.older:
        still = "1 of the old ones still runs" if one.older == 1 else f"{one.older} of the old ones still run"
        return f"{one.running} of {one.wanted} tasks updated, {still}"
    return f"{one.running} of {one.wanted} tasks running"


def _hint(one: Assessment) -> str:
    if one.is_job and one.verdict is Verdict.FAILING:
        return (
            f"`docker service update --force {one.service}` runs the job again once the cause is gone. "
            "Applying it again does so only where its definition has changed."
        )
    if one.verdict is Verdict.FAILING and _NO_IMAGE in one.message:
        return _NO_IMAGE_HINT
    return _HINTS.get(one.verdict, f"`docker service ps {one.service}` lists its tasks.")


def _ending(one: Assessment) -> str:
    words = {Verdict.FAILING: "its tasks fail", Verdict.CHANGED: "changed by someone else"}
    return words.get(one.verdict, one.verdict.value)


def exit_code(problems: Iterable[Problem]) -> ExitCode:
    """Return what a command ends with that met `problems`: OK without errors, else the gravest one's code.

    An action that was left out because another failed (apply-failed) is that other one's consequence, and counts
    only where nothing else does.
    """
    errors = {one.code for one in problems if one.severity is Severity.ERROR}
    causes = errors - {ErrorCode.APPLY_FAILED} or errors
    if not causes:
        return ExitCode.OK
    if causes - EXIT_CODES.keys():
        return ExitCode.ERROR
    return next(code for error, code in EXIT_CODES.items() if error in causes)
