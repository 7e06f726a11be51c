"""Containers of the node's engine on a network of the swarm's: on the bridge that stands for it there.

The bridge is the one that the node's tasks are on; it is made for the first container too, and goes with the network.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from reconciler.api.faults import Refused
from reconciler.api.passthrough import Engine
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import ObservedObject

STANDS_FOR = "com.docker.swarm.network.id"
"""The label of an engine's network that a swarm's is made of on this node."""
OF_THE_ENGINE = frozenset({"", "default", "bridge", "host", "none"})
MODE_PREFIXES = ("container:", "ns:")

Find = Callable[[str], Awaitable[ObservedObject | None]]
"""Returns the network that a name or an id means, of the swarm's or of the engine's own; None if there is none."""


class Attaching(msgspec.Struct, frozen=True):
    """Handlers of what puts a container on networks."""

    engine: Engine
    find: Find
    is_in_a_swarm: Callable[[], bool]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/containers/create", self.create),
            web.post("/networks/{id}/connect", self.connect),
            web.post("/networks/{id}/disconnect", self.disconnect),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Create a container, on bridges in the place of the swarm's networks that it names."""
        body = await request.read()
        asked = _parsed(body)
        if asked is None or not self.engine.is_there:
            return await self.engine.forward(request, body)
        host = asked.get("HostConfig")
        endpoints = dig(asked, "NetworkingConfig", "EndpointsConfig")
        endpoints = dict(endpoints) if isinstance(endpoints, dict) else {}
        mode = host.get("NetworkMode") if isinstance(host, dict) else None
        named = [*endpoints, *([mode] if isinstance(mode, str) and mode not in endpoints else [])]
        changed = False
        for name in named:
            network = await self._of_the_swarm(name)
            if network is None:
                await self._refuse_unknown(name)
                continue
            changed = True
            endpoint = endpoints.pop(name, None)
            endpoints[network.name] = await self._endpoint(network, endpoint if isinstance(endpoint, dict) else {})
            if mode == name and isinstance(host, dict):
                host["NetworkMode"] = network.name
        if changed:
            asked["NetworkingConfig"] = {**(asked.get("NetworkingConfig") or {}), "EndpointsConfig": endpoints}
            body = json.dumps(asked).encode()
        return await self.engine.forward(request, body)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Put a container on a network."""
        body = await request.read()
        asked = _parsed(body)
        if self.engine.is_there and asked is not None:
            await self._refuse_nobody(request.match_info["id"], str(asked.get("Container") or ""))
        network = await self._of_the_swarm(request.match_info["id"]) if self.engine.is_there else None
        if network is None or asked is None:
            return await self.engine.forward(request, body)
        await self._refuse_twice(network, str(asked.get("Container")))
        endpoint = asked.get("EndpointConfig")
        asked["EndpointConfig"] = await self._endpoint(network, endpoint if isinstance(endpoint, dict) else {})
        return await self.engine.forward(request, json.dumps(asked).encode(), f"/networks/{network.name}/connect")

    async def disconnect(self, request: web.Request) -> web.StreamResponse:
        """Take a container off a network."""
        body = await request.read()
        network = await self.find(request.match_info["id"]) if self.engine.is_there else None
        path = f"/networks/{network.name}/disconnect" if network is not None and _is_swarm_wide(network) else None
        return await self.engine.forward(request, body, path)

    async def bridge_of(self, network: ObservedObject) -> JsonObject | None:
        """Return the bridge that stands for a network on this node, as the engine shows it; None if there is none."""
        if not self.engine.is_there:
            return None
        seen = await self.engine.get(f"/networks/{network.name}")
        return seen if dig(seen, "Labels", STANDS_FOR) == network.id else None

    async def let_go(self, network: ObservedObject) -> None:
        """Remove the bridge of a network that the swarm has no more, unless a container is on it."""
        bridge = await self.bridge_of(network)
        if bridge is not None:
            await self.engine.delete(f"/networks/{bridge['Id']}")

    async def _of_the_swarm(self, name: str) -> ObservedObject | None:
        """Return the swarm's network that is meant, None for another; raises Refused where no container may be put."""
        if name in OF_THE_ENGINE or name.startswith(MODE_PREFIXES):
            return None
        network = await self.find(name)
        if network is None or not _is_swarm_wide(network):
            return None
        if not network.dig("Attachable"):
            why = f"rpc error: code = PermissionDenied desc = network {network.name} not manually attachable"
            raise Refused(403, f"Could not attach to network {name}: {why}")
        return network

    async def _refuse_unknown(self, name: str) -> None:
        """Refuse a network that neither the engine has nor the swarm, which is then asked for it."""
        if not self.is_in_a_swarm() or name in OF_THE_ENGINE or name.startswith(MODE_PREFIXES):
            return
        if await self.find(name) is None:
            why = f"rpc error: code = NotFound desc = network {name} not found"
            raise Refused(400, f"Could not attach to network {name}: {why}")  # for 404, clients would pull the image

    async def _refuse_nobody(self, name: str, container: str) -> None:
        """Refuse a container that there is not before the network of the swarm's that it was to be put on."""
        network = await self.find(name) if container else None
        if network is None or not _is_swarm_wide(network):
            return
        if await self.engine.get(f"/containers/{quote(container, safe='')}/json") is None:
            raise Refused(404, f"No such container: {container}")

    async def _refuse_twice(self, network: ObservedObject, container: str) -> None:
        bridge = await self.bridge_of(network)
        for container_id, one in ((bridge or {}).get("Containers") or {}).items():
            if container == one.get("Name") or (container and container_id.startswith(container)):
                raise Refused(403, f"{container} is already attached to network {network.name}")

    async def _endpoint(self, network: ObservedObject, asked: JsonObject) -> JsonObject:
        """Return what a container asks for on a network; if it names no address, with one that the swarm gives last."""
        bridge = await self.bridge_of(network) or await self._made(network)
        if dig(asked, "IPAMConfig", "IPv4Address"):
            return asked
        taken = [str(one.get("IPv4Address", "")) for one in (bridge.get("Containers") or {}).values()]
        pools = dig(bridge, "IPAM", "Config") or ()
        address = next((last_free(str(pool.get("Subnet")), taken, str(pool.get("Gateway"))) for pool in pools), None)
        return asked if address is None else {**asked, "IPAMConfig": {"IPv4Address": address}}

    async def _made(self, network: ObservedObject) -> JsonObject:
        """Make a network's bridge, as its first task would."""
        body: JsonObject = {
            "Name": network.name,
            "Driver": "bridge",
            "Internal": bool(network.dig("Internal")),
            "CheckDuplicate": True,
            "Labels": {STANDS_FOR: network.id},
        }
        pools = network.dig("IPAM", "Config") or ()
        if pools:
            body["IPAM"] = {"Driver": "default", "Config": [{"Subnet": pools[0]["Subnet"]}]}
        await self.engine.post("/networks/create", body=body)
        bridge = await self.bridge_of(network)
        if bridge is None:
            raise Refused(500, f"Could not attach to network {network.name}: its bridge can't be made on this node")
        return bridge


def _is_swarm_wide(network: ObservedObject) -> bool:
    return bool(network.dig("Scope") == "swarm")


def last_free(subnet: str, taken: Iterable[str], gateway: str) -> str | None:
    """Return the last address of an IPv4 subnet that nobody has, None if there is none.

    The swarm gives out addresses from the beginning on, and knows nothing of what an engine gives to its containers.
    """
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError:
        return None
    used = {address.partition("/")[0] for address in (*taken, gateway)}
    last, first = int(network.broadcast_address) - 1, int(network.network_address) + 1
    addresses = (str(ipaddress.IPv4Address(number)) for number in range(last, first, -1))
    return next((address for address in addresses if address not in used), None)


def _parsed(body: bytes) -> dict[str, Any] | None:
    """Return a body's object; None for what an engine shall refuse."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
