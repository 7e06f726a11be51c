"""Which nodes a task may run on, and the words for those where it may not. (facts, swarmkit.md 3.2)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reconciler.model.constraints import constraints_hold
from reconciler.model.json import dig
from reconciler.model.tables import Availability, NodeState, TaskRecord
from reconciler.orchestration.scheduler.load import NodeLoad, host_ports


@dataclass(frozen=True, slots=True)
class Filter:
    """`passes` says whether a node takes a task; `one` and `many` are the words for a failure, {} the number."""

    passes: Callable[[TaskRecord, NodeLoad], bool]
    one: str
    many: str

    def explain(self, nodes: int) -> str:
        return self.one if nodes == 1 else self.many.format(nodes)


def _is_ready(_task: TaskRecord, load: NodeLoad) -> bool:
    return load.node.state is NodeState.READY and load.node.availability is Availability.ACTIVE


def _has_resources(task: TaskRecord, load: NodeLoad) -> bool:
    reserved = dig(task.spec, "Resources", "Reservations") or {}
    cpus, memory = reserved.get("NanoCPUs") or 0, reserved.get("MemoryBytes") or 0
    generic = reserved.get("GenericResources") or ()
    fits_cpus = not cpus or cpus <= load.nano_cpus_free
    return fits_cpus and (not memory or memory <= load.memory_bytes_free) and not generic


def _meets_constraints(task: TaskRecord, load: NodeLoad) -> bool:
    return constraints_hold(dig(task.spec, "Placement", "Constraints") or (), load.node)


def _has_ports(task: TaskRecord, load: NodeLoad) -> bool:
    return not any(load.ports[port] for port in host_ports(task.endpoint_spec))


def _has_replicas_left(task: TaskRecord, load: NodeLoad) -> bool:
    limit = dig(task.spec, "Placement", "MaxReplicas") or 0
    return not limit or load.active_by_service[task.service_id] < limit


PIPELINE: Final = (
    Filter(_is_ready, "1 node not available for new tasks", "{} nodes not available for new tasks"),
    Filter(_has_resources, "insufficient resources on 1 node", "insufficient resources on {} nodes"),
    Filter(
        _meets_constraints,
        "scheduling constraints not satisfied on 1 node",
        "scheduling constraints not satisfied on {} nodes",
    ),
    Filter(_has_ports, "host-mode port already in use on 1 node", "host-mode port already in use on {} nodes"),
    Filter(_has_replicas_left, "max replicas per node limit exceed", "max replicas per node limit exceed"),
)
"""In this order; the first that fails is the reason. Platforms don't count: a process runs what its host can run."""


def failing_filter(task: TaskRecord, load: NodeLoad) -> Filter | None:
    """Return the first filter that keeps `task` off the node, or None where it may run."""
    return next((one for one in PIPELINE if not one.passes(task, load)), None)


def explain(failures: Counter[Filter]) -> str:
    """Return the reasons of all nodes in one text, the most frequent first; "" when there are no nodes."""
    return "; ".join(one.explain(nodes) for one, nodes in failures.most_common())
