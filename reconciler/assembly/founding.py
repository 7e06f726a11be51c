"""What the first transaction of a swarm holds: the cluster, its first node, and what its certificates rest on."""

from __future__ import annotations

from datetime import datetime

from reconciler.adapters.clock import RandomIds
from reconciler.assembly.init_request import InitRequest
from reconciler.assembly.node_state import NodeState
from reconciler.assembly.trust import Trust
from reconciler.model.commands import AddNode, Command, InitCluster
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole


def first_commands(
    node: NodeState, wanted: InitRequest, description: JsonObject, trust: Trust, ids: RandomIds, now: datetime
) -> list[Command]:
    """Return the commands that begin a swarm of which `node` is the first manager."""
    spec: JsonObject = {"Labels": {}, "Role": str(NodeRole.MANAGER), "Availability": str(wanted.availability)}
    return [
        InitCluster(
            at=now,
            id=node.cluster_id,
            spec=wanted.spec,
            join_tokens=trust.tokens(),
            network_ids=(ids.new_id(), ids.new_id(), ids.new_id()),
            default_addr_pool=wanted.pools,
            subnet_size=wanted.subnet_size,
            data_path_port=wanted.data_path_port,
        ),
        AddNode(at=now, id=node.node_id, spec=spec, description=description, address=node.address),
        trust.remembered(now),
    ]
