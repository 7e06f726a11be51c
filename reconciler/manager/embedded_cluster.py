"""The embedded swarm behind the Cluster port: the same calls, answers and errors that a Docker Swarm gives."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any, TypeVar

from reconciler.manager import shapes
from reconciler.manager.dispatcher import REGISTRY_AUTH_NAMESPACE
from reconciler.manager.embedded_swarm import EmbeddedSwarm
from reconciler.model import commands
from reconciler.model.actual import ActualState
from reconciler.model.commands import Applied, Command
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.output import LogLine
from reconciler.model.tables import ClusterRecord, JoinTokens, Tables
from reconciler.model.tasks import ObservedTask
from reconciler.model.tickets import JoinTicket

Found = TypeVar("Found")

_TABLES: Mapping[Kind, Callable[[Tables], dict[str, Any]]] = {
    Kind.NODE: lambda tables: tables.nodes,
    Kind.NETWORK: lambda tables: tables.networks,
    Kind.SECRET: lambda tables: tables.secrets,
    Kind.CONFIG: lambda tables: tables.configs,
    Kind.SERVICE: lambda tables: tables.services,
}
_SHAPES: Mapping[Kind, Callable[[Any], ObservedObject]] = {
    Kind.NODE: shapes.node_object,
    Kind.NETWORK: shapes.network_object,
    Kind.SECRET: shapes.secret_object,
    Kind.CONFIG: shapes.config_object,
    Kind.SERVICE: shapes.service_object,
}
_CREATE: Mapping[Kind, type[Any]] = {
    Kind.NETWORK: commands.CreateNetwork,
    Kind.SECRET: commands.CreateSecret,
    Kind.CONFIG: commands.CreateConfig,
    Kind.SERVICE: commands.CreateService,
}
_UPDATE: Mapping[Kind, type[Any]] = {
    Kind.NODE: commands.UpdateNode,
    Kind.SECRET: commands.UpdateSecret,
    Kind.CONFIG: commands.UpdateConfig,
    Kind.SERVICE: commands.UpdateService,
}
_REMOVE: Mapping[Kind, type[Any]] = {
    Kind.NETWORK: commands.RemoveNetwork,
    Kind.SECRET: commands.RemoveSecret,
    Kind.CONFIG: commands.RemoveConfig,
    Kind.SERVICE: commands.RemoveService,
}


class EmbeddedCluster:
    """Implements controller.ports.Cluster. A refusal's `why` is the text a Docker Swarm manager answers with."""

    def __init__(self, swarm: EmbeddedSwarm, endpoint: str) -> None:
        self._swarm = swarm
        self._endpoint = endpoint

    @property
    def endpoint(self) -> str:
        """The name this swarm was started under."""
        return self._endpoint

    @property
    def tables(self) -> Tables:
        """The state itself, to be read only."""
        return self._swarm.tables

    @property
    def join_tokens(self) -> JoinTokens:
        """The join tokens, which no ObservedObject shows."""
        return self._cluster().join_tokens

    def _cluster(self) -> ClusterRecord:
        cluster = self._swarm.tables.cluster
        if cluster is None:
            raise SwarmctlError(
                ErrorCode.NOT_IN_A_SWARM,
                "The embedded swarm has no state yet.",
                why="This node is not a swarm manager.",
                hint="Start it with `swarmctl up`.",
            )
        return cluster

    async def observe(self, _since: ActualState | None = None, /) -> ActualState:
        """Return every object of the swarm, all of one moment."""
        tables = self._swarm.tables
        networks = tables.networks.values()
        return ActualState(
            endpoint=self._endpoint,
            observed_at=self._swarm.clock.now(),
            swarm=shapes.swarm_object(self._cluster()),
            nodes=tuple(self._shown(Kind.NODE, node) for node in tables.nodes.values()),
            networks=tuple(shapes.network_object(network) for network in networks if not network.is_predefined),
            secrets=tuple(shapes.secret_object(secret) for secret in tables.secrets.values()),
            configs=tuple(shapes.config_object(config) for config in tables.configs.values()),
            services=tuple(shapes.service_object(service) for service in tables.services.values()),
            tasks=tuple(shapes.observed_task(tables, task) for task in tables.tasks.values()),
            predefined_networks=tuple((one.name, one.id) for one in networks if one.is_predefined),
        )

    async def observe_tasks(self, _since: ActualState, /) -> ActualState:
        """Return every object of the swarm: none takes a call."""
        return await self.observe()

    async def listed(self, kind: Kind) -> tuple[ObservedObject, ...]:
        """Return every object of one kind, predefined networks left out."""
        self._cluster()
        records = _TABLES[kind](self._swarm.tables).values()
        shown = [one for one in records if kind is not Kind.NETWORK or not one.is_predefined]
        return tuple(self._shown(kind, one) for one in shown)

    def _shown(self, kind: Kind, record: Any) -> ObservedObject:
        if kind is Kind.NODE:
            return shapes.node_object(record, shapes.manager_address(self._swarm.tables, record.id))
        return _SHAPES[kind](record)

    async def found(self, kind: Kind, wanted: str) -> ObservedObject:
        """Return one object as `get` does."""
        self._cluster()
        return await self.get(kind, wanted)

    async def tasks(self, *, service_id: str | None = None) -> tuple[ObservedTask, ...]:
        """Return all tasks, or those of one service, ended ones included."""
        self._cluster()
        tables = self._swarm.tables
        records = tables.tasks.values() if service_id is None else tables.tasks_of_service(service_id)
        return tuple(shapes.observed_task(tables, task) for task in records)

    def pending_nodes(self) -> frozenset[str]:
        """Return the ids of the nodes that an engine's filter takes for pending members."""
        return frozenset(node.id for node in self._swarm.tables.nodes.values() if node.was_updated)

    def recent_events(self) -> tuple[ClusterEvent, ...]:
        """Return the last changes, oldest first; at most subscribers.RECENT_MAX."""
        return self._swarm.subscribers.recent()

    async def get(self, kind: Kind, object_id: str) -> ObservedObject:
        """Return one object by its id, its exact name, or a prefix of its id that no other has."""
        if kind is Kind.SWARM:
            return shapes.swarm_object(self._cluster())
        return self._shown(kind, self._find(kind, object_id))

    def _find(self, kind: Kind, wanted: str) -> Any:
        records = _TABLES[kind](self._swarm.tables)
        if wanted in records:
            return records[wanted]
        named = [one for one in records.values() if (one.hostname if kind is Kind.NODE else one.name) == wanted]
        found = named or [one for one in records.values() if wanted and one.id.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            why = f"{kind} {wanted} is ambiguous ({len(found)} matches found)"
            raise SwarmctlError(ErrorCode.REQUEST_REFUSED, f"The {kind} {wanted} is ambiguous.", why=why)
        raise SwarmctlError(
            ErrorCode.OBJECT_NOT_FOUND,
            f"There is no {kind} {wanted}.",
            why=f"{kind} {wanted} not found",
            hint="It may have been removed meanwhile. Look at the swarm again.",
        )

    async def create(self, kind: Kind, spec: JsonObject, *, registry_auth: str | None = None) -> str:
        """Create an object and return its id. `registry_auth` is what nodes pull a service's image with."""
        command = _CREATE.get(kind)
        if command is None:
            raise _unsupported(f"A {kind} can't be created through the API.")
        new_id = self._swarm.ids.new_id()
        name = spec.get("Name", "")
        what = f"The {kind} {name} can't be created."
        created = command(at=self._now(), id=new_id, spec=copy.deepcopy(spec))
        await self._propose(what, created, *self._remember_auth(kind, new_id, registry_auth))
        return new_id

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
        wanted = copy.deepcopy(spec)
        if kind is Kind.SWARM:
            what = "The swarm's settings can't be updated."
            await self._propose(what, commands.UpdateCluster(at=self._now(), version=version, spec=wanted))
            for role in rotate:
                await self.rotate_join_token(role)
            return
        command = _UPDATE.get(kind)
        if command is None:
            raise _unsupported(f"A {kind} can't be updated.")
        record = self._find(kind, object_id)
        what = f"The {kind} {_name(record)} can't be updated."
        updated = command(at=self._now(), id=record.id, version=version, spec=wanted)
        await self._propose(what, updated, *self._remember_auth(kind, record.id, registry_auth))

    def _remember_auth(self, kind: Kind, service_id: str, registry_auth: str | None) -> tuple[Command, ...]:
        """Return what remembers it; without any the service keeps what it has, as with registryAuthFrom=spec."""
        if kind is not Kind.SERVICE or not registry_auth:
            return ()
        namespace, value = REGISTRY_AUTH_NAMESPACE, registry_auth.encode("ascii", "replace")
        return (commands.PutRecord(at=self._now(), namespace=namespace, key=service_id, value=value),)

    def _forget_auth(self, service_id: str) -> tuple[Command, ...]:
        if f"{REGISTRY_AUTH_NAMESPACE}/{service_id}" not in self._swarm.tables.records:
            return ()
        return (commands.DeleteRecord(at=self._now(), namespace=REGISTRY_AUTH_NAMESPACE, key=service_id),)

    async def roll_back(self, service_id: str, version: int) -> None:
        """Put a service's previous spec back (`docker service rollback`); a second time puts it forth again."""
        record = self._find(Kind.SERVICE, service_id)
        message = "manually requested rollback"
        command = commands.RollBackService(at=self._now(), id=record.id, version=version, message=message, by_hand=True)
        await self._propose(f"The service {record.name} can't be rolled back.", command)

    async def remove(self, kind: Kind, object_id: str, *, force: bool = False) -> None:
        """Remove an object. A node that is not down goes only by `force`."""
        if kind is Kind.SWARM:
            raise _unsupported("The swarm itself can't be removed through the API.")
        record = self._find(kind, object_id)
        what = f"The {kind} {_name(record)} can't be removed."
        if kind is Kind.NODE:
            await self._propose(what, commands.RemoveNode(at=self._now(), id=record.id, force=force))
        else:
            removed = _REMOVE[kind](at=self._now(), id=record.id)
            await self._propose(what, removed, *self._forget_auth(record.id))

    async def rotate_join_token(self, role: NodeRole) -> None:
        """Make the join token of one role invalid and a new one valid."""
        command = commands.RotateJoinToken(at=self._now(), role=role, token=self._swarm.ids.new_join_token())
        await self._propose(f"The join token of role {role} can't be rotated.", command)

    async def join_ticket(self, role: NodeRole) -> JoinTicket:
        """Return the join token of one role, and where managers listen, the leader first."""
        tokens = self.join_tokens
        managers = [node for node in self._swarm.tables.nodes.values() if node.role is NodeRole.MANAGER]
        managers.sort(key=lambda node: not node.is_leader)
        if not managers:
            raise SwarmctlError(
                ErrorCode.SWARM_UNAVAILABLE,
                "No manager of the swarm tells its address.",
                why="There is nothing to join at.",
                hint="Try again once the swarm has a leader.",
            )
        token = tokens.worker if role is NodeRole.WORKER else tokens.manager
        return JoinTicket(role, token, tuple(f"{node.address}:{shapes.MANAGER_PORT}" for node in managers))

    def events(self) -> AsyncIterator[ClusterEvent]:
        """Return the changes from this call on."""
        return self._swarm.subscribers.subscribe()

    async def resolve_image(self, image: str, *, registry_auth: str | None = None) -> None:
        """Return None: processes run without images."""

    async def remove_volume(self, name: str) -> None:
        """Refuse: processes have no volumes."""
        why = f"get {name}: no such volume"
        raise SwarmctlError(ErrorCode.OBJECT_NOT_FOUND, f"There is no volume {name}.", why=why)

    async def task_log(self, task_id: str, *, tail_lines: int) -> tuple[str, ...]:
        """Return the last lines that a task printed, oldest first."""
        return tuple(line.words for line in await self.task_output(task_id, tail_lines=tail_lines))

    async def task_output(self, task_id: str, *, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        """Return the last lines that a task printed after `since_ns`, oldest first, each with its stream and time."""
        if task_id not in self._swarm.tables.tasks:
            why = f"task {task_id} not found"
            raise SwarmctlError(ErrorCode.OBJECT_NOT_FOUND, f"There is no task {task_id}.", why=why)
        return await self._swarm.task_output(task_id, tail_lines, since_ns)

    async def close(self) -> None:
        """Nothing to let go of: the swarm belongs to whoever started it."""

    def _now(self) -> Any:
        return self._swarm.clock.now()

    async def _propose(self, what: str, *proposed: Command) -> None:
        outcome = await self._swarm.propose(*proposed)
        if not isinstance(outcome, Applied):
            raise SwarmctlError(outcome.code, what, why=outcome.message, hint=_HINTS.get(outcome.code, ""))


_HINTS = {
    ErrorCode.STALE_VERSION: "Someone changed it meanwhile. Read it again, and update what you read.",
    ErrorCode.NAME_CONFLICT: "Choose another name, or update the object that has it.",
    ErrorCode.OBJECT_IN_USE: "Remove what uses it first.",
}


def _name(record: Any) -> str:
    return str(getattr(record, "hostname", "") or record.name)


def _unsupported(what: str) -> SwarmctlError:
    return SwarmctlError(ErrorCode.NOT_UPDATABLE, what, why="The Engine API has no such call.")
