"""What takes more than one look at a service: whether it stays as wanted, keeps failing, or finds no room for good."""

from __future__ import annotations

import math
from collections.abc import Collection

from msgspec.structs import replace

from reconciler.controller.assess import (
    ENDED_BADLY,
    EVICTED,
    UPDATE_RUNS,
    Crew,
    assess_crew,
    describe,
    given_up,
    monitor_s,
    newest_failure,
    takes_tasks,
    unallocated,
    unplaced,
)
from reconciler.controller.crashes import to_outlive_s
from reconciler.controller.forgotten import FORGOTTEN_GRACE_S, forgotten, surplus
from reconciler.controller.misplaced import MISPLACED_GRACE_S, TURNED_AWAY_MAX, misplaced, turned_away
from reconciler.controller.pace import POLL_MAX_S, Outlook
from reconciler.controller.story import Since, Story, are, came_up_s, is_live, is_told_by_tasks, note_swarms_watch
from reconciler.controller.unfinished import unfinished
from reconciler.model.actual import ActualState
from reconciler.model.json import dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.progress import Assessment, Verdict
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.model.words import many

FAILURES_MAX = 3
"""Failures of one slot, since the wait began, after which more of them tell nothing new."""

UNSCHEDULABLE_GRACE_S = 15.0
"""Seconds for which a task must have found no node, with the same reason, before it counts as unschedulable."""

UNALLOCATED_GRACE_S = 30.0
"""Seconds for which nothing awaited must have moved before tasks that stay `new` count as unschedulable: Swarm gives no
reason, and a busy engine leaves tasks `new` for a while."""

GIVEN_UP_GRACE_S = 1.0
"""Seconds for which a slot must look given up: the swarm may still be replacing its task."""

IN_DOUBT_WATCH_S = 5.0
"""Seconds for which a service must stay as wanted, however short its own monitor period, once its tasks have failed
while we looked, or where it wants none: to crash, or to make the tasks of a global service, takes a moment, on a busy
machine a long one. (Swarm's own default)"""

JOB_TASKS_WAIT_S = 5.0
"""Seconds after which a job of which no task was ever seen has none to run: no node fits, or they were cleared away."""


