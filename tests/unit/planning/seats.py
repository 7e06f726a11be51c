"""Small swarms with room on their nodes, services that want some of it, and tasks that have some: in words."""

from __future__ import annotations

from typing import Any

from reconciler.model import labels
from reconciler.model.errors import Problem
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask
from tests.unit.planning.builders import actual, desired, observed, planned, wanted

CPU = 1_000_000_000
GIB = 1 << 30


def seat(
    name: str,
    *,
    cpus: int = 4,
    gib: int = 8,
    labels: dict[str, str] | None = None,
    availability: str = "active",
    state: str = "ready",
    arch: str = "x86_64",
    plugins: tuple[tuple[str, str], ...] = (("Network", "overlay"), ("Volume", "local")),
    generic: tuple[JsonObject, ...] = (),
) -> ObservedObject:
    """A worker as an engine describes it."""
    spec = {"Role": "worker", "Availability": availability, "Labels": labels or {}}
    description = {
        "Hostname": name,
        "Platform": {"OS": "linux", "Architecture": arch},
        "Resources": {"NanoCPUs": cpus * CPU, "MemoryBytes": gib * GIB, "GenericResources": list(generic)},
        "Engine": {"Plugins": [{"Type": kind, "Name": plugin} for kind, plugin in plugins]},
    }
    raw = {"Spec": spec, "Description": description, "Status": {"State": state, "Addr": "10.9.0.1"}}
    return ObservedObject(Kind.NODE, f"id-{name}", name, 5, spec, raw)


def service(
    name: str = "web_api",
    *,
    replicas: int | None = 1,
    cpus: float = 0,
    gib: float = 0,
    generic: int = 0,
    placement: JsonObject | None = None,
    ports: tuple[JsonObject, ...] = (),
    image: str = "app:1",
    networks: tuple[str, ...] = (),
    **fields: Any,
) -> JsonObject:
    """A create body; `replicas` None makes it global, and `fields` are its own top-level fields."""
    mode: JsonObject = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    reserved: JsonObject = {}
    if cpus:
        reserved["NanoCPUs"] = int(cpus * CPU)
    if gib:
        reserved["MemoryBytes"] = int(gib * GIB)
    if generic:
        reserved["GenericResources"] = [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": generic}}]
    return {
        "Name": name,
        "Labels": {labels.STACK_NAMESPACE: "web"},
        "Mode": mode,
        "TaskTemplate": {
            "ContainerSpec": {"Image": image, "Labels": {labels.STACK_NAMESPACE: "web"}},
            "Networks": [{"Target": network} for network in networks],
            "Placement": placement or {},
            "Resources": {"Reservations": reserved} if reserved else {},
        },
        "EndpointSpec": {"Ports": list(ports)} if ports else {},
        **fields,
    }


def host_port(number: int, mode: str = "host") -> JsonObject:
    return {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": number, "PublishMode": mode}


def running(
    spec: JsonObject, *hostnames: str, owner: str | None = None, **raw: Any
) -> tuple[ObservedObject, list[ObservedTask]]:
    """The service as it runs, one task on each of `hostnames`; "" is a task that has no node yet."""
    stored = {**spec, "Labels": {**spec["Labels"], **({labels.OWNER: owner} if owner else {})}}
    found = observed(Kind.SERVICE, stored, **raw)
    everywhere = "Global" in spec["Mode"]
    tasks = [
        a_task(found, hostname, slot=0 if everywhere else number) for number, hostname in enumerate(hostnames, start=1)
    ]
    return found, tasks


def a_task(found: ObservedObject, hostname: str, *, slot: int, **fields: Any) -> ObservedTask:
    raw = {
        "ID": f"{found.name}.{slot}.{hostname}",
        "ServiceID": found.id,
        "NodeID": f"id-{hostname}" if hostname else "",
        "Slot": slot,
        "Spec": found.spec["TaskTemplate"],
        "Status": {"State": "running" if hostname else "pending"},
        "DesiredState": "running",
        **fields,
    }
    return ObservedTask.from_api(raw, up_to_date=True)


def warned(
    specs: list[JsonObject],
    seats: list[ObservedObject],
    *there: tuple[ObservedObject, list[ObservedTask]],
    networks: list[JsonObject] | None = None,
    live: list[ObservedObject] | None = None,
    swarm: JsonObject | None = None,
    **fields: Any,
) -> list[Problem]:
    """What the pre-flight says of a plan for `specs` on the nodes `seats`, where the services `there` run already.

    `networks` are declared as well, `live` are other objects of the swarm, `swarm` is what its own answer tells,
    `fields` belong to the desired state.
    """
    objects = [wanted(Kind.NETWORK, one) for one in networks or []] + [wanted(Kind.SERVICE, one) for one in specs]
    running_there, tasks = [found for found, _ in there], tuple(task for _, tasks in there for task in tasks)
    cluster = actual(*seats, *(live or []), *running_there, tasks=tasks, swarm_fields=swarm or {})
    return list(planned(desired(*objects, **fields), cluster).unplaceable)
