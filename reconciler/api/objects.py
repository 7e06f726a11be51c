"""Swarm objects over HTTP: each request becomes one call of the Cluster port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from reconciler.api import faults, selection
from reconciler.api.conversion import attachments, check_node, check_service
from reconciler.api.defaults import with_defaults
from reconciler.api.faults import Refused, as_json
from reconciler.api.names import a_name
from reconciler.api.node import swarm_of
from reconciler.api.older_clients import forget_newer, knows_status
from reconciler.api.ports import Cluster, LocalNode
from reconciler.api.queries import GO_SAYS, REGISTRY_AUTH_HEADER, body_of, filters_of, flag, strict_flag, version_of
from reconciler.api.schemas import OBJECTS
from reconciler.model.errors import SwarmctlError
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)

LISTED = (Kind.NODE, Kind.SERVICE, Kind.SECRET, Kind.CONFIG)
CREATED = (Kind.SERVICE, Kind.SECRET, Kind.CONFIG)
REMOVED_STATUS = {Kind.NODE: 200, Kind.SERVICE: 200, Kind.SECRET: 204, Kind.CONFIG: 204}
REGISTRY_AUTH_FROM = ("", "spec", "previous-spec")


async def whole(write: Awaitable[Answer]) -> Answer:
    """Finish a write even when the client hangs up in the middle of it. Then nobody is told how it ended."""
    writing = asyncio.ensure_future(write)
    try:
        return await asyncio.shield(writing)
    except asyncio.CancelledError:
        writing.add_done_callback(_untold)
        raise


def _untold(writing: asyncio.Future[Any]) -> None:
    """Take note of how a write ended that nobody waits for any more; a refusal is the client's affair."""
    error = None if writing.cancelled() else writing.exception()
    if error is not None and not isinstance(error, SwarmctlError | Refused):
        log.error("a write failed after its client had gone: %s", type(error).__name__)


