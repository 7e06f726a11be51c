"""What the tasks of one template ask of a node, read once from the spec. (facts, swarmkit.md 3.2)"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from reconciler.model.constraints import Constraint, parse_constraint
from reconciler.model.json import JsonObject, dig
from reconciler.model.nodes import NodeRecord

HostPort = tuple[str, int]
Plugin = tuple[str, str]
"""Type (Volume, Network, Log) and name."""

Platform = tuple[str, str]
"""Architecture and operating system; "" is any."""

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_NODE_LABELS, _ENGINE_LABELS = "node.labels.", "engine.labels."


class Fixed(msgspec.Struct, frozen=True):
    """The part that only the node itself answers, whatever runs on it. Equal ones share their candidates.

    `constraints` None is what can't be parsed: no node meets it. `log_driver` "" asks for nothing.
    `cluster_volumes` says that a mount needs a CSI volume.
    """

    constraints: tuple[Constraint, ...] | None = ()
    platforms: tuple[Platform, ...] = ()
    plugins: tuple[Plugin, ...] = ()
    log_driver: str = ""
    cluster_volumes: bool = False


class Demand(msgspec.Struct, frozen=True):
    """`generic` are (kind, count) pairs; `max_replicas` 0 is no limit; `spread` are labels, the outermost first."""

    fixed: Fixed
    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: tuple[tuple[str, int], ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    max_replicas: int = 0
    spread: tuple[str, ...] = ()

    @property
    def is_unlimited(self) -> bool:
        """Whether a node that takes one such task takes any number of them."""
        reserves = self.nano_cpus or self.memory_bytes or self.generic
        return not (reserves or self.host_ports or self.max_replicas)


def demand_of(task_spec: JsonObject, endpoint_spec: JsonObject, network_drivers: tuple[str, ...] = ()) -> Demand:
    """Return what a template asks for. `network_drivers` are those of its networks that Swarm does not come with."""
    reserved = dig(task_spec, "Resources", "Reservations") or {}
    placement = task_spec.get("Placement") or {}
    mounts = dig(task_spec, "ContainerSpec", "Mounts") or ()
    plugins = [("Network", driver) for driver in network_drivers]
    plugins += [("Volume", driver) for mount in mounts if (driver := _volume_driver(mount))]
    log_driver = str(dig(task_spec, "LogDriver", "Name") or "")
    fixed = Fixed(
        constraints=_constraints(placement.get("Constraints") or ()),
        platforms=tuple(platform_of(one) for one in placement.get("Platforms") or ()),
        plugins=tuple(plugins),
        log_driver="" if log_driver == "none" else log_driver,
        cluster_volumes=any(mount.get("Type") == "cluster" for mount in mounts),
    )
    return Demand(
        fixed=fixed,
        nano_cpus=reserved.get("NanoCPUs") or 0,
        memory_bytes=reserved.get("MemoryBytes") or 0,
        generic=tuple(_generic(reserved.get("GenericResources") or ())),
        host_ports=tuple(host_ports(endpoint_spec)),
        max_replicas=placement.get("MaxReplicas") or 0,
        spread=tuple(text for one in placement.get("Preferences") or () if (text := _spread(one))),
    )


def _constraints(texts: Iterable[str]) -> tuple[Constraint, ...] | None:
    try:
        return tuple(parse_constraint(text) for text in texts)
    except ValueError:
        return None


def platform_of(platform: JsonObject) -> Platform:
    """Return a platform with the architecture's name as Go has it."""
    architecture = str(platform.get("Architecture") or "")
    return _ARCHITECTURES.get(architecture, architecture), str(platform.get("OS") or "")


def _volume_driver(mount: JsonObject) -> str:
    if mount.get("Type") != "volume":
        return ""
    driver = str(dig(mount, "VolumeOptions", "DriverConfig", "Name") or "")
    return "" if driver == "local" else driver


def _generic(resources: Iterable[JsonObject]) -> list[tuple[str, int]]:
    asked: dict[str, int] = {}
    for resource in resources:
        if discrete := resource.get("DiscreteResourceSpec"):
            kind = str(discrete["Kind"])
            asked[kind] = asked.get(kind, 0) + int(discrete.get("Value", 0))  # Go leaves out a 0
        elif named := resource.get("NamedResourceSpec"):
            asked[str(named["Kind"])] = asked.get(str(named["Kind"]), 0) + 1
    return list(asked.items())


def host_ports(endpoint_spec: JsonObject) -> list[HostPort]:
    """Return the (protocol, port) pairs that a task takes on its node."""
    return [
        (port.get("Protocol", "tcp"), port["PublishedPort"])
        for port in endpoint_spec.get("Ports") or ()
        if port.get("PublishMode") == "host" and port.get("PublishedPort")
    ]


def _spread(preference: JsonObject) -> str:
    """Return a preference's label descriptor; "" for what Swarm ignores."""
    descriptor = str(dig(preference, "Spread", "SpreadDescriptor") or "")
    return descriptor if descriptor.lower().startswith((_NODE_LABELS, _ENGINE_LABELS)) else ""


def branch_reader(descriptor: str) -> Callable[[NodeRecord], str]:
    """Return what gives a node's branch for a label descriptor: the label's value, "" where it is missing."""
    if descriptor.lower().startswith(_NODE_LABELS):
        key = descriptor[len(_NODE_LABELS) :]
        return lambda node: str(node.labels.get(key, ""))
    key = descriptor[len(_ENGINE_LABELS) :]
    return lambda node: str((dig(node.description, "Engine", "Labels") or {}).get(key, ""))
