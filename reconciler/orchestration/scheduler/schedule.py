"""The scheduler: gives each pending task the best node that may have it, or says why there is none."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from reconciler.model.commands import AssignTask, ExplainTask
from reconciler.model.json import dig
from reconciler.model.tables import NodeRecord, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.scheduler.filters import Filter, explain, failing_filter
from reconciler.orchestration.scheduler.load import NodeLoad, node_loads
from reconciler.orchestration.turn import Turn, in_order

FAILURES_THAT_COUNT = 5
"""From so many recent failures of a service on a node, nodes with fewer are preferred. (swarmkit maxFailures)"""


def schedule(turn: Turn) -> None:
    """Place the pending tasks, those bound to a node first. A task that shall not run any more is left alone."""
    pending = in_order([task for task in turn.tables.tasks.values() if _is_pending(task)])
    if not pending:
        return
    loads = node_loads(turn.tables, turn.now)
    for task in pending:
        if task.node_id:
            _confirm(turn, loads, task)
    for task in pending:
        if not task.node_id:
            _place(turn, loads, task)


def _is_pending(task: TaskRecord) -> bool:
    return task.state is TaskState.PENDING and task.is_live


def _confirm(turn: Turn, loads: dict[str, NodeLoad], task: TaskRecord) -> None:
    load = loads.get(task.node_id)
    if load is None:
        return
    failing = failing_filter(task, load)
    if failing is not None:
        _say_why(turn, task, failing.explain(1))
        return
    _assign(turn, load, task, "scheduler confirmed task can run on preassigned node")


def _place(turn: Turn, loads: dict[str, NodeLoad], task: TaskRecord) -> None:
    failures: Counter[Filter] = Counter()
    fitting: list[NodeLoad] = []
    for load in loads.values():
        failing = failing_filter(task, load)
        if failing is None:
            fitting.append(load)
        else:
            failures[failing] += 1
    if not fitting:
        reasons = explain(failures)
        _say_why(turn, task, f"no suitable node ({reasons})" if reasons else "no suitable node")
        return
    _assign(turn, best_node(task, fitting, loads), task, "scheduler assigned task to node")


def best_node(task: TaskRecord, fitting: list[NodeLoad], loads: dict[str, NodeLoad]) -> NodeLoad:
    """Return where `task` goes: nodes without repeated failures, then evenly over the spread preferences, then the
    fewest tasks of its service, then the fewest tasks; of equals the one that joined first."""
    branches = _branch_counts(task, loads)
    crowded = any(_recent_failures(task, load) >= FAILURES_THAT_COUNT for load in fitting)

    def rank(load: NodeLoad) -> tuple[int, tuple[int, ...], int, int]:
        return (
            _recent_failures(task, load) if crowded else 0,
            tuple(branches[branch] for branch in _branches(task, load.node)),
            load.active_by_service[task.service_id],
            load.active,
        )

    return min(fitting, key=rank)


def _recent_failures(task: TaskRecord, load: NodeLoad) -> int:
    return load.failures[task.service_id, task.spec_version]


def _branches(task: TaskRecord, node: NodeRecord) -> list[tuple[str, ...]]:
    """Return the node's branch at each level of the task's spread preferences, as paths of label values."""
    paths: list[tuple[str, ...]] = []
    path: tuple[str, ...] = ()
    for preference in dig(task.spec, "Placement", "Preferences") or ():
        descriptor = str(dig(preference, "Spread", "SpreadDescriptor") or "")
        lowered = descriptor.lower()
        if lowered.startswith("node.labels."):
            value = node.labels.get(descriptor[len("node.labels.") :], "")
        elif lowered.startswith("engine.labels."):
            labels = dig(node.description, "Engine", "Labels") or {}
            value = labels.get(descriptor[len("engine.labels.") :], "")
        else:
            continue
        path = (*path, str(value))
        paths.append(path)
    return paths


def _branch_counts(task: TaskRecord, loads: dict[str, NodeLoad]) -> Counter[tuple[str, ...]]:
    counts: Counter[tuple[str, ...]] = Counter()
    for load in loads.values():
        for branch in _branches(task, load.node):
            counts[branch] += load.active_by_service[task.service_id]
    return counts


def _assign(turn: Turn, load: NodeLoad, task: TaskRecord, message: str) -> None:
    load.add(replace(task, node_id=load.node.id))
    turn.emit(AssignTask(at=turn.now, task_id=task.id, node_id=load.node.id, message=message))


def _say_why(turn: Turn, task: TaskRecord, err: str) -> None:
    if task.status.err != err:
        turn.emit(ExplainTask(at=turn.now, task_id=task.id, err=err))
