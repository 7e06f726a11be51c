"""How far a service is from what was asked of it. Pure: one observation in, a verdict out."""

from __future__ import annotations

from reconciler.model.actual import ActualState
from reconciler.model.json import dig
from reconciler.model.objects import ObservedObject
from reconciler.model.progress import Assessment, Verdict
from reconciler.model.tasks import ObservedTask, TaskState

UPDATE_RUNS = ("updating", "rollback_started")
UPDATE_STUCK = ("paused", "rollback_paused")


def assess(service: ObservedObject, actual: ActualState) -> Assessment:
    """Return where `service`, taken from `actual`, stands.

    Converged means: no update under way, and as many tasks of today's spec running as it wants; for a job, as many
    complete. Source: swarmkit's update states, and the rules by which `docker service ls` counts.
    """
    tasks = list(actual.tasks_of(service.id))
    mode = next(iter(service.spec.get("Mode") or {"Replicated": {}}))
    if mode.endswith("Job"):
        return _assess_job(service, tasks, mode)
    live = [task for task in tasks if task.desired_state == TaskState.RUNNING]
    good = [task for task in live if task.up_to_date and task.state == TaskState.RUNNING]
    wanted = len(live) if mode == "Global" else int(dig(service.spec, "Mode", "Replicated", "Replicas") or 0)
    update_state = service.dig("UpdateStatus", "State") or ""
    verdict = _verdict(update_state, done=len(good) == len(live) == wanted)
    message = ""
    if verdict is not Verdict.CONVERGED:
        message = _message(service, tasks, update_state)
    ids = frozenset(task.id for task in good)
    return Assessment(service.name, verdict, len(good), wanted, message, ids)


def _verdict(update_state: str, *, done: bool) -> Verdict:
    if update_state in UPDATE_STUCK:
        return Verdict.PAUSED
    if update_state == "rollback_completed":
        return Verdict.ROLLED_BACK
    if done and update_state not in UPDATE_RUNS:
        return Verdict.CONVERGED
    return Verdict.PROGRESSING


def _assess_job(service: ObservedObject, tasks: list[ObservedTask], mode: str) -> Assessment:
    iteration = service.dig("JobStatus", "JobIteration", "Index") or 0
    current = [task for task in tasks if (dig(task.raw, "JobIteration", "Index") or 0) == iteration]
    complete = [task for task in current if task.state == TaskState.COMPLETE]
    if mode == "ReplicatedJob":
        job = dig(service.spec, "Mode", "ReplicatedJob") or {}
        wanted = int(job.get("TotalCompletions") or job.get("MaxConcurrent") or 1)
    else:
        wanted = sum(1 for task in current if task.desired_state == TaskState.COMPLETE)
    done = len(complete) >= wanted
    message = "" if done else _message(service, current, "")
    verdict = Verdict.CONVERGED if done else Verdict.PROGRESSING
    return Assessment(service.name, verdict, len(complete), wanted, message, frozenset(task.id for task in complete))


def _message(service: ObservedObject, tasks: list[ObservedTask], update_state: str) -> str:
    """Return the most telling sentence: the update's own when it stopped, else the newest task error, else nothing."""
    if update_state in UPDATE_STUCK or update_state.startswith("rollback"):
        said = str(service.dig("UpdateStatus", "Message") or update_state)
    else:
        said = ""
    failed = [task for task in tasks if task.error and task.up_to_date]
    if not failed:
        return said
    newest = max(failed, key=lambda task: task.timestamp)
    where = f"task {newest.slot or newest.node_id or newest.id[:12]} {newest.state.api_name}: {newest.error}"
    return f"{said}; {where}" if said else where


def monitor_s(service: ObservedObject) -> float:
    """Return for how many seconds a service must stay as wanted before it counts as stable.

    UpdateConfig.Monitor, by default 5 s: what Swarm itself and `docker service create` watch it for.
    """
    nanoseconds = dig(service.spec, "UpdateConfig", "Monitor")
    return float(nanoseconds) / 1e9 if nanoseconds else 5.0
