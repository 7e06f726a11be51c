"""Nodes as the embedded swarm keeps them, and as planning sees those of either backend."""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec

from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole


class NodeState(enum.StrEnum):
    """What the leader knows of a node's life, in the API's words."""

    UNKNOWN = "unknown"
    DOWN = "down"
    READY = "ready"
    DISCONNECTED = "disconnected"


class Availability(enum.StrEnum):
    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


class NodeRecord(msgspec.Struct, frozen=True):
    """`description` is the API's Description; `address` is without a port. `is_leader` implies role manager.

    `state_since` is when `state` last became another. `was_updated` tells whether a request has given it a spec: such
    a spec does not say that the node is accepted, and an engine's filter takes it for pending from then on.
    """

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    spec: JsonObject
    description: JsonObject
    state: NodeState
    message: str
    address: str
    is_leader: bool = False
    state_since: datetime | None = None
    was_updated: bool = False

    @property
    def hostname(self) -> str:
        return str(self.description.get("Hostname", ""))

    @property
    def role(self) -> NodeRole:
        return NodeRole(self.spec.get("Role", NodeRole.WORKER))

    @property
    def availability(self) -> Availability:
        return Availability(self.spec.get("Availability", Availability.ACTIVE))

    @property
    def takes_tasks(self) -> bool:
        """Whether it is given new tasks at all."""
        return self.state is NodeState.READY and self.availability is Availability.ACTIVE

    @property
    def labels(self) -> dict[str, str]:
        return self.spec.get("Labels") or {}