class Collection(msgspec.Struct, frozen=True):
    """Handlers of one kind of object."""

    node: LocalNode
    kind: Kind
    local_networks: Callable[[], Awaitable[Sequence[ObservedObject]]]
    """Returns what the node has by itself."""

    def routes(self) -> list[web.RouteDef]:
        path = f"/{self.kind}s"
        routes = [
            web.get(path, self.list),
            web.get(path + "/{id}", self.inspect),
            web.delete(path + "/{id}", self.remove),
            web.post(path + "/{id}/update", self.update),
        ]
        if self.kind in CREATED:
            routes.insert(0, web.post(path + "/create", self.create))
        return routes

    async def list(self, request: web.Request) -> web.Response:
        filters_of(request, None)  # what is no JSON is refused outside a swarm too
        cluster = swarm_of(self.node)
        filters = filters_of(request, selection.keys_of(self.kind))
        selection.check_values(self.kind, filters)
        chosen = selection.select(await cluster.listed(self.kind), self.kind, filters)
        if self.kind is Kind.NODE:
            chosen = selection.members(chosen, filters, cluster.pending_nodes())
        if self.kind is Kind.SERVICE and _wants_status(request):
            statuses = [selection.service_status(one, await cluster.tasks(service_id=one.id)) for one in chosen]
            return as_json(
                [{**found.raw, "ServiceStatus": status} for found, status in zip(chosen, statuses, strict=True)]
            )
        return as_json([found.raw for found in chosen])

    async def inspect(self, request: web.Request) -> web.Response:
        raw = (await self._found(swarm_of(self.node), request)).raw
        if self.kind is Kind.SERVICE and strict_flag(request, "insertDefaults", GO_SAYS):
            raw = {**raw, "Spec": with_defaults(raw["Spec"])}
        return as_json(raw)

    async def create(self, request: web.Request) -> web.Response:
        spec = await self._decoded(request)
        cluster = swarm_of(self.node)
        self._check(spec)
        if self.kind is Kind.SERVICE and not spec.get("Name"):
            spec["Name"] = a_name({service.name for service in await cluster.listed(Kind.SERVICE)})
        auth = request.headers.get(REGISTRY_AUTH_HEADER)
        try:
            created = await whole(cluster.create(self.kind, spec, registry_auth=auth))
        except SwarmctlError:
            await self._refuse_local_networks(spec)
            raise
        return as_json({"ID": created}, status=201)

    async def update(self, request: web.Request) -> web.Response:
        spec = await self._decoded(request)
        version = version_of(request, self.kind)
        cluster = swarm_of(self.node)
        auth_from = request.query.get("registryAuthFrom", "")
        if self.kind is Kind.SERVICE and auth_from not in REGISTRY_AUTH_FROM:
            raise Refused(400, f"invalid registryAuthFrom '{auth_from}'")
        self._check(spec)
        found = await self._found(cluster, request)
        if self.kind is Kind.SERVICE and request.query.get("rollback", "none") not in ("", "none"):
            if request.query["rollback"] != "previous":
                raise Refused(400, "unrecognized rollback option " + request.query["rollback"])
            await self._refuse_what_is_gone(cluster, spec)
            await whole(cluster.roll_back(found.id, version))
        else:
            auth = request.headers.get(REGISTRY_AUTH_HEADER)
            await whole(cluster.update(self.kind, found.id, version, spec, registry_auth=auth))
        return as_json({"Warnings": None}) if self.kind is Kind.SERVICE else web.Response()

    async def remove(self, request: web.Request) -> web.Response:
        cluster = swarm_of(self.node)
        found = await self._found(cluster, request)
        await whole(cluster.remove(self.kind, found.id, force=flag(request, "force")))
        return web.Response(status=REMOVED_STATUS[self.kind])

    async def _refuse_local_networks(self, spec: JsonObject) -> None:
        """Tell why a service can't have a network that the node has by itself; the swarm only knows that it has none.

        Source: moby's daemon/cluster/services.go, populateNetworkID.
        """
        if self.kind is not Kind.SERVICE:
            return
        wanted = attachments(spec)
        local = {name for one in await self.local_networks() for name in (one.id, one.name)} if wanted else set()
        for target in wanted:
            if target in local:
                raise Refused(403, faults.not_for_services(target))

    @staticmethod
    async def _refuse_what_is_gone(cluster: Cluster, spec: JsonObject) -> None:
        """Refuse a rollback from a spec whose secrets or configs were removed, as swarmkit's UpdateService does: it
        checks what the client sends, though that is not what comes of it."""
        for kind in (Kind.SECRET, Kind.CONFIG):
            word = str(kind).capitalize()
            wanted = dig(spec, "TaskTemplate", "ContainerSpec", f"{word}s") or ()
            known = {(one.id, one.name) for one in await cluster.listed(kind)} if wanted else set()
            asked = [(one.get(f"{word}ID"), one.get(f"{word}Name")) for one in wanted]
            if missing := [str(name) for found, name in asked if (found, name) not in known]:
                noun = f"{kind}s" if len(missing) > 1 else str(kind)
                raise Refused(400, f"rpc error: code = InvalidArgument desc = {noun} not found: {', '.join(missing)}")

    async def _decoded(self, request: web.Request) -> JsonObject:
        spec = await body_of(request, OBJECTS[self.kind])
        if self.kind is Kind.SERVICE:
            forget_newer(spec, request.match_info.get("version"))
        return spec

    def _check(self, spec: JsonObject) -> None:
        if self.kind is Kind.SERVICE:
            check_service(spec)
        if self.kind is Kind.NODE:
            check_node(spec)

    async def _found(self, cluster: Cluster, request: web.Request) -> ObservedObject:
        return await cluster.found(self.kind, request.match_info["id"])


def _wants_status(request: web.Request) -> bool:
    """Return whether the tasks of services are to be counted."""
    if not knows_status(request.match_info.get("version")):
        return False
    return strict_flag(request, "status", GO_SAYS)


class Tasks(msgspec.Struct, frozen=True):
    """Handlers of tasks, which can only be looked at."""

    node: LocalNode

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/tasks", self.list), web.get("/tasks/{id}", self.inspect)]

    async def list(self, request: web.Request) -> web.Response:
        filters_of(request, None)
        cluster = swarm_of(self.node)
        filters = filters_of(request, selection.TASK_KEYS)
        chosen = await selection.select_tasks(cluster, filters)
        return as_json([task.raw for task in chosen])

    async def inspect(self, request: web.Request) -> web.Response:
        cluster = swarm_of(self.node)
        tasks, services = await cluster.tasks(), await cluster.listed(Kind.SERVICE)
        return as_json(selection.find_task(tasks, services, request.match_info["id"]).raw)
