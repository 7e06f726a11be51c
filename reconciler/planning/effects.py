"""What a change of a service does to its running tasks.

Source: swarmkit's "dirty" test. A task is renewed when the task template or the endpoint differs; service labels,
the update and rollback settings and the replica count are no part of it. Where only the placement differs, tasks on
nodes that still fit stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.json import JsonObject, dig
from reconciler.model.plan import Change, TaskEffect

RESTARTING = ("TaskTemplate.", "EndpointSpec.")
PLACEMENT = "TaskTemplate.Placement."
REPLICAS = "Mode.Replicated.Replicas"


@dataclass(frozen=True, slots=True)
class Effect:
    """What happens to tasks, as a kind and as a sentence for people."""

    kind: TaskEffect
    text: str


def of_create(spec: JsonObject, node_count: int) -> Effect:
    """Return the effect of creating a service on a cluster of `node_count` nodes."""
    count = task_count(spec)
    if count is None:
        return Effect(TaskEffect.START, f"1 task starts on each fitting node, of {node_count}")
    return Effect(TaskEffect.START, f"{_tasks(count)} {_verb(count, 'start')}")


def of_delete(running: int) -> Effect:
    """Return the effect of removing a service that has `running` tasks."""
    return Effect(TaskEffect.STOP, f"{_tasks(running)} {_verb(running, 'stop')}")


def of_update(spec: JsonObject, changes: tuple[Change, ...], running: int) -> Effect:
    """Return the effect of an update to `spec` (canonical) with `changes` on a service with `running` tasks."""
    restarting = [change.path for change in changes if f"{change.path}.".startswith(RESTARTING)]
    scaling = next((change for change in changes if change.path == REPLICAS), None)
    if next(iter(spec["Mode"])).endswith("Job"):
        return Effect(TaskEffect.RERUN, "the job runs again from its start")
    if restarting and all(path.startswith(PLACEMENT) for path in restarting):
        move = "tasks on nodes that no longer fit move"
        return Effect(TaskEffect.MOVE, f"{_scale(scaling)}; {move}" if scaling else move)
    if restarting:
        text = _rolling(spec, running)
        return Effect(TaskEffect.ROLLING, f"{_scale(scaling)}; {text}" if scaling else text)
    if scaling:
        return Effect(TaskEffect.SCALE, _scale(scaling))
    if not changes:
        return Effect(TaskEffect.ROLLING, "the tasks that the update did not reach yet are replaced")
    return Effect(TaskEffect.NONE, TaskEffect.NONE.value)


def task_count(spec: JsonObject) -> int | None:
    """Return how many tasks a service asks for at a time; None for one on each node."""
    mode = spec.get("Mode") or {}
    if "Global" in mode or "GlobalJob" in mode:
        return None
    if "ReplicatedJob" in mode:
        concurrent = dig(mode, "ReplicatedJob", "MaxConcurrent")
        return 1 if concurrent is None else int(concurrent)
    replicas = dig(mode, "Replicated", "Replicas")
    return 1 if replicas is None else int(replicas)


def _rolling(spec: JsonObject, running: int) -> str:
    config = spec.get("UpdateConfig") or {}
    # The API's 0 means all at once; an absent block means Swarm's default of one at a time.
    parallelism = config.get("Parallelism", 0) if config else 1
    pace = "all at once" if parallelism == 0 or parallelism >= running > 1 else f"{parallelism} at a time"
    order = config.get("Order", "stop-first")
    return f"rolling restart of {_tasks(running)}, {pace}, {order}"


def _scale(change: Change | None) -> str:
    assert change is not None
    assert isinstance(change.old, int)
    assert isinstance(change.new, int)
    before, after = change.old, change.new
    moved = abs(after - before)
    return f"scale {before} -> {after}, {_tasks(moved)} {_verb(moved, 'start' if after > before else 'stop')}"


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"


def _verb(count: int, verb: str) -> str:
    return f"{verb}s" if count == 1 else verb
