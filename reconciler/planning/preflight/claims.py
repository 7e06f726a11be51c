"""What a service's spec asks of the swarm, as far as placing its tasks goes."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable

import msgspec

from reconciler.model.json import JsonMapping, JsonObject, dig

HostPort = tuple[str, int]
"""(protocol, published port)"""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What nodes call themselves, by the registries' names. (swarmkit scheduler/filter.go)"""

IN_EVERY_ENGINE = ("", "local")
"""Volume drivers that need no plugin."""

ResolveDriver = Callable[[str], str | None]
"""Return the driver of the network with this name or id, None when unknown."""


class Mode(enum.Enum):
    """How a service's tasks are counted."""

    REPLICATED = "Replicated"
    GLOBAL = "Global"
    REPLICATED_JOB = "ReplicatedJob"
    GLOBAL_JOB = "GlobalJob"

    @property
    def is_job(self) -> bool:
        return self in (Mode.REPLICATED_JOB, Mode.GLOBAL_JOB)

    @property
    def is_global(self) -> bool:
        return self in (Mode.GLOBAL, Mode.GLOBAL_JOB)


class Needs(msgspec.Struct, frozen=True):
    """Of a claim, what a node has or has not, whatever runs on it. Many services need the same."""

    constraints: tuple[str, ...] = ()
    platforms: tuple[tuple[str, str], ...] = ()
    """(OS, architecture) pairs, "" for any; a node must be one of them."""
    plugins: tuple[tuple[str, str], ...] = ()
    """(type, name) pairs."""


class Claim(msgspec.Struct, frozen=True):
    """What one task takes of its node. `max_replicas` 0 means no limit; limits of use (`Limits`) don't count."""

    needs: Needs = Needs()
    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: tuple[tuple[str, int], ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    max_replicas: int = 0

    @property
    def takes_room(self) -> bool:
        """Return whether a node that suits the claim may be too full for it."""
        return bool(self.nano_cpus or self.memory_bytes or self.generic or self.host_ports or self.max_replicas)


def mode_and_count(spec: JsonMapping) -> tuple[Mode, int]:
    """Return a service's mode and how many tasks it wants at a time; 0 for one on each node.

    Source: the API's defaults, swarmkit.md 2.4.
    """
    for mode in Mode:
        body = dig(spec, "Mode", mode.value)
        if body is None:
            continue
        if mode.is_global:
            return mode, 0
        if mode is Mode.REPLICATED:
            return mode, _count(body.get("Replicas"))
        at_once = _count(body.get("MaxConcurrent"))
        total = body.get("TotalCompletions")
        return mode, at_once if total is None else min(at_once, int(total))
    return Mode.REPLICATED, 1


def _count(given: int | None) -> int:
    return 1 if given is None else int(given)


def claim_of(spec: JsonMapping, driver_of: ResolveDriver) -> Claim:
    """Return what one task of the service `spec` takes."""
    template = spec.get("TaskTemplate") or {}
    placement = template.get("Placement") or {}
    nano_cpus, memory_bytes, generic = reserved(template)
    return Claim(
        Needs(
            tuple(placement.get("Constraints") or ()),
            tuple((_lower(one.get("OS")), architecture(one)) for one in placement.get("Platforms") or ()),
            tuple(_plugins(template, driver_of)),
        ),
        nano_cpus,
        memory_bytes,
        generic,
        host_ports(spec),
        placement.get("MaxReplicas") or 0,
    )


def reserved(template: JsonMapping) -> tuple[int, int, tuple[tuple[str, int], ...]]:
    """Return the CPUs (in 1e-9), bytes of memory and generic resources that a task template reserves."""
    asked = dig(template, "Resources", "Reservations") or {}
    generic = tuple(sorted(counted(asked.get("GenericResources") or ()).items()))
    return asked.get("NanoCPUs") or 0, asked.get("MemoryBytes") or 0, generic


def counted(resources: Iterable[JsonObject]) -> dict[str, int]:
    """Return {kind: how many} of the API's list of generic resources; named ones count one each."""
    totals: dict[str, int] = {}
    for resource in resources:
        discrete, named = resource.get("DiscreteResourceSpec"), resource.get("NamedResourceSpec")
        if discrete:
            kind, amount = str(discrete.get("Kind")), int(discrete.get("Value") or 0)
        elif named:
            kind, amount = str(named.get("Kind")), 1
        else:
            continue
        totals[kind] = totals.get(kind, 0) + amount
    return totals


def architecture(platform: JsonMapping) -> str:
    """Return a platform's architecture by the name that registries use, "" for any."""
    given = _lower(platform.get("Architecture"))
    return ARCHITECTURES.get(given, given)


def _lower(given: str | None) -> str:
    return (given or "").lower()


def published(spec: JsonMapping, mode: str) -> tuple[HostPort, ...]:
    """Return the fixed ports that a service publishes in `mode`: "host" or "ingress"."""
    return tuple(
        (_lower(port.get("Protocol")) or "tcp", port["PublishedPort"])
        for port in dig(spec, "EndpointSpec", "Ports") or ()
        if (port.get("PublishMode") or "ingress") == mode and port.get("PublishedPort")
    )


def host_ports(spec: JsonMapping) -> tuple[HostPort, ...]:
    """Return the fixed ports that each task of a service takes on its node."""
    return published(spec, "host")


def _plugins(template: JsonMapping, driver_of: ResolveDriver) -> Iterable[tuple[str, str]]:
    for attachment in template.get("Networks") or ():
        driver = driver_of(attachment.get("Target", ""))
        if driver:
            yield "Network", driver
    for mount in dig(template, "ContainerSpec", "Mounts") or ():
        volume_driver = dig(mount, "VolumeOptions", "DriverConfig", "Name") or ""
        if mount.get("Type") == "volume" and volume_driver not in IN_EVERY_ENGINE:
            yield "Volume", volume_driver
    log_driver = dig(template, "LogDriver", "Name") or ""
    if log_driver not in ("", "none"):
        yield "Log", log_driver
