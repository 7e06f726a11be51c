"""The Cluster port on a Docker Swarm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Container, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.adapters.docker import images, tickets
from reconciler.adapters.docker.answers import broken_off, no_engine, observed
from reconciler.adapters.docker.engine import Engine
from reconciler.adapters.docker.greeting import Greeting
from reconciler.adapters.docker.judged import Judged
from reconciler.adapters.docker.streams import EventStream, demultiplexed
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.images import ResolvedImage
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.sensitive import masked_text
from reconciler.model.tasks import ObservedTask
from reconciler.model.tickets import JoinTicket
from reconciler.settings import EndpointSettings

if TYPE_CHECKING:
    from reconciler.adapters.docker.lists import Lists

PREDEFINED_NETWORKS = ("host", "bridge")
NOT_IMPLEMENTED = 501
"""What the embedded swarm's API answers where an engine would ask a registry."""

UP_TO_DATE = {"filters": json.dumps({"_up-to-date": ["true"]})}
"""The tasks that run what their services ask for now."""

CREATABLE = frozenset({Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE})
REMOVABLE = CREATABLE | {Kind.NODE}


async def connect(endpoint: EndpointSettings, greeting: Greeting | None = None) -> DockerCluster:
    """Return the Docker Swarm behind `endpoint`, once an engine there has answered and its API is new enough.

    `greeting` is of the same endpoint, and begun before. Raises engine-unreachable, engine-api-too-old,
    context-not-found or bad-setting. Whether the engine is in a swarm at all is told by the first call.
    """
    return DockerCluster(await (greeting or Greeting(endpoint)).engine())


