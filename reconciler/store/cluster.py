"""The swarm itself: its settings and join tokens."""

from __future__ import annotations

import ipaddress

from msgspec.structs import replace

from reconciler.model.commands import Applied, InitCluster, ObjectChange, RotateJoinToken, UpdateCluster
from reconciler.model.errors import ErrorCode
from reconciler.model.json import dig
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.tables import INGRESS_NETWORK, PREDEFINED_LABEL, ClusterRecord, JoinTokens, NetworkRecord
from reconciler.store.defaults import HOUR_NS, complete_cluster
from reconciler.store.draft import Draft
from reconciler.store.networks import complete_network
from reconciler.store.refusal import Refusal, invalid, out_of_sequence

SUBNET_SIZE_MAX = 29


def _present(draft: Draft) -> ClusterRecord:
    if draft.cluster is None:
        raise Refusal(ErrorCode.NOT_IN_A_SWARM, "This node is not a swarm manager.", rpc="")
    return draft.cluster


def init(draft: Draft, command: InitCluster) -> Applied:
    """Begin a swarm with its ingress network (10.0.0.0/24) and the hidden bridge and host."""
    if draft.cluster is not None:
        raise invalid("This node is already part of a swarm.", rpc="")
    stamp = (draft.index, command.at, command.at)
    ingress_id, bridge_id, host_id = command.network_ids
    cluster = ClusterRecord(
        command.id,
        *stamp,
        complete_cluster(command.spec),
        command.join_tokens,
        _checked_pools(command),
        command.subnet_size,
        command.data_path_port,
    )
    draft.cluster = cluster
    ingress = complete_network(
        draft, {"Name": INGRESS_NETWORK, "Driver": "overlay", "Ingress": True, "Labels": {}, "Options": {}}
    )
    draft.networks[ingress_id] = NetworkRecord(ingress_id, *stamp, ingress)
    for network_id, name in ((bridge_id, "bridge"), (host_id, "host")):
        spec = {"Name": name, "Driver": name, "Labels": {PREDEFINED_LABEL: "true"}, "Options": {}}
        draft.networks[network_id] = NetworkRecord(network_id, *stamp, spec)
    return Applied(draft.index, command.id)


def _checked_pools(command: InitCluster) -> tuple[str, ...]:
    """Return the address pools, none for the default. Refuse what no subnet can be cut from, in the words of
    `docker swarm init`."""
    if not 0 < command.subnet_size <= SUBNET_SIZE_MAX:
        raise invalid(f"subnet size is out of range: {command.subnet_size}", rpc="")
    for text in command.default_addr_pool:
        try:
            pool = ipaddress.IPv4Network(text)
        except ValueError:
            raise invalid(f"invalid base pool {text}: invalid CIDR address: {text}", rpc="") from None
        if pool.prefixlen > command.subnet_size:
            size = command.subnet_size
            raise invalid(f'invalid CIDR: "{text}". Subnet size is too small for pool: {size}', rpc="")
    return command.default_addr_pool


def update(draft: Draft, command: UpdateCluster) -> Applied:
    cluster = _present(draft)
    if cluster.version != command.version:
        raise out_of_sequence()
    if command.spec.get("Name", "default") != "default":
        raise invalid('swarm spec must be named "default"', rpc="")
    expiry = dig(command.spec, "CAConfig", "NodeCertExpiry")
    if isinstance(expiry, int) and 0 < expiry < HOUR_NS:
        raise invalid("minimum certificate expiry time is: 1h0m0s")
    spec = command.spec if "Name" in command.spec else {"Name": "default", **command.spec}
    draft.cluster = replace(cluster, version=draft.index, updated_at=command.at, spec=spec)
    return _changed(draft, cluster.id)


def rotate_join_token(draft: Draft, command: RotateJoinToken) -> Applied:
    cluster = _present(draft)
    tokens = cluster.join_tokens
    if command.role is NodeRole.MANAGER:
        renewed = JoinTokens(worker=tokens.worker, manager=command.token)
    else:
        renewed = JoinTokens(worker=command.token, manager=tokens.manager)
    draft.cluster = replace(cluster, version=draft.index, updated_at=command.at, join_tokens=renewed)
    return _changed(draft, cluster.id)


def _changed(draft: Draft, cluster_id: str) -> Applied:
    return Applied(draft.index, cluster_id, (ObjectChange(Kind.SWARM, "update", cluster_id, "default"),))
