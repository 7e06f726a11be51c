"""How far a service is from what was asked of it. Pure: one observation in, a verdict out."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from datetime import datetime

import msgspec
from msgspec.structs import replace

from reconciler.model.actual import ActualState
from reconciler.model.constraints import constraints_hold
from reconciler.model.json import JsonValue, dig
from reconciler.model.modes import mode_of
from reconciler.model.objects import ObservedObject
from reconciler.model.progress import Assessment, Verdict
from reconciler.model.sensitive import masked_text, secrets_in
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning.preflight.rooms import node_as
from reconciler.planning.renewal import constraints_of
from reconciler.planning.topology.listing import is_down

UPDATE_RUNS = ("updating", "rollback_started")
UPDATE_STUCK = ("paused", "rollback_paused")

ENDED_BADLY = (TaskState.FAILED, TaskState.REJECTED)

EVICTED = "task rejected by constraint enforcer"
"""What swarm says of a task that it rejects since the node suits it no more: nothing has failed. (swarmkit.md 2)"""

ENDED_WELL = "it ended with exit code 0, though the service is to stay up"
"""What is said of a task that has failed by ending."""

JOB_BEGINS_WITHIN_S = 60.0
"""A job of which no task is seen has just begun for so long; after that its tasks were run, and cleared away."""

Slot = int | str
"""A number of a replicated service, or the node's id of a global one."""


class Crew(msgspec.Struct, frozen=True):
    """The tasks of a service that count now: for a job, those of its present iteration.

    `by_slot` holds each slot's whole history, which may be longer than what the service wants.
    """

    service: ObservedObject
    mode: str
    tasks: tuple[ObservedTask, ...]

    @classmethod
    def of(cls, service: ObservedObject, actual: ActualState) -> Crew:
        mode = mode_of(service.spec)
        tasks = tuple(actual.tasks_of(service.id))
        if mode.endswith("Job"):
            iteration = service.dig("JobStatus", "JobIteration", "Index") or 0
            tasks = tuple(task for task in tasks if (dig(task.raw, "JobIteration", "Index") or 0) == iteration)
        return cls(service, mode, tasks)

    @property
    def is_job(self) -> bool:
        return self.mode.endswith("Job")

    @property
    def restart_condition(self) -> str:
        """When an ended task is replaced: any, on-failure or none. For a job, `any` means on-failure."""
        condition = dig(self.service.spec, "TaskTemplate", "RestartPolicy", "Condition") or "any"
        return "on-failure" if self.is_job and condition == "any" else str(condition)

    def slot_of(self, task: ObservedTask) -> Slot:
        return task.node_id if self.mode.startswith("Global") else task.slot

    def by_slot(self) -> dict[Slot, list[ObservedTask]]:
        slots: dict[Slot, list[ObservedTask]] = {}
        for task in self.tasks:
            slots.setdefault(self.slot_of(task), []).append(task)
        return slots

    def has_failed(self, task: ObservedTask) -> bool:
        """Return whether a task of today's spec ended as it should not: a service's must not end at all."""
        if not task.up_to_date:
            return False
        ended = task.state is TaskState.COMPLETE and not self.is_job and self.restart_condition == "any"
        return ended or task.state in ENDED_BADLY

    def is_done_for_good(self, task: ObservedTask) -> bool:
        """Return whether a service's task has ended well and the restart policy leaves it at that."""
        return task.up_to_date and task.state is TaskState.COMPLETE and self.restart_condition != "any"


def apart(actual: ActualState, names: Container[str] | None = None) -> Iterator[tuple[ObservedObject, ActualState]]:
    """Yield each service, or those of these names, with `actual` without the tasks of others.

    So a look at all of a thousand services is a thousand short ones: each would read the tasks of all the others.
    """
    tasks: dict[str, list[ObservedTask]] = {}
    for task in actual.tasks:
        tasks.setdefault(task.service_id, []).append(task)
    for service in actual.services:
        if names is None or service.name in names:
            yield service, replace(actual, tasks=tuple(tasks.get(service.id, ())))


