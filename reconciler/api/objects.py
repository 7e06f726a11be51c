"""Swarm objects over HTTP: each request becomes one call of the Cluster port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from reconciler.api import selection
from reconciler.api.defaults import with_defaults
from reconciler.api.faults import STALE, Refused, as_json
from reconciler.api.ports import Cluster
from reconciler.api.queries import REGISTRY_AUTH_HEADER, body_of, filters_of, flag, version_of
from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, NodeRole, ObservedObject

Answer = TypeVar("Answer")

LISTED = (Kind.NODE, Kind.SERVICE, Kind.NETWORK, Kind.SECRET, Kind.CONFIG)
CREATED = (Kind.SERVICE, Kind.NETWORK, Kind.SECRET, Kind.CONFIG)
UPDATED = (Kind.NODE, Kind.SERVICE, Kind.SECRET, Kind.CONFIG)
REMOVED_STATUS = {Kind.NODE: 200, Kind.SERVICE: 200, Kind.NETWORK: 204, Kind.SECRET: 204, Kind.CONFIG: 204}


async def whole(write: Awaitable[Answer]) -> Answer:
    """Finish a write even when the client hangs up in the middle of it."""
    return await asyncio.shield(write)


@dataclass(frozen=True, slots=True)
class Collection:
    """Handlers of one kind of object."""

    cluster: Cluster
    kind: Kind

    def routes(self) -> list[web.RouteDef]:
        path = f"/{self.kind}s"
        routes = [
            web.get(path, self.list),
            web.get(path + "/{id}", self.inspect),
            web.delete(path + "/{id}", self.remove),
        ]
        if self.kind in CREATED:
            routes.append(web.post(path + "/create", self.create))
        if self.kind in UPDATED:
            routes.append(web.post(path + "/{id}/update", self.update))
        return routes

    async def list(self, request: web.Request) -> web.Response:
        filters = filters_of(request, selection.keys_of(self.kind))
        actual = await self.cluster.observe()
        chosen = selection.select(actual.of_kind(self.kind), self.kind, filters)
        if self.kind is Kind.SERVICE and flag(request, "status"):
            statuses = (selection.service_status(service, actual.tasks) for service in chosen)
            return as_json(
                [{**found.raw, "ServiceStatus": status} for found, status in zip(chosen, statuses, strict=True)]
            )
        return as_json([found.raw for found in chosen])

    async def inspect(self, request: web.Request) -> web.Response:
        actual = await self.cluster.observe()
        wanted = request.match_info["id"]
        predefined = dict(actual.predefined_networks) if self.kind is Kind.NETWORK else {}
        for name, network_id in predefined.items():
            if wanted in (name, network_id):
                return as_json(_predefined(name, network_id))
        raw = selection.find(actual.of_kind(self.kind), self.kind, wanted).raw
        if self.kind is Kind.SERVICE and flag(request, "insertDefaults"):
            raw = {**raw, "Spec": with_defaults(raw["Spec"])}
        return as_json(raw)

    async def create(self, request: web.Request) -> web.Response:
        spec = await body_of(request)
        auth = request.headers.get(REGISTRY_AUTH_HEADER)
        created = await whole(self.cluster.create(self.kind, spec, registry_auth=auth))
        if self.kind is Kind.NETWORK:
            return as_json({"Id": created, "Warning": ""}, status=201)
        return as_json({"ID": created}, status=201)

    async def update(self, request: web.Request) -> web.Response:
        version = version_of(request, self.kind)
        spec = await body_of(request)
        found = await self._found(request)
        if self.kind is Kind.SERVICE and request.query.get("rollback") == "previous":
            spec = _previous(found)
        auth = request.headers.get(REGISTRY_AUTH_HEADER)
        await whole(self.cluster.update(self.kind, found.id, version, spec, registry_auth=auth))
        return as_json({"Warnings": None}) if self.kind is Kind.SERVICE else web.Response()

    async def remove(self, request: web.Request) -> web.Response:
        found = await self._found(request)
        await whole(self.cluster.remove(self.kind, found.id, force=flag(request, "force")))
        return web.Response(status=REMOVED_STATUS[self.kind])

    async def _found(self, request: web.Request) -> ObservedObject:
        actual = await self.cluster.observe()
        return selection.find(actual.of_kind(self.kind), self.kind, request.match_info["id"])


@dataclass(frozen=True, slots=True)
class Swarm:
    """Handlers of the swarm itself."""

    cluster: Cluster

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/swarm", self.inspect), web.post("/swarm/update", self.update)]

    async def inspect(self, _: web.Request) -> web.Response:
        return as_json((await self.cluster.observe()).swarm.raw)

    async def update(self, request: web.Request) -> web.Response:
        version = version_of(request, Kind.SWARM)
        spec = await body_of(request)
        if flag(request, "rotateManagerUnlockKey"):
            raise Refused(501, "the embedded swarm has no unlock key")
        rotated = {NodeRole.WORKER: "rotateWorkerToken", NodeRole.MANAGER: "rotateManagerToken"}
        roles = [role for role, name in rotated.items() if flag(request, name)]
        swarm = (await self.cluster.observe()).swarm
        if swarm.version != version:
            raise Refused(500, STALE)
        await whole(self._update(swarm, spec, roles))
        return web.Response()

    async def _update(self, swarm: ObservedObject, spec: JsonObject, roles: list[NodeRole]) -> None:
        if not roles or spec != swarm.spec:
            await self.cluster.update(Kind.SWARM, swarm.id, swarm.version, spec)
        for role in roles:
            await self.cluster.rotate_join_token(role)


@dataclass(frozen=True, slots=True)
class Tasks:
    """Handlers of tasks, which can only be looked at."""

    cluster: Cluster

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/tasks", self.list), web.get("/tasks/{id}", self.inspect)]

    async def list(self, request: web.Request) -> web.Response:
        filters = filters_of(request, selection.TASK_KEYS)
        actual: ActualState = await self.cluster.observe()
        return as_json([task.raw for task in selection.select_tasks(actual, filters)])

    async def inspect(self, request: web.Request) -> web.Response:
        actual = await self.cluster.observe()
        return as_json(selection.find_task(actual.tasks, request.match_info["id"]).raw)


def _previous(service: ObservedObject) -> JsonObject:
    previous = dig(service.raw, "PreviousSpec")
    if not isinstance(previous, dict):
        raise Refused(
            400, f"rpc error: code = FailedPrecondition desc = service {service.id} does not have a previous spec"
        )
    return previous


def _predefined(name: str, network_id: str) -> JsonObject:
    """Return a network that every node has by itself: it can be looked up, though no list shows it."""
    return {
        "Name": name,
        "Id": network_id,
        "Scope": "swarm",
        "Driver": name,
        "Labels": {"com.docker.swarm.predefined": "true"},
        "Options": {},
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "EnableIPv6": False,
        "Containers": None,
    }