class Watch:
    """Follows some services from look to look.

    `before` is the cluster before anything was written: what had failed there already says nothing about today.
    `updated` are those of the services that were written to: of others, a rollback is an old story.
    """

    def __init__(self, services: Collection[str], before: ActualState | None, updated: Collection[str]) -> None:
        self._stories: dict[str, Story] = {}
        self._updated: set[str] = set()
        self._still = Since()
        self._stuck_due_s: float | None = None
        self._nodes: tuple[ObservedObject, ...] = ()
        self._stops: bool | None = None
        """Whether any task is being stopped, once that was asked of a look."""
        self._before_at = before.observed_at if before else None
        self._known = frozenset(task.id for task in before.tasks if _has_ended(task)) if before else frozenset()
        self.join(services, updated)

    def join(self, services: Collection[str], updated: Collection[str]) -> None:
        """Follow these services too, from the next look on; those that are followed already go on as they are."""
        for name in services:
            self._stories.setdefault(name, Story())
        self._updated.update(updated)
        for name in updated:
            story = self._stories.get(name)
            if story is not None:
                story.seen_at = self._before_at if story.crew is None else story.seen_at
                story.assessed = None

    def look(self, actual: ActualState, now_s: float) -> tuple[Assessment, ...]:
        """Return where each service stands, in the order given. `now_s` is a monotonic clock's."""
        self._stops = None
        looks = self._stuck_told(self._each(actual, now_s), actual, now_s)
        newly = [
            name
            for name, look in zip(self._stories, looks, strict=True)
            if look.verdict is Verdict.CONVERGED and not self._stories[name].converged
        ]
        for name in newly:
            self._stories[name].converged = True
        if newly:
            # Others may have failed only because they need this one: let them try again.
            for story in self._stories.values():
                self._known |= {task_id for ids in story.failed.values() for task_id in ids}
                story.failed.clear()
        return looks

    def is_told_by(self, seen: ActualState) -> bool:
        """Return whether a look that read tasks alone tells all: none has ended, is told to, is gone or finds no node.

        `seen` holds services and nodes of an earlier look. What is only on its way, or has come up, needs neither.
        """
        now = {task.id for task in seen.tasks}
        ids = {story.service.id for story in self._stories.values() if story.service is not None}
        last = [task for story in self._stories.values() for task in story.tasks]
        had_ended = {task.id for task in last if not is_live(task)}
        return all(task.id in now or task.id in had_ended for task in last) and all(
            not task.no_node_because and (is_live(task) or task.id in had_ended)
            for task in seen.tasks
            if task.service_id in ids
        )

    def outlook(self, looks: tuple[Assessment, ...], actual: ActualState, now_s: float) -> Outlook:
        """Return what the last look, just taken, tells of when to look next."""
        ways = [(look, self._stories[look.service]) for look in looks if look.verdict is Verdict.PROGRESSING]
        due_s = [story.due_s for _, story in ways if story.due_s is not None]
        stuck_s = [] if self._stuck_due_s is None else [self._stuck_due_s]
        settled = bool(ways) and all(story.is_up for _, story in ways)
        return Outlook(
            starting=sum(max(1, look.wanted - look.running) for look, story in ways if not story.is_up),
            nodes=sum(1 for node in actual.nodes if takes_tasks(node)),
            settled_s=max(due_s) if settled else None,
            due_s=(*due_s, *stuck_s),
            tasks_tell=all(look.verdict in (Verdict.PROGRESSING, Verdict.CONVERGED) for look in looks)
            and all(is_told_by_tasks(story) for _, story in ways)
            and all(at_s - now_s > 2 * POLL_MAX_S for at_s in stuck_s),
        )

    def at_the_end(self, looks: tuple[Assessment, ...], actual: ActualState) -> tuple[Assessment, ...]:
        """Return the last looks when the time is over: what still progresses has timed out, or says why it can't."""
        return tuple(self._given_no_more_time(look, actual) for look in looks)

    def _given_no_more_time(self, look: Assessment, actual: ActualState) -> Assessment:
        if look.verdict is not Verdict.PROGRESSING:
            return look
        service = actual.by_name(Kind.SERVICE).get(look.service)
        if service is not None:
            crew = Crew.of(service, actual)
            if waiting := unplaced(crew):
                return replace(look, verdict=Verdict.UNSCHEDULABLE, message=describe(waiting[0], actual))
            if told := turned_away(crew, actual, self._known, at_least=1):
                return replace(look, verdict=Verdict.UNSCHEDULABLE, message=told)
            if given_up(crew, actual):
                return replace(look, verdict=Verdict.FAILING)
            if stuck := unallocated(crew):
                return _without_addresses(look, stuck)
            return replace(look, verdict=Verdict.TIMED_OUT, message=look.message or unfinished(crew, actual))
        return replace(look, verdict=Verdict.TIMED_OUT)

    def forgotten(self) -> tuple[ObservedObject, ...]:
        """Return the services that are to be written once more as they are: swarm forgot to end tasks of theirs."""
        told = (story.forgotten for story in self._stories.values())
        return tuple(service for service in told if service is not None)

    def failure_of(self, service: str) -> ObservedTask | None:
        """Return the task of a service that failed last: among those that this watch saw fail, if there are any."""
        story = self._stories[service]
        if story.last_failure is not None or story.crew is None:
            return story.last_failure
        return newest_failure(story.crew, (task for task in story.crew.tasks if task.up_to_date and _has_ended(task)))

    def _each(self, actual: ActualState, now_s: float) -> tuple[Assessment, ...]:
        there = {service.name: service for service in actual.services}
        tasks: dict[str, list[ObservedTask]] = {}
        for task in actual.tasks:
            tasks.setdefault(task.service_id, []).append(task)
        nodes_moved, self._nodes = not are(actual.nodes, self._nodes), actual.nodes
        looks = []
        for name, story in self._stories.items():
            if (service := there.get(name)) is None:
                story.told = Assessment(name, Verdict.MISSING, 0, 0, "the service was removed by someone else")
            else:
                own = tuple(tasks.get(service.id, ()))
                moved = nodes_moved or story.has_moved(service, own)
                story.told = self._one(service, replace(actual, tasks=own) if moved else None, actual, now_s)
            looks.append(story.told)
        return tuple(looks)

    def _one(self, service: ObservedObject, own: ActualState | None, actual: ActualState, now_s: float) -> Assessment:
        """Return where a service stands.

        `own` is `actual` without the tasks of others, as a look is to stay linear; None where nothing of the service
        is other than at the last look. Then nothing but time can tell anything new.
        """
        story, came_s = self._stories[service.name], 0.0
        if own is not None:
            story.crew = Crew.of(service, own)
            story.assessed = assess_crew(story.crew, own)
            story.outlive_s = to_outlive_s(story.crew, actual.observed_at)
            came_s = came_up_s(story.assessed, own, story.seen_at)
            story.service, story.tasks = story.service or service, own.tasks
        story.seen_at = actual.observed_at
        if own is None and story.told is not None and story.told.verdict is Verdict.CONVERGED:
            return story.told
        return self._in_time(story, came_s, actual, now_s)

    def _in_time(self, story: Story, came_s: float, actual: ActualState, now_s: float) -> Assessment:
        """Return where a service stands, of which one look tells what its story has, given all looks before."""
        crew, look, first = story.crew, story.assessed, story.service
        assert crew is not None
        assert look is not None
        assert first is not None
        story.due_s, story.is_up, story.forgotten = None, False, None
        if _is_anothers(crew.service, first):
            return replace(look, verdict=Verdict.CHANGED, message="somebody else wrote to it while we waited")
        self._note_failures(story, crew)
        look = self._old_story_left_out(look)
        if look.verdict is Verdict.CONVERGED:
            if (away := misplaced(crew, actual)) and story.misplaced.held_s(away, now_s) < MISPLACED_GRACE_S:
                story.due_s = story.misplaced.at_s + MISPLACED_GRACE_S
                told = f"{many(len(away), 'task')} on nodes that don't suit it any more"
                return replace(look, verdict=Verdict.PROGRESSING, message=told)
            return _watched(look, crew, story, now_s, came_s)
        story.stable.what = None
        if told := turned_away(crew, actual, self._known, 1 if look.verdict is Verdict.FAILING else TURNED_AWAY_MAX):
            return replace(look, verdict=Verdict.UNSCHEDULABLE, message=told)
        if look.verdict is Verdict.FAILING:
            held_s = story.given_up.held_s(look.task_ids, now_s)
            if held_s >= GIVEN_UP_GRACE_S:
                return look
            story.due_s = story.given_up.at_s + GIVEN_UP_GRACE_S
            return replace(look, verdict=Verdict.PROGRESSING)
        story.given_up.what = None
        if look.verdict is not Verdict.PROGRESSING:
            return self._with_cause(look, story, actual)
        note_swarms_watch(look, crew, story, now_s, came_s)
        return self._escalated(look, crew, story, actual, now_s)

    def _stuck_told(self, looks: tuple[Assessment, ...], actual: ActualState, now_s: float) -> tuple[Assessment, ...]:
        """Return the looks, where those at services whose tasks stay `new` have ended once nothing has moved for long.

        What another service still does may free addresses, and shows that the swarm is busy.
        """
        crews = {
            look.service: crew
            for look in looks
            if look.verdict is Verdict.PROGRESSING and (crew := self._stories[look.service].crew) is not None
        }
        stuck = {name: tasks for name, crew in crews.items() if (tasks := unallocated(crew))}
        self._stuck_due_s = None
        if not stuck:
            self._still.what = None
            return looks
        states = frozenset((task.id, task.state) for crew in crews.values() for task in crew.tasks)
        stops = self._some_stop(actual)
        if self._still.held_s((states, stops), now_s) < UNALLOCATED_GRACE_S or stops:
            self._stuck_due_s = None if stops else self._still.at_s + UNALLOCATED_GRACE_S
            return looks
        return tuple(_without_addresses(look, stuck[look.service]) if look.service in stuck else look for look in looks)

    def _old_story_left_out(self, look: Assessment) -> Assessment:
        if look.service in self._updated or look.verdict is not Verdict.ROLLED_BACK:
            return look
        good = look.running == look.wanted and not look.older
        return replace(look, verdict=Verdict.CONVERGED if good else Verdict.PROGRESSING)

    def _note_failures(self, story: Story, crew: Crew) -> None:
        fresh = [task for task in crew.tasks if task.id not in self._known]
        for task in fresh:
            if crew.has_failed(task) and task.message != EVICTED:
                story.failed.setdefault(crew.slot_of(task), set()).add(task.id)
                story.has_failed = True
        # An update that was rolled back leaves failed tasks that are no longer of today's spec.
        last = newest_failure(crew, (task for task in fresh if task.state in ENDED_BADLY or crew.has_failed(task)))
        story.last_failure = last or story.last_failure

    def _with_cause(self, look: Assessment, story: Story, actual: ActualState) -> Assessment:
        """Return a look at an update that the swarm has ended, with the error of the task for which it did."""
        failure = story.last_failure
        if failure is None or (failure.error and failure.error in look.message):
            return look
        cause = describe(failure, actual)
        if cause in look.message:  # told already, and something in it masked
            return look
        return replace(look, message=f"{look.message}; {cause}" if look.message else cause)

    def _escalated(self, look: Assessment, crew: Crew, story: Story, actual: ActualState, now_s: float) -> Assessment:
        """Return a look at a service on its way, or that waiting any longer changes nothing."""
        if over := surplus(crew):
            story.forgotten = forgotten(crew, story.surplus, now_s)
            story.due_s = story.surplus.at_s + FORGOTTEN_GRACE_S
            told = f"{many(over, 'task')} too many, which Swarm has not told to end"
            return replace(look, message=look.message or told)
        story.surplus.what = None
        if crew.is_job and not crew.tasks:
            if story.taskless.held_s(True, now_s) >= JOB_TASKS_WAIT_S:
                return replace(look, verdict=Verdict.CONVERGED)
            story.due_s = story.taskless.at_s + JOB_TASKS_WAIT_S
            return look
        waiting = unplaced(crew)
        if waiting:
            # Whatever still stops may make room: a host port, a reservation.
            reasons = (frozenset((task.id, task.error) for task in waiting), self._some_stop(actual))
            held_s = story.unplaced.held_s(reasons, now_s)
            if not reasons[1] and held_s >= UNSCHEDULABLE_GRACE_S:
                return replace(look, verdict=Verdict.UNSCHEDULABLE, message=describe(waiting[0], actual))
            story.due_s = None if reasons[1] else story.unplaced.at_s + UNSCHEDULABLE_GRACE_S
        else:
            story.unplaced.what = None
        often = max((len(ids) for ids in story.failed.values()), default=0)
        if often >= self._failures_max(crew) and not _is_judged(crew):
            return replace(look, verdict=Verdict.FAILING)
        return look

    def _some_stop(self, actual: ActualState) -> bool:
        self._stops = _some_stop(actual) if self._stops is None else self._stops
        return self._stops

    def _failures_max(self, crew: Crew) -> int:
        """Return how often a slot may fail; where the restart policy counts attempts itself, it is the judge."""
        attempts = dig(crew.service.spec, "TaskTemplate", "RestartPolicy", "MaxAttempts") or 0
        return max(FAILURES_MAX, int(attempts) + 1)


