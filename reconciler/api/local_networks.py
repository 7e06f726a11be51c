"""The networks that a node without an engine of its own still tells of.

Processes share the host's network, so these are names only: clients expect them to be there, and services may be
attached to `host`. What is made here is forgotten when the daemon ends.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reconciler.api.conversion import NOT_FOR_NETWORKS
from reconciler.api.faults import Refused
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject

PREDEFINED = {"bridge": "bridge", "host": "host", "none": "null"}
GATEWAY_BRIDGE = "docker_gwbridge"
"""The bridge that tasks leave their overlay networks by; there once the node is in a swarm."""

CONFIGURATION_DRIVER = "null"
"""What an engine shows as the driver of a network that is a configuration only."""

CONFIGURED = ("IPAM", "Options", "Labels", "EnableIPv6", "Internal", "Attachable")
"""What a network takes over from the configuration that it is made from."""

LOCAL_NETWORKS_MAX = 1_000
SUBNETS = ipaddress.IPv4Network("172.16.0.0/12")


def _pool(subnet: str) -> JsonObject:
    return {"Subnet": subnet, "Gateway": str(ipaddress.ip_network(subnet)[1])}


def _network(name: str, driver: str, pools: list[JsonObject], spec: JsonObject | None = None) -> ObservedObject:
    asked = spec or {}
    ipam = asked.get("IPAM") or {}
    raw: JsonObject = {
        "Name": name,
        "Id": secrets.token_hex(32),
        "Created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "Scope": "local",
        "Driver": driver,
        "EnableIPv6": bool(asked.get("EnableIPv6")),
        "IPAM": {
            "Driver": ipam.get("Driver") or "default",
            "Options": None if spec is None else ipam.get("Options") or {},
            "Config": pools,
        },
        "Internal": bool(asked.get("Internal")),
        "Attachable": bool(asked.get("Attachable")),
        "Ingress": False,
        "ConfigFrom": asked.get("ConfigFrom") or {"Network": ""},
        "ConfigOnly": bool(asked.get("ConfigOnly")),
        "Containers": {},
        "Options": asked.get("Options") or {},
        "Labels": asked.get("Labels") or {},
    }
    return ObservedObject(Kind.NETWORK, raw["Id"], name, 0, raw, raw)


@dataclass(slots=True)
class LocalNetworks:
    """All of them by id, predefined ones first."""

    _by_id: dict[str, ObservedObject] = field(default_factory=dict)
    _has_gateway: bool = False
    """Whether the node has been in a swarm: its gateway bridge stays when it leaves."""

    def __post_init__(self) -> None:
        for name, driver in PREDEFINED.items():
            self._add(_network(name, driver, [_pool("172.17.0.0/16")] if name == "bridge" else []))
        self._add(_network(GATEWAY_BRIDGE, "bridge", [_pool("172.18.0.0/16")]))

    def _add(self, network: ObservedObject) -> str:
        self._by_id[network.id] = network
        return network.id

    def listed(self, *, in_a_swarm: bool) -> list[ObservedObject]:
        self._has_gateway = self._has_gateway or in_a_swarm
        return [one for one in self._by_id.values() if self._has_gateway or one.name != GATEWAY_BRIDGE]

    def create(self, spec: JsonObject, present: Iterable[ObservedObject]) -> str:
        """Add a bridge and return its id; refuse what the engine refuses."""
        name, driver = spec.get("Name"), spec.get("Driver") or "bridge"
        if not isinstance(name, str) or not name.strip():
            raise Refused(400, "invalid network name: name is empty")
        if (name in PREDEFINED and name != "bridge") or name in NOT_FOR_NETWORKS:
            raise Refused(403, f"operation is not permitted on predefined {name} network")
        spec = self._configured(spec)
        if spec.get("ConfigOnly"):
            driver = CONFIGURATION_DRIVER
        elif driver in ("host", "null"):
            raise Refused(403, f'only one instance of "{driver}" network is allowed')
        elif driver != "bridge":
            raise Refused(404, f'plugin "{driver}" not found')
        if any(one.name == name for one in present):
            raise Refused(409, f"network with name {name} already exists")
        if len(self._by_id) >= LOCAL_NETWORKS_MAX:
            raise Refused(503, f"there are {LOCAL_NETWORKS_MAX} local networks already")
        if spec.get("Labels") is not None and not isinstance(spec["Labels"], dict):
            raise Refused(400, "invalid JSON: Labels is no object")
        return self._add(_network(name, driver, self._pools(spec), spec))

    def _configured(self, spec: JsonObject) -> JsonObject:
        """Return what a network asks for with what the configuration says that it names."""
        source = dig(spec, "ConfigFrom", "Network")
        if not source:
            return spec
        if spec.get("ConfigOnly"):
            raise Refused(403, "a configuration network cannot depend on another configuration network")
        found = next((one for one in self._by_id.values() if source in (one.name, one.id)), None)
        if found is None or not found.raw["ConfigOnly"]:
            raise Refused(404, f'configuration network "{source}" does not exist')
        if dig(spec, "IPAM", "Config") or spec.get("Options") or spec.get("Labels") or spec.get("EnableIPv6"):
            what = "user specified configurations are not supported"
            raise Refused(403, f"{what} if the network depends on a configuration network")
        return {**spec, **{key: found.raw[key] for key in CONFIGURED}}

    def _pools(self, spec: JsonObject) -> list[JsonObject]:
        asked = check_subnets(spec)
        if spec.get("ConfigOnly"):
            return [dict(pool) for pool in asked]
        made = [one for one in self._by_id.values() if not one.raw["ConfigOnly"]]
        taken = {str(pool["Subnet"]) for one in made for pool in one.raw["IPAM"]["Config"] if pool.get("Subnet")}
        if any(pool.get("Subnet") for pool in asked):
            if any(_overlap(str(pool.get("Subnet")), other) for pool in asked for other in taken):
                raise Refused(403, "Pool overlaps with other one on this address space")
            return [dict(pool) for pool in asked]
        free = (str(subnet) for subnet in list(SUBNETS.subnets(new_prefix=16))[1:] if str(subnet) not in taken)
        subnet = next(free, None)
        if subnet is None:
            raise Refused(400, "could not find an available, non-overlapping IPv4 address pool")
        return [_pool(subnet)]

    def remove(self, network: ObservedObject, *, in_a_swarm: bool) -> None:
        if network.name in PREDEFINED:
            raise Refused(403, f"{network.name} is a pre-defined network and cannot be removed")
        if network.name == GATEWAY_BRIDGE and in_a_swarm:
            raise _not_removed(f"network {network.name} id {network.id} has active endpoints")
        if any(dig(one.raw, "ConfigFrom", "Network") == network.name for one in self._by_id.values()):
            raise _not_removed(f'configuration network "{network.name}" is in use')
        self._by_id.pop(network.id, None)

    def prune(self, network: ObservedObject) -> bool:
        """Remove it if a user made it, and as no configuration of others; return whether that was so."""
        if network.name in PREDEFINED or network.name == GATEWAY_BRIDGE or network.raw["ConfigOnly"]:
            return False
        return self._by_id.pop(network.id, None) is not None


def _not_removed(why: str) -> Refused:
    return Refused(403, f"error while removing network: {why}")


def _overlap(one: str, other: str) -> bool:
    first, second = (ipaddress.ip_network(text, strict=False) for text in (one, other))
    return first.version == second.version and first.overlaps(second)


def check_subnets(spec: JsonObject) -> list[JsonObject]:
    """Return the pools that a network is to have; refuse what is no CIDR block, in the engine's words."""
    ipam = spec.get("IPAM") or {}
    if not isinstance(ipam, dict):
        raise Refused(400, "invalid JSON: IPAM is no object")
    asked = ipam.get("Config") or []
    if not isinstance(asked, list) or not all(isinstance(pool, dict) for pool in asked):
        raise Refused(400, "invalid JSON: IPAM.Config is no list of pools")
    for pool in asked:
        subnet = pool.get("Subnet") or ""
        try:
            if subnet and ("/" not in subnet or not ipaddress.ip_network(subnet, strict=False)):
                raise ValueError
        except (ValueError, TypeError):
            raise Refused(400, f"Invalid subnet {subnet} : invalid CIDR address: {subnet}") from None
    return asked
