"""What the API needs from outside: the node that answers, and the swarm that it shows."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.model.events import ClusterEvent
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.output import LogLine
from reconciler.model.replication import Backup
from reconciler.model.tables import JoinTokens
from reconciler.model.tasks import ObservedTask


class Cluster(Protocol):
    """The controller's Cluster port, as much of it as HTTP can ask for. Every method raises SwarmctlError.

    `raw` of what is observed is the Engine API's own JSON, ready to be sent.
    """

    @property
    def join_tokens(self) -> JoinTokens:
        """What lets a node in; only `GET /swarm` shows it."""
        ...

    async def listed(self, kind: Kind) -> Sequence[ObservedObject]:
        """Return every object of one kind, predefined networks left out."""
        ...

    async def found(self, kind: Kind, wanted: str) -> ObservedObject:
        """Return one object by its id, its name, or a prefix of its id that no other has; `wanted` of a swarm is ""."""
        ...

    async def tasks(self, *, service_id: str | None = None) -> Sequence[ObservedTask]:
        """Return all tasks, or those of one service."""
        ...

    async def create(self, kind: Kind, spec: JsonObject, *, registry_auth: str | None = None) -> str:
        """Create a network, secret, config or service and return its id."""
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
        """Put `spec` in place of what has `version`; `rotate` makes join tokens anew."""
        ...

    async def roll_back(self, service_id: str, version: int) -> None:
        """Put a service's previous spec back."""
        ...

    async def remove(self, kind: Kind, object_id: str, *, force: bool = False) -> None:
        """Remove a node, network, secret, config or service."""
        ...

    def pending_nodes(self) -> Collection[str]:
        """Return the ids of the nodes whose membership is pending, by the filter of that name."""
        ...

    def events(self) -> AsyncIterator[ClusterEvent]:
        """Yield changes from now on."""
        ...

    def recent_events(self) -> Sequence[ClusterEvent]:
        """Return the last changes, oldest first, as far as they are kept."""
        ...

    async def task_output(self, task_id: str, *, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        """Return the last lines that a task printed after `since_ns`, oldest first."""
        ...


class LocalState(enum.StrEnum):
    """What a node is in a swarm, in the words of `docker info`."""

    INACTIVE = "inactive"
    PENDING = "pending"
    ACTIVE = "active"
    ERROR = "error"
    LOCKED = "locked"


class Standing(Discreet, frozen=True):
    """Where a node stands. `cluster` is there on a manager that can answer, and None on workers and outside a swarm.

    `node_id` and `address` are "" outside a swarm. `remote_managers` are {node id: "address:port"} of all managers
    it knows, itself among them. `error` is why it is in no good state. `tls_info` is the swarm's root certificate, as
    every node's Description has it under TLSInfo; `root_rotates` while one has not. `limits` are what `GET /info` says
    of how a host without an engine can limit its tasks, with the warnings.
    """

    UNSHOWN = frozenset({"cluster", "past_events"})

    state: LocalState
    cluster: Cluster | None = None
    node_id: str = ""
    address: str = ""
    error: str = ""
    remote_managers: Mapping[str, str] = msgspec.field(default_factory=dict)
    tls_info: JsonObject = msgspec.field(default_factory=dict)
    limits: JsonObject = msgspec.field(default_factory=dict)
    root_rotates: bool = False
    node_networks: Sequence[ObservedObject] = ()
    """What a worker knows of the swarm's networks: the ingress network, and those of the tasks that it has."""
    has_restarted: bool = False
    """Whether the manager was started again: it then names the default pool of addresses as one that was given."""
    past_events: Sequence[ClusterEvent] = ()
    """The last changes in the swarms that this daemon was in before, oldest first."""


class LocalNode(Protocol):
    """The node whose daemon answers. It begins outside any swarm, as dockerd does.

    The methods that change its standing raise SwarmctlError; `why` is Docker's own text, which the client is shown.
    """

    def standing(self) -> Standing:
        """Return where the node stands now."""
        ...

    def description(self) -> JsonObject:
        """Return what the node tells of itself: a node's Description in the Engine API's shape."""
        ...

    @property
    def engine_host(self) -> str | None:
        """Where the node's own Docker Engine answers what is no swarm matter: unix:///PATH; None if it has none."""
        ...

    async def init(self, request: JsonObject) -> str:
        """Begin a swarm as `POST /swarm/init` asks, and return this node's id."""
        ...

    async def join(self, request: JsonObject) -> None:
        """Join a swarm as `POST /swarm/join` asks."""
        ...

    async def leave(self, *, force: bool) -> None:
        """Leave the swarm; the last manager's leaving ends it."""
        ...

    async def unlock(self, key: str) -> None:
        """Unlock a manager that was started locked."""
        ...

    async def unlock_key(self) -> str:
        """Return the key that unlocks the managers, "" while they lock nothing."""
        ...

    def backup(self) -> AbstractAsyncContextManager[Backup]:
        """Offer a copy of all that a daemon needs to go on with the swarm in another folder."""
        ...

    async def update_swarm(
        self, version: int, spec: JsonObject, *, rotate: Collection[NodeRole] = (), rotate_unlock_key: bool = False
    ) -> None:
        """Put settings in the place of those of `version`, and make tokens and unlock key anew, all at once."""
        ...
