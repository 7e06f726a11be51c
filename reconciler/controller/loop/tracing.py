"""From a task or a service back to the stack, the line, the commit and the author that asked for it."""

from __future__ import annotations

import posixpath
from typing import Final

from reconciler.controller.loop.leader import Leader
from reconciler.gitops.overview import Trace
from reconciler.gitops.results import HistoryEntry
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask

ID_CHARS_MIN: Final = 6
"""Characters of a task's id that may stand for it."""


async def trace_of(name: str, leader: Leader) -> Trace:
    """Return where a task (id, or its beginning) or a service (name or id) comes from. Raises object-not-found."""
    cluster = await leader.connect()
    try:
        actual = await cluster.observe()
    finally:
        await cluster.close()
    task = _task(name, actual) if all(one.name != name for one in actual.services) else None
    service = _service(task.service_id if task else name, actual)
    found = Trace(service=service.name, stack=service.stack or "")
    if task is not None:
        found = Trace(
            service=service.name,
            stack=service.stack or "",
            task=task.id,
            task_state=task.state.api_name,
            node=next((node.name for node in actual.nodes if node.id == task.node_id), task.node_id),
        )
    return await _asked_for(found, leader)


async def _asked_for(found: Trace, leader: Leader) -> Trace:
    for following in leader.followings:
        name = following.source.spec.name
        state = leader.memory.state(name)
        desired = await following.desired_here(state.source)
        objects = desired.objects if desired is not None else ()
        wanted = next((one for one in objects if (one.kind, one.name) == (Kind.SERVICE, found.service)), None)
        if wanted is None:
            continue
        applied = state.scope(wanted.stack or "").applied
        commit = applied.commit if applied else ""
        entry = _entry(commit, leader.memory.history(name))
        in_force = state.source.in_force
        known = in_force if in_force is not None and in_force.commit == commit else None
        return Trace(
            service=found.service,
            task=found.task,
            task_state=found.task_state,
            node=found.node,
            stack=found.stack or wanted.stack or "",
            source=name,
            file=posixpath.normpath(posixpath.join(following.source.spec.path, wanted.place.file)),
            line=wanted.place.line,
            commit=commit,
            author=entry.author if entry else known.author if known else "",
            subject=entry.subject if entry else known.subject if known else "",
            applied_at=applied.at if applied else None,
            drifted=f"{Kind.SERVICE}.{found.service}" in state.drifts,
        )
    return found


def _entry(commit: str, history: tuple[HistoryEntry, ...]) -> HistoryEntry | None:
    """Return the oldest apply of a commit: a later one may be a rollback to it, whose author is another."""
    return next((one for one in history if commit and one.commit == commit), None)


def _task(name: str, actual: ActualState) -> ObservedTask | None:
    fitting = [task for task in actual.tasks if task.id == name]
    if not fitting and len(name) >= ID_CHARS_MIN:
        fitting = [task for task in actual.tasks if task.id.startswith(name)]
    if len(fitting) > 1:
        raise SwarmctlError(
            ErrorCode.OBJECT_NOT_FOUND,
            f"{len(fitting)} tasks have ids that begin with {name[:60]}.",
            hint="Give more characters of the one that you mean.",
        )
    return fitting[0] if fitting else None


def _service(name: str, actual: ActualState) -> ObservedObject:
    for service in actual.services:
        if name in (service.id, service.name):
            return service
    raise SwarmctlError(
        ErrorCode.OBJECT_NOT_FOUND,
        f"No task or service is called {name[:60]}.",
        why="The cluster has none of that id or name now.",
        hint="`docker service ls` and `docker service ps` list them.",
    )
