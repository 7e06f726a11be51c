"""Waits for nodes: until one that is to step down or to go is empty, and until one acts as its new role says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from reconciler.controller.ports import Cluster
from reconciler.controller.roles import await_role, changes_role
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.modes import is_job
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.plan import Action, ActionType, Plan
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning.topology.listing import is_down

POLL_S = 0.25
"""Seconds between looks. Swarm sends no event for a task."""

BACK_WAIT_S = 30.0
"""Seconds for which a node that goes down in the wait for its removal may come back: a restarting engine takes less."""

NAMED_MAX = 5
"""Tasks named in one message."""

Look = Callable[[], Awaitable[ActualState]]
"""Returns the cluster as it is after the call; bears with an endpoint that is away for a moment, then raises."""


def needs_empty_node(action: Action) -> bool:
    """Return whether the action demotes or removes a node, which no task may run on any more."""
    return _demotes(action) or (action.kind is Kind.NODE and action.type is ActionType.DELETE)


def _demotes(action: Action) -> bool:
    return changes_role(action) and (action.spec or {}).get("Role") == NodeRole.WORKER


def farewell(plan: Plan, before: ActualState) -> Action | None:
    """Return the plan's last action if it demotes the node that answers us, which then answers no more; else None."""
    last = plan.actions[-1] if plan.actions else None
    own = last is not None and _demotes(last) and last.object_id == before.local_node_id
    return last if own else None


def later_steps(actions: Iterable[Action]) -> dict[str, tuple[Action, ...]]:
    """Return {id of a step on a node: the steps on the same node that come after it, in their order}."""
    later: dict[str, tuple[Action, ...]] = {}
    of_node: dict[str | None, list[str]] = {}
    for action in actions:
        if action.kind is Kind.NODE:
            before = of_node.setdefault(action.object_id, [])
            for name in before:
                later[name] = (*later.get(name, ()), action)
            before.append(action.id)
    return later


async def await_empty(look: Look, action: Action, timeout_s: float) -> Problem | None:
    """Return None once `action` may go out, or why not: tasks still run on a node that it demotes or removes.

    The plan drained that node before. Only what really runs counts, whatever it is wanted to be: tasks of jobs run to
    their end on a drained node. A node that is down is not waited for: nobody would tell us of its tasks. One that is
    to be removed has to have left the managers as well, if somebody demoted it a moment ago; and when it goes down
    only now, before its tasks were seen to end, it stays: they may run on there, beside those that replace them, and
    once it is removed nobody can end them.
    """
    if not needs_empty_node(action):
        return None
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    back_by_s: float | None = None
    while True:
        try:
            actual = await look()
        except SwarmctlError as error:
            return error.problems[0]
        left = () if _is_demoted(actual, action) else tasks_left(actual, action.object_id or "")
        unseen = _unseen(actual, action)
        if not left and not unseen and not _is_leaving(actual, action):
            return None
        now_s = loop.time()
        if not unseen:
            back_by_s = None
        elif back_by_s is None:
            back_by_s = min(deadline_s, now_s + BACK_WAIT_S)
        if back_by_s is not None and now_s >= back_by_s:
            return _went_down(action, actual, unseen)
        if now_s >= deadline_s:
            return _not_ready(action, actual, left, timeout_s)
        await asyncio.sleep(POLL_S)


async def await_node(cluster: Cluster, action: Action, timeout_s: float, own_node_id: str) -> Problem | None:
    """Return None once the node is what `action`, which has been written, asked for; or why that did not come about."""
    return await await_role(cluster, action, timeout_s, own_node_id) if changes_role(action) else None


def tasks_left(actual: ActualState, node_id: str) -> tuple[ObservedTask, ...]:
    """Return the tasks that run on a node, or are about to; none where the node is down or gone."""
    node = _node(actual, node_id)
    return () if node is None or is_down(node) else _last_seen_there(actual, node_id)


def _unseen(actual: ActualState, action: Action) -> tuple[ObservedTask, ...]:
    """Return the tasks of a node to be removed that nobody has seen end, as it went down after the plan was made.

    A plan that has it down already says so, and whoever let it be carried out knows.
    """
    node = _node(actual, action.object_id or "")
    if action.type is not ActionType.DELETE or not action.force or node is None or not is_down(node):
        return ()
    return _last_seen_there(actual, node.id)


def _node(actual: ActualState, node_id: str) -> ObservedObject | None:
    return next((node for node in actual.nodes if node.id == node_id), None)


def _last_seen_there(actual: ActualState, node_id: str) -> tuple[ObservedTask, ...]:
    return tuple(task for task in actual.tasks if task.node_id == node_id and task.state <= TaskState.RUNNING)


def _is_demoted(actual: ActualState, action: Action) -> bool:
    """Return whether what the action demotes is a worker already: another apply of the same manifests was first."""
    return _demotes(action) and any(
        node.id == action.object_id and node.spec.get("Role") == NodeRole.WORKER for node in actual.nodes
    )


def _is_leaving(actual: ActualState, action: Action) -> bool:
    """Return whether a node that is to be removed still is a member of the managers' Raft group."""
    if action.type is not ActionType.DELETE:
        return False
    return any(node.id == action.object_id and node.dig("ManagerStatus") is not None for node in actual.nodes)


def _not_ready(action: Action, actual: ActualState, left: tuple[ObservedTask, ...], timeout_s: float) -> Problem:
    verb = "removed" if action.type is ActionType.DELETE else "demoted"
    if not left:
        what, why = "it still is one of the managers", f"After {timeout_s:.0f} s it has not left them"
        hint = "Look at `docker node ls`, and apply again."
    else:
        what, why = "tasks still run on it", f"After {timeout_s:.0f} s these are left: {_named(actual, left)}"
        hint = "A job's task runs to its end. Wait, or end what is left, and apply again; the node stays drained."
    return Problem(
        ErrorCode.TIMED_OUT,
        f"Node {action.name} was not {verb}: {what}.",
        why=f"{why}.",
        hint=hint,
        place=action.place,
    )


def _went_down(action: Action, actual: ActualState, unseen: tuple[ObservedTask, ...]) -> Problem:
    return Problem(
        ErrorCode.NODE_DOWN,
        f"Node {action.name} was not removed: it went down before its tasks were seen to end.",
        why=f"If only its network fails, these may run on there: {_named(actual, unseen)}.",
        hint="Start its engine again, and apply again. If it is gone for good, apply again as well: "
        "that removes it as it is.",
        place=action.place,
    )


def _named(actual: ActualState, tasks: tuple[ObservedTask, ...]) -> str:
    services = {service.id: service for service in actual.services}
    names = []
    for task in tasks[:NAMED_MAX]:
        service = services.get(task.service_id)
        kind = " of a job" if service and is_job(service.spec) else ""
        names.append(f"task {task.id}{kind} ({service.name if service else 'no service'}, {task.state.api_name})")
    more = f" and {len(tasks) - NAMED_MAX} more" if len(tasks) > NAMED_MAX else ""
    return ", ".join(names) + more
