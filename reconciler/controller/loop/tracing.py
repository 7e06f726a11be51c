"""From a task or a service back to the stack, the line, the commit and the author that asked for it."""

from __future__ import annotations

import posixpath
from typing import Final

import msgspec

from reconciler.controller.loop.following import Following
from reconciler.controller.loop.leader import Leader
from reconciler.gitops.overview import Trace
from reconciler.gitops.results import HistoryEntry
from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask

ID_CHARS_MIN: Final = 6
"""Characters of a task's id that may stand for it."""


async def trace_of(name: str, leader: Leader) -> Trace:
    """Return where a task (id, or its beginning) or a service (name or id) comes from.

    Of several sources that ask for a service it is the one that the service is labelled with; SOURCE/NAME says which is
    meant where that label tells of none. Raises object-not-found, stack-ambiguous.
    """
    source, slash, rest = name.partition("/")
    if slash and source in {one.source.spec.name for one in leader.followings}:
        name = rest
    else:
        source = ""
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
    asking = [one for one in await _asking(found.service, leader) if source in ("", one.name)]
    if source and not asking:
        raise SwarmctlError(
            ErrorCode.OBJECT_NOT_FOUND,
            f"Source {source} does not ask for service {service.name}.",
            hint=f"`swarmctl trace {service.name}` finds the one that does.",
        )
    return _asked_for(found, _the_one(asking, service), leader) if asking else found


class _Asking(msgspec.Struct, frozen=True):
    """A source that asks for a service."""

    following: Following
    cluster: str
    wanted: DesiredObject

    @property
    def name(self) -> str:
        return self.following.source.spec.name


async def _asking(service: str, leader: Leader) -> list[_Asking]:
    found = []
    for following in leader.followings:
        desired = await following.desired_here(leader.memory.state(following.source.spec.name).source)
        for one in desired.objects if desired is not None else ():
            if desired is not None and (one.kind, one.name) == (Kind.SERVICE, service):
                found.append(_Asking(following, desired.cluster, one))
    return found


def _the_one(asking: list[_Asking], service: ObservedObject) -> _Asking:
    """Return the source of several that has made a service. Raises stack-ambiguous."""
    owners = [one for one in asking if one.cluster == service.labels.get(labels.OWNER)]
    if len(owners) == 1 or len(asking) == 1:
        return (owners or asking)[0]
    full = ", ".join(f"{one.name}/{service.name}" for one in asking)
    raise SwarmctlError(
        ErrorCode.STACK_AMBIGUOUS,
        f"{len(asking)} sources ask for service {service.name}: {full}.",
        why="The service has the label of none of them.",
        hint=f"Name the source as well, as in {asking[0].name}/{service.name}.",
    )


def _asked_for(found: Trace, asking: _Asking, leader: Leader) -> Trace:
    following, wanted, name = asking.following, asking.wanted, asking.name
    state = leader.memory.state(name)
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