class DockerCluster:
    """Implements the Cluster port of the controller; see there for what each method promises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._streams: set[EventStream] = set()
        self._own_node_id: str | None = None
        self._judged = Judged()

    @property
    def endpoint(self) -> str:
        return self._engine.endpoint.label

    @cached_property
    def _lists(self) -> Lists:
        from reconciler.adapters.docker.lists import Lists  # noqa: PLC0415 - a first look does without its decoder

        return Lists()

    async def observe(self, since: ActualState | None = None, /) -> ActualState:
        """Return every object of the swarm. Services come without defaults: only what was asked for."""
        return await (self._everything() if since is None else self._again(since))

    async def _everything(self) -> ActualState:
        observed_at = self._engine.clock.now()
        read = self._engine.get
        swarm, nodes, networks, secrets, configs, services, tasks, current = await asyncio.gather(
            read("swarm"),
            read("nodes"),
            read("networks", query=_filters(scope="swarm")),
            read("secrets"),
            read("configs"),
            read("services"),
            read("tasks"),
            read("tasks", query=UP_TO_DATE),
        )
        up_to_date = {task["ID"] for task in _listed(current)}
        known = _listed_networks(networks)
        return ActualState(
            endpoint=self.endpoint,
            observed_at=observed_at,
            swarm=observed(Kind.SWARM, swarm),
            nodes=_all(Kind.NODE, nodes),
            networks=_all(Kind.NETWORK, _swarm_networks(known, _listed(services))),
            secrets=_all(Kind.SECRET, secrets),
            configs=_all(Kind.CONFIG, configs),
            services=_all(Kind.SERVICE, services),
            tasks=tuple(ObservedTask.from_api(task, up_to_date=task["ID"] in up_to_date) for task in _listed(tasks)),
            predefined_networks=await self._predefined(known, _listed(services), _listed(tasks)),
            local_node_id=await self._answering_node(_listed(nodes)),
        )

    async def _again(self, since: ActualState) -> ActualState:
        """Return `since` with what moves by itself read again, in three calls where no task is new and no spec other.

        Which tasks are up to date is asked after the specs: of what moves in between it then tells too much, and the
        next look asks again.
        """
        observed_at, read = self._engine.clock.now(), self._engine.get_bytes
        nodes, services, listed = await asyncio.gather(read("nodes"), read("services"), read("tasks"))
        seen = replace(
            since,
            observed_at=observed_at,
            nodes=self._lists.objects(Kind.NODE, nodes),
            services=self._lists.objects(Kind.SERVICE, services),
        )
        tasks = self._lists.tasks(listed)
        up_to_date = self._judged.up_to_date(seen, tasks)
        if up_to_date is None:
            current = _listed(await self._engine.get("tasks", query=UP_TO_DATE))
            up_to_date = frozenset(task["ID"] for task in current)
            self._judged = Judged.of(seen, tasks, up_to_date)
        local_node_id = await self._answering_node([node.raw for node in seen.nodes])
        return replace(seen, tasks=_judged(tasks, up_to_date), local_node_id=local_node_id)

    async def observe_tasks(self, since: ActualState, /) -> ActualState:
        """Return `since` with its tasks read again, in one call where the engine need not judge any."""
        observed_at = self._engine.clock.now()
        tasks = self._lists.tasks(await self._engine.get_bytes("tasks"))
        up_to_date = self._judged.up_to_date(since, tasks)
        if up_to_date is None:
            return await self._again(since)
        return replace(since, observed_at=observed_at, tasks=_judged(tasks, up_to_date))

    async def _answering_node(self, nodes: list[JsonObject]) -> str:
        """Return the id of the manager that answers: the only one, or what the engine says of itself, asked once.

        "" when it doesn't say, as behind a proxy that keeps such requests from it.
        """
        managers = [node["ID"] for node in nodes if node.get("ManagerStatus")]
        if len(managers) == 1:
            return str(managers[0])
        if self._own_node_id is None:
            try:
                self._own_node_id = str(dig(await self._engine.get("info"), "Swarm", "NodeID") or "")
            except SwarmctlError:
                return ""
        return self._own_node_id

    async def _predefined(
        self, networks: list[JsonObject], services: list[JsonObject], tasks: list[JsonObject]
    ) -> tuple[tuple[str, str], ...]:
        """Return (name, id) of the networks that every engine has by itself, which no list shows.

        A service that uses one names its id. A task of it tells the name as well; only where no task does, the engine
        is asked. Of what no service uses the name stands for the id: services may be created with either.
        """
        ids = {name: name for name in PREDEFINED_NETWORKS}
        unlisted = _targets(services) - {network["Id"] for network in networks}
        if unlisted:
            told = {
                network.get("ID"): dig(network, "Spec", "Name")
                for task in tasks
                for attachment in task.get("NetworksAttachments") or []
                if (network := attachment.get("Network"))
            }
            for network_id in sorted(unlisted):
                name = told.get(network_id) or await self._network_name(network_id)
                if name in ids:
                    ids[name] = network_id
        return tuple(ids.items())

    async def _network_name(self, network_id: str) -> str | None:
        try:
            network = await self._engine.get("networks", network_id, query={"scope": "swarm"})
        except SwarmctlError as error:
            if error.code is ErrorCode.OBJECT_NOT_FOUND:
                return None
            raise
        return str(network["Name"])

    async def get(self, kind: Kind, object_id: str) -> ObservedObject:
        if kind is Kind.SWARM:
            return observed(kind, await self._engine.get("swarm"))
        query = {"scope": "swarm"} if kind is Kind.NETWORK else None
        return observed(kind, await self._engine.get(f"{kind}s", _given(kind, object_id), query=query))

    async def create(self, kind: Kind, spec: JsonObject, *, registry_auth: str | None = None) -> str:
        if kind not in CREATABLE:
            raise _impossible(kind, "created")
        answer = await self._engine.post(f"{kind}s", "create", body=spec, headers=_auth(registry_auth))
        created = dig(answer, "Id" if kind is Kind.NETWORK else "ID")
        if not created or not isinstance(created, str):
            raise no_engine("new object's id")
        return created

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
        if kind is Kind.NETWORK:
            raise _impossible(kind, "updated")
        query = {"version": str(version)}
        if kind is Kind.SERVICE:
            spec = _with_placement(spec)
        if kind is Kind.SWARM:
            query |= {f"rotate{role.capitalize()}Token": "true" for role in rotate}
            await self._engine.post("swarm", "update", body=spec, query=query)
            return
        steps = (f"{kind}s", _given(kind, object_id), "update")
        answer = await self._engine.post(*steps, body=spec, query=query, headers=_auth(registry_auth))
        if kind is Kind.SERVICE and answer is None:
            raise broken_off()  # an engine tells of warnings, if only that there are none; a proxy may answer by itself

    async def remove(self, kind: Kind, object_id: str, *, force: bool = False) -> None:
        if kind not in REMOVABLE:
            raise _impossible(kind, "removed")
        query = {"force": "true"} if force and kind is Kind.NODE else None
        await self._engine.delete(f"{kind}s", _given(kind, object_id), query=query)

    async def rotate_join_token(self, role: NodeRole) -> None:
        swarm = await self._engine.get("swarm")
        flag = "rotateWorkerToken" if role is NodeRole.WORKER else "rotateManagerToken"
        query = {"version": str(swarm["Version"]["Index"]), flag: "true"}
        await self._engine.post("swarm", "update", body=swarm["Spec"], query=query)

    async def join_ticket(self, role: NodeRole) -> JoinTicket:
        swarm, nodes = await asyncio.gather(self._engine.get("swarm"), self._engine.get("nodes"))
        return tickets.ticket(role, str(dig(swarm, "JoinTokens", role.capitalize()) or ""), _listed(nodes))

    def events(self) -> AsyncIterator[ClusterEvent]:
        stream = EventStream(self._engine)
        self._streams.add(stream)
        return stream

    async def resolve_image(self, image: str, *, registry_auth: str | None = None) -> ResolvedImage | None:
        try:
            answer = await self._engine.get(
                "distribution", *image.split("/"), "json", headers=_auth(registry_auth), none_for=NOT_IMPLEMENTED
            )
        except SwarmctlError as error:
            raise images.unresolved(image, error) from error
        return images.resolved(image, answer)

    async def remove_volume(self, name: str) -> None:
        if not name:
            raise SwarmctlError(ErrorCode.OBJECT_NOT_FOUND, "A volume without a name is not there.")
        await self._engine.delete("volumes", name)

    async def task_log(self, task_id: str, *, tail_lines: int) -> tuple[str, ...]:
        query = {"stdout": "true", "stderr": "true", "tail": str(tail_lines)}
        content = await self._engine.get_bytes("tasks", task_id, "logs", query=query)
        lines = demultiplexed(content).decode(errors="replace").splitlines()
        return tuple(masked_text(line) for line in lines[-tail_lines:]) if tail_lines > 0 else ()

    async def close(self) -> None:
        for stream in self._streams:
            await stream.aclose()
        await asyncio.to_thread(self._engine.close)


def _with_placement(spec: JsonObject) -> JsonObject:
    """Return the body of a service's update with a placement, be it an empty one.

    Where a task has one and an update leaves it out, the leading manager of engines up to 20.10 crashes, and crashes
    again at each start: moby/moby#37883. An empty one means the same, and restarts no task.
    """
    template: JsonObject = spec.get("TaskTemplate") or {}
    if template.get("Placement") is not None:
        return spec
    return {**spec, "TaskTemplate": {**template, "Placement": {}}}


def _filters(**values: str) -> dict[str, str]:
    return {"filters": json.dumps({name: [value] for name, value in values.items()})}


def _auth(registry_auth: str | None) -> dict[str, str] | None:
    return None if registry_auth is None else {"X-Registry-Auth": registry_auth}


def _listed(answer: JsonValue) -> list[JsonObject]:
    """Return the list that an engine answers; it writes null for an empty one. Raises engine-unreachable."""
    if answer is None:
        return []
    if not isinstance(answer, list) or not all(
        isinstance(one, dict) and ("ID" in one or "Id" in one) for one in answer
    ):
        raise no_engine("list of objects")
    return answer


def _listed_networks(answer: JsonValue) -> list[JsonObject]:
    """Return the networks that an engine answers, each with an id, a name and a scope. Raises engine-unreachable."""
    networks = _listed(answer)
    if not all(isinstance(one.get(key), str) for one in networks for key in ("Id", "Name", "Scope")):
        raise no_engine("list of networks")
    return networks


def _judged(tasks: Iterable[ObservedTask], up_to_date: Container[str]) -> tuple[ObservedTask, ...]:
    return tuple(task if task.id in up_to_date else replace(task, up_to_date=False) for task in tasks)


def _swarm_networks(networks: list[JsonObject], services: list[JsonObject]) -> list[JsonObject]:
    """Return the networks that the swarm has.

    A manager also lists what is left on its own node of an overlay that the swarm has removed, until the last
    container there has stopped. Such a remnant is known by its containers and peers: in a list, the swarm's own
    networks have neither (seen on 20.10). What a service still names is kept whatever it looks like.
    """
    named = _targets(services)

    def is_remnant(network: JsonObject) -> bool:
        looks_local = network.get("Containers") is not None and bool(network.get("Peers"))
        return looks_local and not network.get("Ingress") and network["Id"] not in named

    return [network for network in networks if network["Scope"] == "swarm" and not is_remnant(network)]


def _targets(services: list[JsonObject]) -> set[str]:
    """Return the ids of the networks that services name."""
    return {
        attachment["Target"]
        for service in services
        for attachment in (dig(service, "Spec", "TaskTemplate", "Networks") or [])
        if attachment.get("Target")
    }


def _all(kind: Kind, answer: JsonValue) -> tuple[ObservedObject, ...]:
    return tuple(observed(kind, raw) for raw in _listed(answer))


def _given(kind: Kind, object_id: str) -> str:
    """Return `object_id`; an empty one would address the whole collection."""
    if not object_id:
        raise SwarmctlError(ErrorCode.OBJECT_NOT_FOUND, f"A {kind} without an id is not there.")
    return object_id


def _impossible(kind: Kind, done: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.NOT_UPDATABLE,
        f"A {kind} cannot be {done}.",
        why="The Docker Engine API has no such request.",
        hint="Remove it and create it anew." if done == "updated" else "",
    )