def assess(service: ObservedObject, actual: ActualState) -> Assessment:
    """Return where `service`, taken from `actual`, stands.

    Converged means: no update under way, and as many tasks of today's spec running as it wants; for a job, as many
    complete. Failing means here that the restart policy has given up; what else there is to failing takes more than
    one look (controller/watch.py). Source: swarmkit's update states, and the rules by which `docker service ls` counts.
    """
    return assess_crew(Crew.of(service, actual), actual)


def assess_crew(crew: Crew, actual: ActualState) -> Assessment:
    """Return where the service of a crew, taken from `actual`, stands."""
    look = _assess_job(crew, actual) if crew.is_job else _assess_service(crew, actual)
    if look.verdict is Verdict.PROGRESSING and given_up(crew, actual):
        look = replace(look, verdict=Verdict.FAILING)
    return look


def _assess_service(crew: Crew, actual: ActualState) -> Assessment:
    service, update_state = crew.service, crew.service.dig("UpdateStatus", "State") or ""
    tasks = _without_paused(crew.tasks, actual) if crew.mode == "Global" else crew.tasks
    live = [task for task in tasks if task.desired_state == TaskState.RUNNING]
    good = [task for task in live if task.up_to_date and task.state == TaskState.RUNNING]
    finished = [
        slot
        for slot, history in crew.by_slot().items()
        if not any(_is_wanted(task) for task in history) and crew.is_done_for_good(newest(history))
    ]
    if crew.mode == "Global":
        # One task on each node, and for a moment two: a start-first update ends the old one after the new one runs.
        # One that waits out a restart delay is not to run yet, and is wanted all the same.
        # So is one that the restart policy has given up, as long as the node is one that is meant to have it.
        wanted = len({task.node_id for task in tasks if _is_wanted(task)}) + len(finished)
        wanted += len(_nodes_given_up(crew, actual))
    else:
        replicas = dig(service.spec, "Mode", "Replicated", "Replicas")
        wanted = 1 if replicas is None else int(replicas)
    reached = len(good) + len(finished)
    verdict = _verdict(update_state, done=len(good) == len(live) and reached == wanted)
    older = sum(1 for task in live if not task.up_to_date and task.state == TaskState.RUNNING)
    message = "" if verdict is Verdict.CONVERGED else _message(crew, actual, update_state)
    return Assessment(
        service.name, verdict, min(reached, wanted), wanted, message, frozenset(task.id for task in good), older=older
    )


def _without_paused(tasks: tuple[ObservedTask, ...], actual: ActualState) -> tuple[ObservedTask, ...]:
    """Return a global service's tasks but for those of an older spec on paused nodes.

    Swarm leaves these as they are until the node is active again, and calls the update completed without them.
    (facts, swarmkit.md 2.3)
    """
    paused = {node.id for node in actual.nodes if node.spec.get("Availability") == "pause"}
    return tuple(task for task in tasks if task.up_to_date or task.node_id not in paused)


def _verdict(update_state: str, *, done: bool) -> Verdict:
    if update_state in UPDATE_STUCK:
        return Verdict.PAUSED
    if update_state == "rollback_completed":
        return Verdict.ROLLED_BACK
    if done and update_state not in UPDATE_RUNS:
        return Verdict.CONVERGED
    return Verdict.PROGRESSING


