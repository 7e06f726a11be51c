"""What a wait has seen of one service so far, look by look. Pure."""

from __future__ import annotations

import operator
from collections.abc import Collection
from datetime import datetime

import msgspec

from reconciler.controller.assess import UPDATE_RUNS, Crew, Slot, monitor_s, unplaced
from reconciler.model.actual import ActualState
from reconciler.model.objects import ObservedObject
from reconciler.model.progress import Assessment
from reconciler.model.tasks import ObservedTask, TaskState


class Since(msgspec.Struct):
    """Since when something has been as it is; by the event loop's clock, in seconds."""

    what: object = None
    at_s: float = 0.0

    def held_s(self, what: object, now_s: float, already_s: float = 0.0) -> float:
        """Return for how long it has been `what`; a change begins anew, `already_s` before it was seen."""
        if what != self.what:
            self.what, self.at_s = what, now_s - already_s
        return now_s - self.at_s


class Story(msgspec.Struct):
    """What was seen of one service so far."""

    crew: Crew | None = None
    """As of the last look."""
    assessed: Assessment | None = None
    """What the last look alone told of it."""
    told: Assessment | None = None
    """What was told of it, with all that is known from looks before."""
    service: ObservedObject | None = None
    """As of the first look, which comes after our own write."""
    stable: Since = msgspec.field(default_factory=Since)
    updated: Since = msgspec.field(default_factory=Since)
    unplaced: Since = msgspec.field(default_factory=Since)
    given_up: Since = msgspec.field(default_factory=Since)
    taskless: Since = msgspec.field(default_factory=Since)
    misplaced: Since = msgspec.field(default_factory=Since)
    surplus: Since = msgspec.field(default_factory=Since)
    forgotten: ObservedObject | None = None
    """The service, once swarm is seen to have forgotten to end some of its tasks."""
    failed: dict[Slot, set[str]] = msgspec.field(default_factory=dict)
    last_failure: ObservedTask | None = None
    has_failed: bool = False
    outlive_s: float = 0.0
    """For how long at least it must stay up, because it has crashed in a loop; 0.0 where it has not."""
    converged: bool = False
    tasks: tuple[ObservedTask, ...] = ()
    """As of the last look, those of earlier iterations of a job included."""
    seen_at: datetime | None = None
    """Since when everything that a look finds must have come about; by the engine's clock."""
    due_s: float | None = None
    """When time alone makes another verdict of it, by the event loop's clock; None where it takes more."""
    is_up: bool = False
    """Whether all is as wanted, and nothing but the time is waited for in which it may still fail."""

    def has_moved(self, service: ObservedObject, tasks: tuple[ObservedTask, ...]) -> bool:
        """Return whether a look found anything of the service that the last one did not; a job's time counts, too."""
        if self.assessed is None or self.crew is None or self.crew.is_job:
            return True
        return service is not self.crew.service or not are(tasks, self.tasks)


def are(some: Collection[object], others: Collection[object]) -> bool:
    """Return whether these are the very same objects in the same order: to compare what they hold takes longer."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def note_swarms_watch(look: Assessment, crew: Crew, story: Story, now_s: float, came_s: float) -> None:
    """Note when an update whose tasks all run will be over, if the swarm's own watch over them sees nothing."""
    if crew.service.dig("UpdateStatus", "State") != "updating" or look.running < look.wanted or look.older:
        story.updated.what = None
        return
    story.updated.held_s(look.task_ids, now_s, came_s)
    story.due_s, story.is_up = story.updated.at_s + monitor_s(crew.service), True


def came_up_s(look: Assessment, own: ActualState, seen_at: datetime | None) -> float:
    """Return for how many seconds a service has had the running tasks that a look finds, as far as that is sure.

    When the last of them came up says its node, whose clock may be wrong: it counts where it lies between the look
    before, `seen_at`, and this one. So a service may be looked at rarely, and still be told as soon as it is stable.
    """
    if seen_at is None:
        return 0.0
    moments = [task.reached_at for task in own.tasks if task.id in look.task_ids]
    known = [moment for moment in moments if moment is not None]
    if not known or len(known) < len(moments) or not seen_at < max(known) <= own.observed_at:
        return 0.0
    return (own.observed_at - max(known)).total_seconds()


def is_told_by_tasks(story: Story) -> bool:
    """Return whether all that may become of a service that is on its way shows in its tasks: no update is under way,
    none of them has failed, and none finds no node.
    """
    if story.crew is None or story.failed or (story.due_s is not None and not story.is_up):
        return False
    return story.crew.service.dig("UpdateStatus", "State") not in UPDATE_RUNS and not unplaced(story.crew)


def is_live(task: ObservedTask) -> bool:
    """Return whether a task has not ended, and is not told to; a job's is wanted to be complete."""
    return task.state <= TaskState.RUNNING and task.desired_state <= TaskState.COMPLETE
