"""What an apply tells while it runs, and what it has to say at the end. Values only; the CLI draws them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

import msgspec

from reconciler.model.errors import Problem
from reconciler.model.plan import Action, Plan


class Verdict(enum.StrEnum):
    """Where a service stands. All but PROGRESSING are ends: waiting longer changes nothing, or was given up."""

    CONVERGED = "converged"
    PROGRESSING = "progressing"
    TIMED_OUT = "timed out"
    PAUSED = "update paused"
    ROLLED_BACK = "rolled back"
    FAILING = "failing"
    UNSCHEDULABLE = "unschedulable"
    MISSING = "missing"
    CHANGED = "changed"  # by someone else, since the wait for its tasks began

    @property
    def said(self) -> str:
        """It as the end of a sentence that begins with the service."""
        return _SAID.get(self, f"is {self.value}")


_SAID: Final = {
    Verdict.CONVERGED: "has converged",
    Verdict.TIMED_OUT: "has not converged in time",
    Verdict.PAUSED: "has its update paused",
    Verdict.ROLLED_BACK: "was rolled back",
    Verdict.CHANGED: "was changed by somebody else",
}


class Assessment(msgspec.Struct, frozen=True):
    """One service at one moment. `wanted` and `running` count tasks (for jobs: completions to reach and reached).

    `task_ids` are the tasks that count as running, for telling a stable service from one that keeps crashing.
    `message` says what is being waited for or what went wrong, with the newest task's own error; "" when nothing did.
    """

    service: str
    verdict: Verdict
    running: int
    wanted: int
    message: str = ""
    task_ids: frozenset[str] = frozenset()
    log: tuple[str, ...] = ()
    """The last lines that a failing task printed, oldest first."""
    older: int = 0
    """Tasks of what the service was before that still run, and are wanted to for now."""
    is_job: bool = False


class ActionStatus(enum.StrEnum):
    """Where one action stands."""

    WAITING = "waiting"
    """Written, and waited for, because another action needs its tasks."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class ActionProgress(msgspec.Struct, frozen=True):
    """One action moved on. `problem` is set when it FAILED or was SKIPPED.

    `log` are the last lines of the task for which a service failed that another action had to wait for; such a one was
    written all the same (`written`).
    """

    action: Action
    status: ActionStatus
    problem: Problem | None = None
    log: tuple[str, ...] = ()
    written: bool = False

    @property
    def was_written(self) -> bool:
        """Whether its write was made, whatever has become of the tasks."""
        return self.written or self.status in (ActionStatus.DONE, ActionStatus.WAITING)


class ServicesProgress(msgspec.Struct, frozen=True):
    """Where the awaited services stand now, and for how many seconds we have waited."""

    assessments: tuple[Assessment, ...]
    waited_s: float


class UndoneStack(msgspec.Struct, frozen=True):
    """A stack that was put back: why, by which actions, and where its services stand after that.

    Told once nothing more is written to it, or written down of it, by this apply.
    """

    stack: str
    cause: Problem
    actions: tuple[ActionProgress, ...] = ()
    services: tuple[Assessment, ...] = ()

    @property
    def not_back(self) -> tuple[ActionProgress, ...]:
        """The writes that would have put services back, and that failed or had to be left."""
        return tuple(one for one in self.actions if one.status is not ActionStatus.DONE)


Progress = ActionProgress | ServicesProgress | UndoneStack
Report = Callable[[Progress], None]
"""Takes each step as it happens. It must not raise, and not block."""


class ApplyResult(msgspec.Struct, frozen=True):
    """How an apply ended: one entry for each action of `plan`, and the last look at each awaited service.

    `timed_out` says that waiting was given up.
    """

    plan: Plan
    actions: tuple[ActionProgress, ...]
    services: tuple[Assessment, ...] = ()
    timed_out: bool = False
    lost: Problem | None = None
    """Why waiting had to end without an answer: the endpoint went away."""
    undone: tuple[UndoneStack, ...] = ()
    """Stacks that were put back to what they were, because one of their services failed."""
    warnings: tuple[Problem, ...] = ()
    """What did not go as it should and does no harm to what was applied: the swarm's record was not written."""

    @property
    def writes(self) -> tuple[ActionProgress, ...]:
        """The actions whose writes were made, those that put stacks back among them."""
        back = (one for stack in self.undone for one in stack.actions)
        return tuple(one for one in (*self.actions, *back) if one.was_written)

    def count(self, status: ActionStatus) -> int:
        """Return how many actions ended in `status`."""
        return sum(1 for one in self.actions if one.status is status)
