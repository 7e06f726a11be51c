"""What each node carries already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.model.json import JsonObject, dig
from reconciler.model.tables import NodeRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState

FAILURES_MEMORY = timedelta(minutes=5)

HostPort = tuple[str, int]


def host_ports(endpoint_spec: JsonObject) -> Iterator[HostPort]:
    """Yield the (protocol, port) pairs that a task takes on its node."""
    for port in endpoint_spec.get("Ports") or ():
        if port.get("PublishMode") == "host" and port.get("PublishedPort"):
            yield port.get("Protocol", "tcp"), port["PublishedPort"]


@dataclass(slots=True)
class NodeLoad:
    """One node with what its tasks take. Active tasks are those that shall run; ended ones take nothing."""

    node: NodeRecord
    nano_cpus_free: int
    memory_bytes_free: int
    active: int = 0
    active_by_service: Counter[str] = field(default_factory=Counter)
    ports: Counter[HostPort] = field(default_factory=Counter)
    failures: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Recent failures by (service, spec version)."""

    @classmethod
    def empty(cls, node: NodeRecord) -> NodeLoad:
        resources = node.description.get("Resources") or {}
        return cls(node, resources.get("NanoCPUs") or 0, resources.get("MemoryBytes") or 0)

    def add(self, task: TaskRecord) -> None:
        reserved = dig(task.spec, "Resources", "Reservations") or {}
        self.nano_cpus_free -= reserved.get("NanoCPUs") or 0
        self.memory_bytes_free -= reserved.get("MemoryBytes") or 0
        self.ports.update(host_ports(task.endpoint_spec))
        if task.is_live:
            self.active += 1
            self.active_by_service[task.service_id] += 1


def node_loads(tables: Tables, now: datetime) -> dict[str, NodeLoad]:
    """Return {node id: load} of every node, in the order in which nodes joined."""
    loads = {node.id: NodeLoad.empty(node) for node in tables.nodes.values()}
    for task in tables.tasks.values():
        load = loads.get(task.node_id)
        if load is None or task.state < TaskState.ASSIGNED:
            continue
        if not task.has_ended:
            load.add(task)
        elif task.state in (TaskState.FAILED, TaskState.REJECTED) and task.status.timestamp > now - FAILURES_MEMORY:
            load.failures[task.service_id, task.spec_version] += 1
    return loads
