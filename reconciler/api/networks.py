"""Networks over HTTP: those of the swarm, and beside them those that a node has by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from reconciler.api import faults, pruning, selection
from reconciler.api.attaching import STANDS_FOR, Attaching
from reconciler.api.conversion import SWARM_DRIVERS, attachments, check_network
from reconciler.api.endpoints import NODE_ADDRESSES, Swarm, seen_on
from reconciler.api.faults import Refused, as_json
from reconciler.api.local_networks import PREDEFINED, LocalNetworks, check_subnets
from reconciler.api.node import swarm_of
from reconciler.api.objects import whole
from reconciler.api.passthrough import Engine
from reconciler.api.ports import Cluster, LocalNode
from reconciler.api.queries import GO_SAYS, Filters, body_of, filters_of, strict_flag
from reconciler.api.schemas import OBJECTS
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import TaskState

IPV4_SINCE = "EnableIPv4"
"""A field of API 1.48, which is newer than ours."""

_OF_TASKS = urlencode({"all": "1", "filters": json.dumps({"label": ["com.docker.swarm.task.id"]})})
"""Asks an engine for the containers that are tasks."""


class Networks(msgspec.Struct, frozen=True):
    """Handlers of networks. A node that is in no swarm still has its own."""

    node: LocalNode
    local: LocalNetworks
    engine: Engine

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/networks", self.list),
            web.post("/networks/create", self.create),
            web.post("/networks/prune", self.prune),
            web.get("/networks/{id}", self.inspect),
            web.delete("/networks/{id}", self.remove),
            *self._attaching().routes(),
        ]

    def _attaching(self) -> Attaching:
        return Attaching(self.engine, self._any, lambda: self.node.standing().state == "active")

    async def _all(self) -> Sequence[ObservedObject]:
        standing = self.node.standing()
        own = await self._own(in_a_swarm=standing.state == "active")
        if standing.cluster is not None:
            return [*own, *await standing.cluster.listed(Kind.NETWORK)]
        return [*own, *standing.node_networks]

    async def list(self, request: web.Request) -> web.Response:
        filters = filters_of(request, selection.keys_of(Kind.NETWORK))
        selection.check_values(Kind.NETWORK, filters)
        chosen = selection.select(await self._all(), Kind.NETWORK, filters)
        if "name" in filters:
            here = await self._on_this_node()
            chosen = [one for one in chosen if one.id in here or _is_local(one) or one.name in filters["name"]]
        return as_json([_shown(found) for found in chosen])

    async def _on_this_node(self) -> set[str]:
        """Return the ids of the swarm's networks that the node has tasks on; only their names are matched in part."""
        standing = self.node.standing()
        tasks = await standing.cluster.tasks() if standing.cluster is not None else ()
        here = [task.raw for task in tasks if task.node_id == standing.node_id and task.state is TaskState.RUNNING]
        attached = [dig(one, "Network", "ID") for raw in here for one in raw.get("NetworksAttachments") or ()]
        ingress = [one.id for one in await self._all() if one.dig("Ingress")]
        return {str(network_id) for network_id in (*attached, *ingress)}

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        verbose = strict_flag(request, "verbose", GO_SAYS)
        scope = request.query.get("scope", "")
        found = await self._found(request.match_info["id"], scope)
        if _is_local(found) and self.engine.is_there:
            return await self.engine.forward(request)  # which containers are in it, no list tells
        bridge = await self._attaching().bridge_of(found) if found.dig("Scope") == "swarm" else None
        shown = {**_shown(found), **await self._seen_here(found, verbose=verbose)}
        if bridge:
            shown["Containers"] = dict(sorted({**(shown["Containers"] or {}), **(bridge["Containers"] or {})}.items()))
        return as_json(shown)

    async def _seen_here(self, found: ObservedObject, *, verbose: bool) -> JsonObject:
        """Return what this node adds to a network of the swarm's that it has tasks on."""
        standing = self.node.standing()
        cluster = standing.cluster
        if cluster is None or standing.node_id not in found.raw.get(NODE_ADDRESSES, ()):
            return {}
        nodes, services = await cluster.listed(Kind.NODE), await cluster.listed(Kind.SERVICE)
        swarm = Swarm(standing.node_id, nodes, services, await cluster.tasks())
        return seen_on(found, swarm, verbose=verbose)

    async def create(self, request: web.Request) -> web.StreamResponse:
        spec = await body_of(request, OBJECTS[Kind.NETWORK])
        driver = spec.get("Driver") or "bridge"
        swarm_scoped = driver in SWARM_DRIVERS or spec.get("Scope") == "swarm" or spec.get("Ingress")
        is_swarm_wide = swarm_scoped and not spec.get("ConfigOnly")  # a configuration is one node's own
        if not is_swarm_wide and self.engine.is_there:
            return await self.engine.forward(request, await request.read())
        if not is_swarm_wide:
            return as_json({"Id": self.local.create(spec, await self._all()), "Warning": ""}, status=201)
        standing = self.node.standing()
        if standing.cluster is None and standing.state == "active":
            raise Refused(403, faults.NETWORK_FROM_A_WORKER)
        if standing.state == "locked":
            raise Refused(503, faults.NOT_IN_A_SWARM)
        check_network(spec, is_in_a_swarm=standing.state != "inactive")
        cluster = swarm_of(self.node)
        name = spec.get("Name")
        if any(one.name == name for one in await self._all()):
            raise Refused(409, f"network with name {name} already exists")
        for pool in check_subnets(spec):
            if not pool.get("Subnet"):
                raise Refused(400, "Invalid subnet  : invalid CIDR address: ")
        created = await whole(cluster.create(Kind.NETWORK, spec))
        return as_json({"Id": created, "Warning": ""}, status=201)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        found = await self._found(request.match_info["id"], "")
        if _is_local(found) and self.engine.is_there:
            return await self.engine.forward(request)
        if _is_local(found):
            self.local.remove(found, in_a_swarm=self.node.standing().state == "active")
        elif self.node.standing().cluster is None and found in self.node.standing().node_networks:
            raise Refused(404, f"network {request.match_info['id']} not found")  # a worker has it, but not to remove
        else:
            await self._remove_of_the_swarm(swarm_of(self.node), found)
        return web.Response(status=204)

    async def _remove_of_the_swarm(self, cluster: Cluster, found: ObservedObject) -> None:
        """Remove a network that neither a service nor one of this node's containers is on. Raises SwarmctlError."""
        attaching = self._attaching()
        bridge = await attaching.bridge_of(found)
        in_services = [one for one in await cluster.listed(Kind.SERVICE) if _is_on(one, found)] if bridge else []
        if bridge is not None and bridge.get("Containers") and not in_services:  # else the swarm tells which
            statuses = [task.raw.get("Status") for task in await cluster.tasks()]
            of_tasks = {dig(status, "ContainerStatus", "ContainerID") for status in statuses}
            # The container of a task that has just gone is there for a moment longer.
            of_tasks |= {one.get("Id") for one in await self.engine.objects(f"/containers/json?{_OF_TASKS}")}
            for container in bridge["Containers"].keys() - of_tasks:
                raise Refused(400, faults.in_use(found.id, container))
        await whole(cluster.remove(Kind.NETWORK, found.id))
        if bridge is not None:
            await attaching.let_go(found)

    async def prune(self, request: web.Request) -> web.Response:
        """Remove what nothing uses, and say which."""
        filters = filters_of(request, pruning.KEYS)
        until = pruning.made_until(filters, datetime.now(UTC))
        gone = [*await self._pruned_by_the_engine(filters)] if self.engine.is_there else []
        for found in [one for one in await self._all() if pruning.may_go(one, filters)]:
            if _is_local(found):
                old = pruning.is_made(found, until)
                removed = old and not self.engine.is_there and self.local.prune(found)  # else the engine has
            else:
                removed = not found.dig("Ingress") and pruning.is_made(found, until) and await self._removed(found)
            if removed:
                gone.append(found.name)
        return as_json({"NetworksDeleted": gone or None})

    async def _pruned_by_the_engine(self, filters: Filters) -> Sequence[str]:
        """Let the engine remove what it has by itself; what stands for a network of the swarm's goes with that."""
        asked = {key: list(values) for key, values in filters.items()}
        asked["label!"] = [*asked.get("label!", ()), STANDS_FOR]
        answer = await self.engine.post("/networks/prune", filters=json.dumps(asked))
        return tuple((answer or {}).get("NetworksDeleted") or ())

    async def _removed(self, found: ObservedObject) -> bool:
        cluster = self.node.standing().cluster
        if cluster is None:
            return False  # a worker removes none of the swarm's
        try:
            await self._remove_of_the_swarm(cluster, found)
        except (SwarmctlError, Refused):
            return False  # it is in use
        return True

    async def own(self) -> Sequence[ObservedObject]:
        """Return the networks that the node has by itself, all that a service can't be attached to."""
        return [one for one in await self._own(in_a_swarm=True) if one.name not in PREDEFINED]

    async def _own(self, *, in_a_swarm: bool) -> Sequence[ObservedObject]:
        """Return the node's networks, without those that stand there for one of the swarm's."""
        if not self.engine.is_there:
            return self.local.listed(in_a_swarm=in_a_swarm)
        listed = [one for one in await self.engine.objects("/networks") if one.get("Scope") == "local"]
        return [
            ObservedObject(Kind.NETWORK, one["Id"], one["Name"], 0, one, one)
            for one in listed
            if STANDS_FOR not in (one.get("Labels") or {})
        ]

    async def _any(self, wanted: str) -> ObservedObject | None:
        try:
            return await self._found(wanted, "")
        except Refused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _found(self, wanted: str, scope: str) -> ObservedObject:
        """Return the network that is meant: by id, by name, by a prefix of its id, local ones first."""
        everything = [one for one in await self._all() if scope in ("", one.dig("Scope"))]
        named = [one for one in everything if one.name == wanted]
        for candidates in (
            [one for one in everything if one.id == wanted],
            named,
            [one for one in everything if wanted and one.id.startswith(wanted)],
        ):
            if len(candidates) == 1:
                return candidates[0]
            if candidates:
                based = "name" if candidates is named else "ID prefix"
                count = len(candidates)
                text = f"{count} matches found based on {based}: network {wanted} is ambiguous"
                raise Refused(400, text)
        cluster = self.node.standing().cluster
        if cluster is not None and scope in ("", "swarm"):
            try:
                return await cluster.found(Kind.NETWORK, wanted)  # a predefined one, which no list shows
            except SwarmctlError as error:
                if error.code is not ErrorCode.OBJECT_NOT_FOUND:
                    raise
        raise Refused(404, f"network {wanted} not found")


def _is_on(service: ObservedObject, network: ObservedObject) -> bool:
    return bool({network.id, network.name} & set(attachments(service.spec)))


def _is_local(found: ObservedObject) -> bool:
    return bool(found.dig("Scope") == "local")


def _shown(found: ObservedObject) -> JsonObject:
    """Return a network as an engine of our API version shows it: what is empty in a swarm's is null there."""
    raw = {key: value for key, value in found.raw.items() if key not in (IPV4_SINCE, NODE_ADDRESSES)}
    if raw["Scope"] == "swarm":
        raw["Labels"] = raw["Labels"] or None
        raw["IPAM"] = {**raw["IPAM"], "Options": raw["IPAM"].get("Options") or None}
    return raw
