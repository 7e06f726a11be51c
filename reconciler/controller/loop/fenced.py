"""A cluster that only the leader writes to: whether this controller leads is asked before each single write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection

from reconciler.controller.loop.pulse import Calls
from reconciler.controller.ports import Cluster
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.images import ResolvedImage
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.tickets import JoinTicket


class FencedCluster:
    """A Cluster in front of another. Reads go through; a write of who leads no more raises `fenced`, and is not sent.

    `may_write` looks at the clock, so that a process that was paused for long knows it at its next write. What is left
    is a pause between the answer and the send: there the versions that each update carries, and names that are
    taken, refuse the second of two writers. `calls` is told of each call, and of its answer.
    """

    def __init__(self, cluster: Cluster, may_write: Callable[[], bool], calls: Calls | None = None) -> None:
        self._cluster = cluster
        self._may_write = may_write
        self._calls = calls or Calls()

    def _check(self, what: str) -> None:
        if not self._may_write():
            raise SwarmctlError(
                ErrorCode.FENCED,
                f"{what} was not sent.",
                why="This controller leads no more, and another one may have begun to write.",
                hint="Nothing needs to be done: the controller that leads now goes on from there.",
            )

    @property
    def endpoint(self) -> str:
        """What people call this cluster."""
        return self._cluster.endpoint

    async def observe(self, since: ActualState | None = None, /) -> ActualState:
        """Return every object of the swarm."""
        with self._calls.out():
            return await self._cluster.observe(since)

    async def observe_tasks(self, since: ActualState, /) -> ActualState:
        """Return `since` with its tasks read again."""
        with self._calls.out():
            return await self._cluster.observe_tasks(since)

    async def get(self, kind: Kind, object_id: str) -> ObservedObject:
        """Return one object as it is now."""
        with self._calls.out():
            return await self._cluster.get(kind, object_id)

    async def create(self, kind: Kind, spec: JsonObject, *, registry_auth: str | None = None) -> str:
        """Create an object, while leading."""
        self._check(f"The creation of a {kind.value}")
        with self._calls.out():
            return await self._cluster.create(kind, spec, registry_auth=registry_auth)

    async def update(
        self,
        kind: Kind,
        object_id: str,
        version: int,
        spec: JsonObject,
        *,
        registry_auth: str | None = None,
        rotate: Collection[NodeRole] = (),
    ) -> None:
        """Put `spec` in place of what has `version`, while leading."""
        self._check(f"The update of {kind.value} {object_id}".rstrip())
        with self._calls.out():
            await self._cluster.update(kind, object_id, version, spec, registry_auth=registry_auth, rotate=rotate)

    async def remove(self, kind: Kind, object_id: str, *, force: bool = False) -> None:
        """Remove an object, while leading."""
        self._check(f"The removal of {kind.value} {object_id}")
        with self._calls.out():
            await self._cluster.remove(kind, object_id, force=force)

    async def rotate_join_token(self, role: NodeRole) -> None:
        """Make a new join token, while leading."""
        self._check(f"The rotation of the {role.value} join token")
        with self._calls.out():
            await self._cluster.rotate_join_token(role)

    async def join_ticket(self, role: NodeRole) -> JoinTicket:
        """Return the join token of one role, and where to join."""
        with self._calls.out():
            return await self._cluster.join_ticket(role)

    def events(self) -> AsyncIterator[ClusterEvent]:
        """Yield changes from now on."""
        return self._cluster.events()

    async def resolve_image(self, image: str, *, registry_auth: str | None = None) -> ResolvedImage | None:
        """Return what the image's registry has it as now."""
        with self._calls.out():
            return await self._cluster.resolve_image(image, registry_auth=registry_auth)

    async def remove_volume(self, name: str) -> None:
        """Remove a volume, while leading."""
        self._check(f"The removal of volume {name}")
        with self._calls.out():
            await self._cluster.remove_volume(name)

    async def task_log(self, task_id: str, *, tail_lines: int) -> tuple[str, ...]:
        """Return the last lines that a task printed."""
        with self._calls.out():
            return await self._cluster.task_log(task_id, tail_lines=tail_lines)

    async def close(self) -> None:
        """Let go of connections."""
        await self._cluster.close()
