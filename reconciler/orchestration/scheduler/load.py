"""What each node carries already. Kept from change to change, so that a look at all tasks is needed only once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeRecord
from reconciler.model.tables import Tables, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.scheduler.demand import Demand, HostPort, demand_of

FAILURES_MEMORY = timedelta(minutes=5)
FAILURES_THAT_COUNT = 5
"""From so many recent failures of a template on a node, nodes with fewer are preferred. (swarmkit maxFailures)"""

FAILURES_KEPT = 16
"""Failures remembered of one template on one node; beyond the number that counts, more make no difference."""

TEMPLATES_KEPT = 20_000
"""Templates whose demands are remembered. They are read again from the spec when they are asked for."""

SWARM_NETWORK_DRIVERS = ("overlay", "bridge", "host", "none", "null")
"""Drivers that every node has."""

TemplateKey = tuple[str, int]
"""Service and spec version: all tasks that share it ask for the same."""

Resource = tuple[str, str | int]
"""One generic resource: its kind, and the name of one (text) or how many (number)."""


def generic_resources(listed: Iterable[JsonObject]) -> list[Resource]:
    """Return the Engine API's GenericResources as pairs."""
    pairs: list[Resource] = []
    for one in listed:
        if named := one.get("NamedResourceSpec"):
            pairs.append((str(named.get("Kind", "")), str(named.get("Value", ""))))
        elif discrete := one.get("DiscreteResourceSpec"):
            pairs.append((str(discrete.get("Kind", "")), int(discrete.get("Value", 0))))
    return pairs


@dataclass(slots=True)
class NodeLoad:
    """One node with what its tasks take. Active tasks are those that shall run; ended ones take nothing.

    Of generic resources `counts` are those that are told in numbers; of those that have names, `names` are all that
    the node has and `names_taken` those that its tasks hold.
    """

    node: NodeRecord
    id: str
    nano_cpus_free: int = 0
    memory_bytes_free: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    names_taken: dict[str, list[str]] = field(default_factory=dict)
    active: int = 0
    ports: Counter[HostPort] = field(default_factory=Counter)

    @classmethod
    def empty(cls, node: NodeRecord) -> NodeLoad:
        resources = node.description.get("Resources") or {}
        load = cls(node, node.id, resources.get("NanoCPUs") or 0, resources.get("MemoryBytes") or 0)
        for kind, value in generic_resources(resources.get("GenericResources") or ()):
            if isinstance(value, int):
                load.counts[kind] = load.counts.get(kind, 0) + value
            else:
                load.names.setdefault(kind, []).append(value)
        return load

    def take(self, demand: Demand, resources: Iterable[Resource], sign: int = 1) -> None:
        """Take what a task reserves and holds (`sign` -1: give it back)."""
        self.nano_cpus_free -= sign * demand.nano_cpus
        self.memory_bytes_free -= sign * demand.memory_bytes
        for port in demand.host_ports:
            self.ports[port] += sign
        for kind, value in resources:
            if isinstance(value, int):
                self.counts[kind] = self.counts.get(kind, 0) - sign * value
            elif sign > 0:
                self.names_taken.setdefault(kind, []).append(value)
            else:
                self.names_taken[kind].remove(value)

    def available(self, kind: str) -> int:
        return self.counts.get(kind, 0) + len(self._free_names(kind))

    def _free_names(self, kind: str) -> list[str]:
        taken = self.names_taken.get(kind, ())
        return [name for name in self.names.get(kind, ()) if name not in taken]

    def choose(self, demand: Demand) -> tuple[Resource, ...]:
        """Return the generic resources to give a task that fits: named ones first, in their order."""
        chosen: list[Resource] = []
        for kind, count in demand.generic:
            names = self._free_names(kind)[:count]
            chosen += [(kind, name) for name in names]
            if count > len(names):
                chosen.append((kind, count - len(names)))
        return tuple(chosen)


class _Held(msgspec.Struct, frozen=True, gc=False):
    """What a task takes on its node, to be given back in the same amount."""

    load: NodeLoad
    service_id: str
    demand: Demand
    resources: tuple[Resource, ...]
    active: bool