def _assess_job(crew: Crew, actual: ActualState) -> Assessment:
    service = crew.service
    complete = [task for task in crew.tasks if task.state == TaskState.COMPLETE]
    if crew.mode == "ReplicatedJob":
        job = dig(service.spec, "Mode", "ReplicatedJob") or {}
        total = job.get("TotalCompletions", job.get("MaxConcurrent"))
        wanted = 1 if total is None else int(total)
    else:
        # Nodes where its task was told to stop before it ended, drained ones for example, owe nothing any more; nor do
        # those that are down: Swarm tells their tasks to stop, and nobody tells it that they have.
        silent = _down_nodes(actual)
        newest_ones = [newest(tasks) for tasks in crew.by_slot().values()]
        wanted = sum(
            1
            for task in newest_ones
            if task.state not in (TaskState.SHUTDOWN, TaskState.ORPHANED)
            and not (task.node_id in silent and task.state <= TaskState.RUNNING and not _is_wanted(task))
        )
    if crew.tasks:
        done = len(complete) >= wanted
    else:
        begins = crew.mode == "GlobalJob" or wanted > 0
        done = not (begins and _has_just_begun(service, actual.observed_at))
    message = "" if done else _message(crew, actual, "")
    verdict = Verdict.CONVERGED if done else Verdict.PROGRESSING
    return Assessment(
        service.name,
        verdict,
        min(len(complete), wanted),
        wanted,
        message,
        frozenset(task.id for task in complete),
        is_job=True,
    )


def _has_just_begun(service: ObservedObject, now: datetime) -> bool:
    """Return whether a job's run began a moment ago, both by the engine's clock, or nothing is known of it."""
    begun = service.dig("JobStatus", "LastExecution")
    try:
        return begun is None or (now - datetime.fromisoformat(str(begun))).total_seconds() < JOB_BEGINS_WITHIN_S
    except ValueError:
        return True


def given_up(crew: Crew, actual: ActualState) -> bool:
    """Return whether the restart policy has given up some slot: its last task failed, and no other takes its place.

    The swarm replaces a task in the same step in which it gives up the ended one, so one look is enough.
    """
    if (crew.service.dig("UpdateStatus", "State") or "") in UPDATE_RUNS:
        return False
    if not crew.mode.startswith("Global"):
        return bool(_slots_given_up(crew))
    return bool(_nodes_given_up(crew, actual))


def _slots_given_up(crew: Crew) -> set[Slot]:
    """Return the slots whose last task failed, and in which nothing is to run any more."""
    return {
        slot
        for slot, tasks in crew.by_slot().items()
        if not any(_is_wanted(task) for task in tasks)
        and (last := newest(tasks)).desired_state is TaskState.SHUTDOWN
        and crew.has_failed(last)
    }


def _nodes_given_up(crew: Crew, actual: ActualState) -> set[Slot]:
    """Return the nodes on which a global service is given up, of those that it is meant for."""
    slots = _slots_given_up(crew)
    if not slots:
        return slots
    constraints = constraints_of(crew.service.spec)
    return {
        node.id
        for node in actual.nodes
        if node.id in slots
        and takes_tasks(node)
        and constraints_hold(constraints, node_as(node, node.spec, actual.observed_at))
    }


def takes_tasks(node: ObservedObject) -> bool:
    """Return whether the scheduler may place a task on a node."""
    return bool(node.spec.get("Availability", "active") == "active" and node.dig("Status", "State") == "ready")


def _is_wanted(task: ObservedTask) -> bool:
    """Return whether the swarm wants the task to run, or one that takes its place."""
    return task.desired_state <= TaskState.RUNNING or (
        task.desired_state is TaskState.COMPLETE and task.state < TaskState.COMPLETE
    )


def newest(tasks: Iterable[ObservedTask]) -> ObservedTask:
    """Return the task that was created last; `tasks` must not be empty."""
    return max(tasks, key=lambda task: _moment(task.raw.get("CreatedAt") or task.timestamp))


def newest_failure(crew: Crew, tasks: Iterable[ObservedTask]) -> ObservedTask | None:
    """Return the task whose failure was reported last, or None. One that only should not have ended has no error."""
    failed = [task for task in tasks if task.error or (crew.has_failed(task) and task.message != EVICTED)]
    return max(failed, key=lambda task: _moment(task.timestamp)) if failed else None


