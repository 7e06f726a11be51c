"""Services that crash again and again, though each look by itself finds them running, or on their way. Pure.

An apply sees failures while it waits. What crashes more slowly than that, or begins to crash later, is known by the
ended tasks that Swarm keeps of each slot.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace

from reconciler.controller.assess import Crew, Slot, apart, assess_crew, describe, newest_failure
from reconciler.model.actual import ActualState
from reconciler.model.objects import ObservedObject
from reconciler.model.progress import Assessment, Verdict
from reconciler.model.tasks import ObservedTask

CRASHES_MAX: Final = 3
"""Failures of one slot within CRASH_WINDOW_S, with the spec of today, from which on a service counts as failing. Swarm
keeps four ended tasks of a slot by default."""
CRASH_WINDOW_S: Final = 180.0
_PASSING: Final = (Verdict.CONVERGED, Verdict.PROGRESSING)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def assessed(actual: ActualState) -> tuple[Assessment, ...]:
    """Return where each service stands, in the order of `actual`, with what crashes in a loop told as failing."""
    return tuple(assessed_one(service, own) for service, own in apart(actual))


def assessed_one(service: ObservedObject, own: ActualState) -> Assessment:
    """Return where a service stands, taken from `own`; one that crashes in a loop fails, though a task of it runs."""
    crew = Crew.of(service, own)
    look = assess_crew(crew, own)
    if look.verdict not in _PASSING:
        return look
    last = newest_failure(crew, [task for tasks in _crashed(crew, own.observed_at) for task in tasks])
    return look if last is None else replace(look, verdict=Verdict.FAILING, message=describe(last, own))


def to_outlive_s(crew: Crew, now: datetime) -> float:
    """Return for how many seconds the tasks of a service that crashes in a loop lived last, from when they were made.

    What runs again must do so for longer, or it only has not crashed yet. 0.0 where nothing crashes in a loop.
    """
    return max((_lived_s(max(tasks, key=_ended)) for tasks in _crashed(crew, now)), default=0.0)


def _crashed(crew: Crew, now: datetime) -> list[list[ObservedTask]]:
    """Return the failed tasks of each slot that crashes in a loop."""
    # What only ends with exit code 0, and is begun again, may be meant to: a job done every few minutes.
    if crew.is_job or not any(task.up_to_date and task.error for task in crew.tasks):
        return []
    slots: dict[Slot, list[ObservedTask]] = {}
    for task in crew.tasks:
        if crew.has_failed(task) and (now - _ended(task)).total_seconds() < CRASH_WINDOW_S:
            slots.setdefault(crew.slot_of(task), []).append(task)
    return [tasks for tasks in slots.values() if len(tasks) >= CRASHES_MAX]


def _ended(task: ObservedTask) -> datetime:
    """Return when a task ended; long ago where the API does not tell."""
    return _moment(task.timestamp) or _LONG_AGO


def _lived_s(task: ObservedTask) -> float:
    made = _moment(str(task.raw.get("CreatedAt")))
    return 0.0 if made is None else (_ended(task) - made).total_seconds()


def _moment(text: str) -> datetime | None:
    """Return an instant of the API, aware UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
