"""A task's life on its node, as a pure table: what to do next, given its state and the one desired.

Source: swarmkit's agent/exec controller (facts, swarmkit.md 1.3).
"""

from __future__ import annotations

import enum

import msgspec

from reconciler.model.assignments import Assignment
from reconciler.model.json import dig
from reconciler.model.tasks import TaskState

DEFAULT_STOP_SIGNAL = "SIGTERM"
DEFAULT_STOP_GRACE_S = 10.0


class Instruction(enum.Enum):
    """What the runner shall do with one task."""

    ACCEPT = "accept"
    PREPARE = "prepare"
    START = "start"
    AWAIT_EXIT = "await exit"
    STOP = "stop"
    REST = "rest"
    """Nothing until the desired state rises, or for good."""


_NEXT = {
    TaskState.ASSIGNED: Instruction.ACCEPT,
    TaskState.ACCEPTED: Instruction.PREPARE,
    TaskState.PREPARING: Instruction.PREPARE,
    TaskState.READY: Instruction.START,
    TaskState.STARTING: Instruction.START,
    TaskState.RUNNING: Instruction.AWAIT_EXIT,
}

_PAUSES = (TaskState.ASSIGNED, TaskState.ACCEPTED, TaskState.READY)
"""States in which a task waits until more than that is desired; the others go on by themselves."""


def next_instruction(state: TaskState, desired: TaskState) -> Instruction:
    """Return what comes next for a task in `state`. A task that has ended rests for good."""
    if state > TaskState.RUNNING:
        return Instruction.REST
    if desired >= TaskState.SHUTDOWN:
        return Instruction.STOP
    if state in _PAUSES and state >= desired:
        return Instruction.REST
    return _NEXT.get(state, Instruction.REST)


class Ending(msgspec.Struct, frozen=True):
    """How a task that ended by itself is reported."""

    state: TaskState
    message: str
    err: str


def ending(exit_code: int) -> Ending:
    """Return how a task is reported whose process ended with `exit_code` (128 + n for signal n)."""
    if exit_code == 0:
        return Ending(TaskState.COMPLETE, "finished", "")
    return Ending(TaskState.FAILED, "started", f"task: non-zero exit ({exit_code})")


def failed_before(state: TaskState) -> TaskState:
    """Return the state of a task that can't go on from `state`: rejected before it is started, failed after."""
    return TaskState.REJECTED if state < TaskState.STARTING else TaskState.FAILED


def stop_signal(assignment: Assignment) -> str:
    """Return the name of the signal that asks this task to end."""
    return str(assignment.container.get("StopSignal") or DEFAULT_STOP_SIGNAL)


def stop_grace_s(assignment: Assignment) -> float:
    """Return for how many seconds the task may take to end before it is killed."""
    grace_ns = dig(assignment.container, "StopGracePeriod")
    return DEFAULT_STOP_GRACE_S if grace_ns is None else grace_ns / 1e9
