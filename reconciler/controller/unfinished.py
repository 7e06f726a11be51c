"""What a service still waited for when the time was up, in words. Pure."""

from __future__ import annotations

from reconciler.controller.assess import Crew, Slot, place_of
from reconciler.model.actual import ActualState
from reconciler.model.json import dig
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.model.words import many

_NO_CHECK = ("", "NONE")
"""First words of a health check's test that leave nothing to be waited for."""


def unfinished(crew: Crew, actual: ActualState) -> str:
    """Return why a service whose tasks neither failed nor lack a node has not converged: a sentence without its stop.

    It names the task that has been in its state for the longest time, and counts the others.
    """
    told = "its tasks have not all completed yet" if crew.is_job else "its tasks are not all running yet"
    end = TaskState.COMPLETE if crew.is_job else TaskState.RUNNING
    late = [task for task in crew.tasks if task.up_to_date and task.desired_state <= TaskState.COMPLETE]
    late = sorted((task for task in late if task.state < end), key=lambda task: task.timestamp)
    if not late:
        return told
    first = f"task {place_of(late[0], actual)} {_doing(late[0], crew, actual)}"
    others = f" (and {many(len(late) - 1, 'more task')})" if len(late) > 1 else ""
    return f"{told}: {first}{others}"


def _doing(task: ObservedTask, crew: Crew, actual: ActualState) -> str:
    """Return what a task of today's spec is at, and what it waits for where the API tells that."""
    state = f"is still {task.state.api_name}"
    if task.state is TaskState.STARTING and _is_checked(crew):
        return f"{state}, its health check has not succeeded so far"
    if task.desired_state < TaskState.RUNNING and (old := _still_stops(crew).get(crew.slot_of(task))) is not None:
        return f"waits for the former task {place_of(old, actual)}, which was told to stop and has not"
    return state


def _is_checked(crew: Crew) -> bool:
    test = dig(crew.service.spec, "TaskTemplate", "ContainerSpec", "Healthcheck", "Test")
    return isinstance(test, list) and bool(test) and test[0] not in _NO_CHECK


def _still_stops(crew: Crew) -> dict[Slot, ObservedTask]:
    return {
        crew.slot_of(task): task
        for task in crew.tasks
        if task.desired_state >= TaskState.SHUTDOWN and TaskState.STARTING <= task.state <= TaskState.RUNNING
    }
