"""Which nodes a task may run on, and the words for those where it may not. (facts, swarmkit.md 3.2)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from reconciler.model.json import dig
from reconciler.orchestration.scheduler.demand import Demand, Plugin, platform_of
from reconciler.orchestration.scheduler.load import NodeLoad


class Filter(msgspec.Struct, frozen=True):
    """`passes` says whether a node takes one more task of a demand, of whose service `here` tasks are active there.

    `one` and `many` are the words for a failure, {} the number of nodes.
    """

    passes: Callable[[Demand, NodeLoad, int], bool]
    one: str
    many: str

    def explain(self, nodes: int) -> str:
        return self.one if nodes == 1 else self.many.format(nodes)


def _is_ready(_demand: Demand, load: NodeLoad, _here: int) -> bool:
    return load.node.takes_tasks


def _has_resources(demand: Demand, load: NodeLoad, _here: int) -> bool:
    if demand.nano_cpus and demand.nano_cpus > load.nano_cpus_free:
        return False
    if demand.memory_bytes and demand.memory_bytes > load.memory_bytes_free:
        return False
    # Who asks for 0 of a kind asks for the kind; SwarmKit removes one that is used up from what a node has.
    return all(load.available(kind) >= max(count, 1) for kind, count in demand.generic)


def _has_plugins(demand: Demand, load: NodeLoad, _here: int) -> bool:
    fixed = demand.fixed
    if not fixed.plugins and not fixed.log_driver:
        return True
    engine = dig(load.node.description, "Engine")
    if not engine:
        return True  # it has not told yet what it has
    present: list[Plugin] = [(str(one.get("Type")), str(one.get("Name"))) for one in engine.get("Plugins") or ()]
    if any(not _is_among(present, plugin) for plugin in fixed.plugins):
        return False
    tells_logs = any(kind == "Log" for kind, _ in present)
    return not fixed.log_driver or not tells_logs or _is_among(present, ("Log", fixed.log_driver))


def _is_among(present: list[Plugin], plugin: Plugin) -> bool:
    kind, name = plugin
    return plugin in present or (kind, f"{name}:latest") in present


def _meets_constraints(demand: Demand, load: NodeLoad, _here: int) -> bool:
    constraints = demand.fixed.constraints
    return constraints is not None and all(constraint.holds(load.node) for constraint in constraints)


def _has_platform(demand: Demand, load: NodeLoad, _here: int) -> bool:
    wanted = demand.fixed.platforms
    if not wanted:
        return True
    architecture, system = platform_of(dig(load.node.description, "Platform") or {})
    return any(one in ("", architecture) and other in ("", system) for one, other in wanted)


def _has_ports(demand: Demand, load: NodeLoad, _here: int) -> bool:
    return not any(load.ports.get(port) for port in demand.host_ports)


def _has_replicas_left(demand: Demand, _load: NodeLoad, here: int) -> bool:
    return not demand.max_replicas or here < demand.max_replicas


def _has_volumes(demand: Demand, _load: NodeLoad, _here: int) -> bool:
    """There are no cluster volumes in the embedded swarm: what mounts one finds no node, in Swarm's words."""
    return not demand.fixed.cluster_volumes


PIPELINE: Final = (
    Filter(_is_ready, "1 node not available for new tasks", "{} nodes not available for new tasks"),
    Filter(_has_resources, "insufficient resources on 1 node", "insufficient resources on {} nodes"),
    Filter(_has_plugins, "missing plugin on 1 node", "missing plugin on {} nodes"),
    Filter(
        _meets_constraints,
        "scheduling constraints not satisfied on 1 node",
        "scheduling constraints not satisfied on {} nodes",
    ),
    Filter(_has_platform, "unsupported platform on 1 node", "unsupported platform on {} nodes"),
    Filter(_has_ports, "host-mode port already in use on 1 node", "host-mode port already in use on {} nodes"),
    Filter(_has_replicas_left, "max replicas per node limit exceed", "max replicas per node limit exceed"),
    Filter(
        _has_volumes,
        "cannot fulfill requested CSI volume mounts on 1 node",
        "cannot fulfill requested CSI volume mounts on {} nodes",
    ),
)
"""In this order; the first that fails is the reason."""

_FIXED: Final = tuple(one.passes for one in (PIPELINE[0], *PIPELINE[2:5], PIPELINE[7]))


def passes_fixed(demand: Demand, load: NodeLoad) -> bool:
    """Return whether a node passes the filters that look at nothing but the node itself."""
    return all(passes(demand, load, 0) for passes in _FIXED)


def failing_filter(demand: Demand, load: NodeLoad, here: int) -> Filter | None:
    """Return the first filter that keeps a task off the node, or None where it may run."""
    return next((one for one in PIPELINE if not one.passes(demand, load, here)), None)


def has_room(demand: Demand, load: NodeLoad, here: int) -> bool:
    """Return whether one more task fits, on a node that passes the fixed filters."""
    if demand.max_replicas and here >= demand.max_replicas:
        return False
    return _has_resources(demand, load, here) and (not demand.host_ports or _has_ports(demand, load, here))


def explain(failures: Counter[Filter]) -> str:
    """Return the reasons of all nodes in one text, "" when there are none.

    The most frequent one comes first; of equals the one whose filter comes first.
    """
    told = sorted((one for one in PIPELINE if failures[one]), key=lambda one: -failures[one])
    return "; ".join(one.explain(failures[one]) for one in told)
