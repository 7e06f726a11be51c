"""What an agent does next with a task: the whole table."""

from __future__ import annotations

import pytest

from reconciler.agent.machine import Instruction, ending, failed_before, next_instruction, stop_grace_s, stop_signal
from reconciler.model.assignments import Assignment
from reconciler.model.json import JsonObject
from reconciler.model.tasks import TaskState as S

Do = Instruction


@pytest.mark.parametrize(
    ("state", "desired", "expected"),
    [
        (S.ASSIGNED, S.RUNNING, Do.ACCEPT),
        (S.ACCEPTED, S.RUNNING, Do.PREPARE),
        (S.PREPARING, S.RUNNING, Do.PREPARE),
        (S.READY, S.RUNNING, Do.START),
        (S.STARTING, S.RUNNING, Do.START),
        (S.RUNNING, S.RUNNING, Do.AWAIT_EXIT),
        (S.ACCEPTED, S.READY, Do.PREPARE),
        (S.READY, S.READY, Do.REST),
        (S.RUNNING, S.COMPLETE, Do.AWAIT_EXIT),
        (S.READY, S.COMPLETE, Do.START),
        (S.ASSIGNED, S.SHUTDOWN, Do.STOP),
        (S.READY, S.SHUTDOWN, Do.STOP),
        (S.RUNNING, S.SHUTDOWN, Do.STOP),
        (S.RUNNING, S.REMOVE, Do.STOP),
        (S.COMPLETE, S.SHUTDOWN, Do.REST),
        (S.FAILED, S.RUNNING, Do.REST),
        (S.REJECTED, S.REMOVE, Do.REST),
        (S.SHUTDOWN, S.REMOVE, Do.REST),
    ],
)
def test_the_next_instruction(state: S, desired: S, expected: Instruction) -> None:
    assert next_instruction(state, desired) is expected


@pytest.mark.parametrize("desired", [S.READY, S.RUNNING, S.COMPLETE, S.SHUTDOWN, S.REMOVE])
def test_a_task_that_has_ended_rests_whatever_is_desired(desired: S) -> None:
    for state in (S.COMPLETE, S.SHUTDOWN, S.FAILED, S.REJECTED, S.ORPHANED):
        assert next_instruction(state, desired) is Do.REST


@pytest.mark.parametrize(
    ("exit_code", "state", "err"),
    [(0, S.COMPLETE, ""), (1, S.FAILED, "task: non-zero exit (1)"), (137, S.FAILED, "task: non-zero exit (137)")],
)
def test_an_exit_code_decides_how_a_task_ended(exit_code: int, state: S, err: str) -> None:
    assert (ending(exit_code).state, ending(exit_code).err) == (state, err)


def test_a_task_is_rejected_before_it_starts_and_fails_after() -> None:
    assert failed_before(S.PREPARING) is S.REJECTED
    assert failed_before(S.READY) is S.REJECTED
    assert failed_before(S.STARTING) is S.FAILED
    assert failed_before(S.RUNNING) is S.FAILED


@pytest.mark.parametrize(
    ("container", "signal", "grace_s"),
    [
        ({}, "SIGTERM", 10.0),
        ({"StopSignal": "SIGINT", "StopGracePeriod": 500_000_000}, "SIGINT", 0.5),
        ({"StopGracePeriod": 0}, "SIGTERM", 0.0),
    ],
)
def test_how_a_task_is_stopped(container: JsonObject, signal: str, grace_s: float) -> None:
    assignment = Assignment("t", "s", "web", {}, 1, "n", "node1", S.RUNNING, {"ContainerSpec": container})
    assert (stop_signal(assignment), stop_grace_s(assignment)) == (signal, grace_s)
