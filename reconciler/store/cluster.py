"""The swarm itself: its settings and join tokens."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.commands import Applied, InitCluster, ObjectChange, RotateJoinToken, UpdateCluster
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.tables import INGRESS_NETWORK, PREDEFINED_LABEL, ClusterRecord, JoinTokens, NetworkRecord, Tables
from reconciler.store.defaults import complete_cluster
from reconciler.store.networks import complete_network
from reconciler.store.refusal import Refusal, invalid, out_of_sequence


def _present(tables: Tables) -> ClusterRecord:
    if tables.cluster is None:
        raise Refusal(ErrorCode.NOT_IN_A_SWARM, "This node is not a swarm manager.", rpc="")
    return tables.cluster


def init(tables: Tables, command: InitCluster) -> Applied:
    """Begin a swarm with its ingress network (10.0.0.0/24) and the hidden bridge and host."""
    if tables.cluster is not None:
        raise invalid("This node is already part of a swarm.", rpc="")
    stamp = (tables.index, command.at, command.at)
    ingress_id, bridge_id, host_id = command.network_ids
    cluster = ClusterRecord(command.id, *stamp, complete_cluster(command.spec), command.join_tokens)
    ingress = complete_network(
        tables, {"Name": INGRESS_NETWORK, "Driver": "overlay", "Ingress": True, "Labels": {}, "Options": {}}
    )
    tables.cluster = cluster
    tables.networks[ingress_id] = NetworkRecord(ingress_id, *stamp, ingress)
    for network_id, name in ((bridge_id, "bridge"), (host_id, "host")):
        spec = {"Name": name, "Driver": name, "Labels": {PREDEFINED_LABEL: "true"}, "Options": {}}
        tables.networks[network_id] = NetworkRecord(network_id, *stamp, spec)
    return Applied(tables.index, command.id)


def update(tables: Tables, command: UpdateCluster) -> Applied:
    cluster = _present(tables)
    if cluster.version != command.version:
        raise out_of_sequence()
    if command.spec.get("Name", "default") != "default":
        raise invalid('swarm spec must be named "default"', rpc="")
    spec = command.spec if "Name" in command.spec else {"Name": "default", **command.spec}
    tables.cluster = replace(cluster, version=tables.index, updated_at=command.at, spec=spec)
    return _changed(tables, cluster.id)


def rotate_join_token(tables: Tables, command: RotateJoinToken) -> Applied:
    cluster = _present(tables)
    tokens = cluster.join_tokens
    if command.role is NodeRole.MANAGER:
        renewed = JoinTokens(worker=tokens.worker, manager=command.token)
    else:
        renewed = JoinTokens(worker=command.token, manager=tokens.manager)
    tables.cluster = replace(cluster, version=tables.index, updated_at=command.at, join_tokens=renewed)
    return _changed(tables, cluster.id)


def _changed(tables: Tables, cluster_id: str) -> Applied:
    return Applied(tables.index, cluster_id, (ObjectChange(Kind.SWARM, "update", cluster_id, "default"),))