class Loads:
    """All nodes' loads, in the order in which nodes joined; `active_by_service` is {service: {node: active tasks}}."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.by_node: dict[str, NodeLoad] = {}
        self.active_by_service: dict[str, dict[str, int]] = {}
        self._held: dict[str, _Held] = {}
        self._demands: dict[TemplateKey, Demand] = {}
        self.failures: dict[TemplateKey, dict[str, list[datetime]]] = {}

    def demand(self, task: TaskRecord) -> Demand:
        """Return what `task` asks for, read from its spec when it is the first of its template."""
        key = (task.service_id, task.spec_version)
        found = self._demands.get(key)
        if found is None:
            if len(self._demands) >= TEMPLATES_KEPT:
                self._demands.clear()
            found = self._demands[key] = demand_of(task.spec, task.endpoint_spec, self._foreign_drivers(task))
        return found

    def _foreign_drivers(self, task: TaskRecord) -> tuple[str, ...]:
        networks = (self._tables.networks.get(one.get("Target", "")) for one in task.spec.get("Networks") or ())
        drivers = (str(network.spec.get("Driver", "")) for network in networks if network is not None)
        return tuple(driver for driver in drivers if driver not in SWARM_NETWORK_DRIVERS)

    def put_node(self, node_id: str) -> None:
        """Take over how a node is now, or that it has gone."""
        node, known = self._tables.nodes.get(node_id), self.by_node.get(node_id)
        if node is None:
            self.by_node.pop(node_id, None)
            return
        if known is not None and known.node.description.get("Resources") == node.description.get("Resources"):
            known.node = node
            return
        load = self.by_node[node_id] = NodeLoad.empty(node)
        if known is None:
            return
        load.active = known.active
        for task_id, held in list(self._held.items()):
            if held.load is known:
                load.take(held.demand, held.resources)
                self._held[task_id] = _Held(load, held.service_id, held.demand, held.resources, held.active)

    def put_task(self, task: TaskRecord) -> None:
        """Count `task` as it is now on its node, or no more where it has ended."""
        counts = task.node_id and TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING
        if not counts or (load := self.by_node.get(task.node_id)) is None:
            self.drop_task(task.id)
            return
        held = self._held.get(task.id)
        if held is not None:
            if held.load is load and held.active is task.is_live:
                return
            self.drop_task(task.id)
        self._hold(task.id, _Held(load, task.service_id, self.demand(task), task.generic_resources, task.is_live))

    def assume(self, task: TaskRecord, load: NodeLoad, demand: Demand, resources: tuple[Resource, ...] = ()) -> None:
        """Count a task on a node that it is about to be assigned to."""
        self._hold(task.id, _Held(load, task.service_id, demand, resources, active=True))

    def _hold(self, task_id: str, held: _Held) -> None:
        self._held[task_id] = held
        if not held.demand.is_unlimited:
            held.load.take(held.demand, held.resources)
        if held.active:
            held.load.active += 1
            active = self.active_by_service.setdefault(held.service_id, {})
            node_id = held.load.id
            active[node_id] = active.get(node_id, 0) + 1

    def drop_task(self, task_id: str) -> None:
        """Count a task no more."""
        held = self._held.pop(task_id, None)
        if held is None:
            return
        if not held.demand.is_unlimited:
            held.load.take(held.demand, held.resources, -1)
        if held.active:
            held.load.active -= 1
            active, node_id = self.active_by_service[held.service_id], held.load.id
            active[node_id] -= 1
            if not active[node_id]:
                del active[node_id]
                if not active:
                    del self.active_by_service[held.service_id]

    def note_failure(self, task: TaskRecord) -> None:
        """Remember that a placed task failed, for as long as that counts."""
        if task.node_id not in self.by_node or task.status.state not in (TaskState.FAILED, TaskState.REJECTED):
            return
        by_node = self.failures.setdefault((task.service_id, task.spec_version), {})
        times = by_node.setdefault(task.node_id, [])
        times.append(task.status.timestamp)
        del times[:-FAILURES_KEPT]

    def recent_failures(self, template: TemplateKey, now: datetime) -> dict[str, int]:
        """Return {node id: recent failures} of a template, where there are so many that they count."""
        oldest = now - FAILURES_MEMORY
        counted = {
            node_id: sum(1 for at in times if at > oldest) for node_id, times in self.failures.get(template, {}).items()
        }
        return {node_id: failures for node_id, failures in counted.items() if failures >= FAILURES_THAT_COUNT}

    def forget_failures(self, service_id: str) -> None:
        """Forget the failures of a service that is gone."""
        for key in [key for key in self.failures if key[0] == service_id]:
            del self.failures[key]
