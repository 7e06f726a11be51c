"""What the controller needs from outside: a cluster, a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Protocol

from reconciler.model.actual import ActualState
from reconciler.model.events import ClusterEvent
from reconciler.model.images import ResolvedImage
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.tickets import JoinTicket


class Cluster(Protocol):
    """The swarm part of the Docker Engine API. Both backends pass the contract tests of tests/contract.

    Specs are the Engine API's own. Every method raises SwarmctlError: engine-unreachable, engine-api-too-old,
    not-in-a-swarm, not-a-manager, swarm-unavailable for the endpoint; object-not-found, name-conflict,
    object-in-use, stale-version, not-updatable, request-refused for the request. No call is retried inside.
    """

    @property
    def endpoint(self) -> str:
        """What people call this cluster: a socket, an address or a context."""
        ...

    async def observe(self, since: ActualState | None = None, /) -> ActualState:
        """Return every object of the swarm; reads go out in parallel.

        With `since`, an observation of before, only what moves by itself need be read again: nodes, services, tasks.
        The rest may then be as it was in `since`.
        """
        ...

    async def observe_tasks(self, since: ActualState, /) -> ActualState:
        """Return `since` with its tasks read again, where need be the rest of what moves by itself, too.

        Services and nodes may be as they were in `since`, and tasks up to date by what these were.
        """
        ...

    async def get(self, kind: Kind, object_id: str) -> ObservedObject:
        """Return one object as it is now. `object_id` is ignored for the swarm itself."""
        ...

    async def create(self, kind: Kind, spec: JsonObject, *, registry_auth: str | None = None) -> str:
        """Create a network, secret, config or service and return its id.

        `registry_auth` is the base64 X-Registry-Auth header for a service's image.
        """
        ...

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
        """Put `spec` in place of what has `version`; stale-version when the object has moved since.

        Serves the swarm, nodes, services and labels of secrets and configs; a network is not-updatable. With an
        update of the swarm, `rotate` makes the join tokens of these roles anew in the same step.
        """
        ...

    async def remove(self, kind: Kind, object_id: str, *, force: bool = False) -> None:
        """Remove a node, network, secret, config or service. `force` is for nodes that are not down."""
        ...

    async def rotate_join_token(self, role: NodeRole) -> None:
        """Make the join token of one role invalid and a new one valid. Returns neither."""
        ...

    async def join_ticket(self, role: NodeRole) -> JoinTicket:
        """Return the join token of one role, and the managers to join at. Nothing else shows a token.

        swarm-unavailable where no manager tells its address.
        """
        ...

    def events(self) -> AsyncIterator[ClusterEvent]:
        """Yield changes from now on, until closed by the reader or lost by the endpoint (engine-unreachable)."""
        ...

    async def resolve_image(self, image: str, *, registry_auth: str | None = None) -> ResolvedImage | None:
        """Return what the image's registry has it as now; None from a backend that runs no images.

        Raises image-unresolved when the registry is down, limits its rate, or does not know the image.
        """
        ...

    async def remove_volume(self, name: str) -> None:
        """Remove a volume of the node that answers here; object-not-found, object-in-use."""
        ...

    async def task_log(self, task_id: str, *, tail_lines: int) -> tuple[str, ...]:
        """Return the last lines that a task printed (stdout and stderr), oldest first; empty when there are none."""
        ...

    async def close(self) -> None:
        """Let go of connections. Further calls are an error of the caller."""
        ...
