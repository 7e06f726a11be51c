"""What the API needs from outside: the swarm that it shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from reconciler.model.actual import ActualState
from reconciler.model.events import ClusterEvent
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole


class Cluster(Protocol):
    """The controller's Cluster port, as much of it as HTTP can ask for. Every method raises SwarmctlError.

    `raw` of what is observed is the Engine API's own JSON, ready to be sent.
    """

    async def observe(self) -> ActualState:
        """Return every object of the swarm."""
        ...

    async def create(self, kind: Kind, spec: JsonObject, *, registry_auth: str | None = None) -> str:
        """Create a network, secret, config or service and return its id."""
        ...

    async def update(
        self, kind: Kind, object_id: str, version: int, spec: JsonObject, *, registry_auth: str | None = None
    ) -> None:
        """Put `spec` in place of what has `version`."""
        ...

    async def remove(self, kind: Kind, object_id: str, *, force: bool = False) -> None:
        """Remove a node, network, secret, config or service."""
        ...

    async def rotate_join_token(self, role: NodeRole) -> None:
        """Make the join token of one role invalid and a new one valid."""
        ...

    def events(self) -> AsyncIterator[ClusterEvent]:
        """Yield changes from now on."""
        ...

    async def task_log(self, task_id: str, *, tail_lines: int) -> tuple[str, ...]:
        """Return the last lines that a task printed, oldest first."""
        ...
