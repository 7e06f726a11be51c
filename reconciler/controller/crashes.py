"""Services that crash again and again, though each look by itself finds them running, or on their way. Pure.

An apply sees failures while it waits. What crashes more slowly than that, or begins to crash later, is known by the
ended tasks that Swarm keeps of each slot.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace

from reconciler.controller.assess import Crew, Slot, apart, assess, describe, newest_failure
from reconciler.model.actual import ActualState
from reconciler.model.objects import ObservedObject
from reconciler.model.progress import Assessment, Verdict
from reconciler.model.tasks import ObservedTask

CRASHES_MAX: Final = 3
"""Failures of one slot within CRASH_WINDOW_S, with the spec of today, from which on a service counts as failing. Swarm
keeps four ended tasks of a slot by default."""
CRASH_WINDOW_S: Final = 180.0
_PASSING: Final = (Verdict.CONVERGED, Verdict.PROGRESSING)


def assessed(actual: ActualState) -> tuple[Assessment, ...]:
    """Return where each service stands, with what crashes in a loop told as failing."""
    # What only ends with exit code 0, and is begun again, may be meant to: a job done every few minutes.
    suspects = {task.service_id for task in actual.tasks if task.up_to_date and task.error}
    return tuple(_one(service, own, suspect=service.id in suspects) for service, own in apart(actual))


def _one(service: ObservedObject, actual: ActualState, *, suspect: bool) -> Assessment:
    look = assess(service, actual)
    if not suspect or look.verdict not in _PASSING or look.is_job:
        return look
    crew = Crew.of(service, actual)
    failed = [task for task in crew.tasks if crew.has_failed(task) and _is_recent(task, actual.observed_at)]
    slots: Counter[Slot] = Counter(crew.slot_of(task) for task in failed)
    last = newest_failure(crew, failed)
    if last is None or max(slots.values()) < CRASHES_MAX:
        return look
    return replace(look, verdict=Verdict.FAILING, message=describe(last, actual))


def _is_recent(task: ObservedTask, now: datetime) -> bool:
    try:
        ended = datetime.fromisoformat(task.timestamp)
    except ValueError:
        return False
    ended = ended if ended.tzinfo else ended.replace(tzinfo=UTC)
    return (now - ended).total_seconds() < CRASH_WINDOW_S