def _is_anothers(service: ObservedObject, first: ObservedObject) -> bool:
    """Return whether somebody has written another spec to a service since `first`; Swarm itself puts back one."""
    if service.id == first.id and (service.version == first.version or service.spec == first.spec):
        return False
    return not str(service.dig("UpdateStatus", "State") or "").startswith("rollback")


def _without_addresses(look: Assessment, stuck: tuple[ObservedTask, ...]) -> Assessment:
    """Return the look at a service some of whose tasks never leave the state `new`. (swarmkit.md 8)"""
    stay, them = ("1 task stays", "it") if len(stuck) == 1 else (f"{len(stuck)} tasks stay", "them")
    why = f"{stay} new: Swarm finds no address for {them}, or can't allocate a network"
    return replace(look, verdict=Verdict.UNSCHEDULABLE, message=why)


def _watched(look: Assessment, crew: Crew, story: Story, now_s: float, came_s: float) -> Assessment:
    """Return a look at a service that is as wanted, once it was so for long enough.

    A task that crashes at once is running for a moment, too. The swarm itself has watched a completed update.
    """
    held_s = story.stable.held_s(look.task_ids, now_s, came_s)
    if crew.is_job or (look.wanted == 0 and crew.mode == "Replicated"):
        return look
    watched_by_swarm = crew.service.dig("UpdateStatus", "State") == "completed"
    needed_s = 0.0 if watched_by_swarm else monitor_s(crew.service)
    # A global service without a task may be one whose tasks are not made yet.
    in_doubt = story.has_failed or story.outlive_s or not look.wanted
    left_s = max(needed_s, IN_DOUBT_WATCH_S if in_doubt else 0.0, story.outlive_s) - held_s
    if left_s <= 0:
        return look
    story.due_s, story.is_up = now_s + left_s, True
    return replace(look, verdict=Verdict.PROGRESSING, message=f"watched for another {math.ceil(left_s)} s")


def _is_judged(crew: Crew) -> bool:
    """Return whether the swarm itself watches an update for failures, and will end it."""
    state = crew.service.dig("UpdateStatus", "State") or ""
    config = "RollbackConfig" if state.startswith("rollback") else "UpdateConfig"
    return state in UPDATE_RUNS and dig(crew.service.spec, config, "FailureAction") != "continue"


def _has_ended(task: ObservedTask) -> bool:
    return task.state > TaskState.RUNNING


def _some_stop(actual: ActualState) -> bool:
    """Return whether any task is being stopped on a node that answers."""
    answering = {node.id for node in actual.nodes if node.dig("Status", "State") == "ready"}
    return any(
        task.desired_state >= TaskState.SHUTDOWN
        and TaskState.ASSIGNED <= task.state <= TaskState.RUNNING
        and task.node_id in answering
        for task in actual.tasks
    )