def _moment(text: str) -> tuple[str, str]:
    """Return an RFC 3339 instant in UTC as something to sort by; Go leaves out the noughts at its end."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return seconds, fraction.ljust(9, "0")


def unplaced(crew: Crew) -> tuple[ObservedTask, ...]:
    """Return the wanted tasks of today's spec for which the scheduler finds no node."""
    return tuple(task for task in crew.tasks if task.no_node_because)


def unallocated(crew: Crew) -> tuple[ObservedTask, ...]:
    """Return the wanted tasks of today's spec that have no addresses yet."""
    return tuple(task for task in crew.tasks if task.lacks_addresses)


def _message(crew: Crew, actual: ActualState, update_state: str) -> str:
    """Return the most telling sentence: the update's own when it stopped, a node that is waited for, a task's error."""
    said = ""
    if update_state in UPDATE_STUCK or update_state.startswith("rollback"):
        said = str(crew.service.dig("UpdateStatus", "Message") or update_state)
    where = _held_by_down_node(crew, actual, update_state)
    told = None if where else newest_failure(crew, (task for task in crew.tasks if task.up_to_date))
    if told is not None:
        where = describe(told, actual)
    return "; ".join(text for text in (said, where) if text)


def _held_by_down_node(crew: Crew, actual: ActualState, update_state: str) -> str:
    """Return one sentence on a task that Swarm waits for though its node is down, or "".

    The orchestrator of replicated jobs takes no notice of nodes. The updater waits for each new task until it runs or
    ends, even when another has taken its place because its node went down. Either goes on once the node is back, or is
    removed: its tasks are orphaned then.
    """
    late = TaskState.RUNNING if crew.is_job else TaskState.STARTING
    waited_for = [
        task
        for task in crew.tasks
        if (_is_wanted(task) if crew.is_job else update_state in UPDATE_RUNS)
        and task.up_to_date
        and TaskState.ASSIGNED <= task.state <= late
    ]
    silent = _down_nodes(actual) if waited_for else frozenset()
    held = next((task for task in waited_for if task.node_id in silent), None)
    if held is None:
        return ""
    waits = "that node is down, and Swarm waits until it is back or removed from the swarm"
    return f"task {place_of(held, actual)} {held.state.api_name}: {waits}"


def _down_nodes(actual: ActualState) -> frozenset[str]:
    """Return the ids of the nodes that the swarm has given up."""
    return frozenset(node.id for node in actual.nodes if is_down(node))


def describe(task: ObservedTask, actual: ActualState) -> str:
    """Return one line on a task that failed: its slot, its node by name, its state and its error, without secrets."""
    # An engine that can't start a task quotes its command, and what a health check said may quote anything.
    known = secrets_in(task.raw.get("Spec"), _spec_of(task, actual))
    said = masked_text(task.error or task.message, known) if task.state is not TaskState.COMPLETE else ENDED_WELL
    return f"task {place_of(task, actual)} {task.state.api_name}: {said}"


def place_of(task: ObservedTask, actual: ActualState) -> str:
    """Return a task's slot and its node by name, as far as it has them; else the beginning of its id."""
    hostname = next((node.name for node in actual.nodes if node.id == task.node_id), task.node_id)
    parts = [str(task.slot)] if task.slot else []  # tasks of global services have none, nor has a job's first
    parts += [f"on {hostname}"] if hostname else []
    return " ".join(parts) or task.id[:12]


def _spec_of(task: ObservedTask, actual: ActualState) -> JsonValue:
    return next((service.spec for service in actual.services if service.id == task.service_id), None)


def monitor_s(service: ObservedObject) -> float:
    """Return for how many seconds a service must stay as wanted before it counts as stable.

    UpdateConfig.Monitor, by default 5 s: what Swarm itself and `docker service create` watch it for.
    """
    nanoseconds = dig(service.spec, "UpdateConfig", "Monitor")
    return float(nanoseconds) / 1e9 if nanoseconds else 5.0
