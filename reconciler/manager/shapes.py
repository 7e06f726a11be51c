"""Records in the Engine API's JSON. Answers are copies: whoever gets one may change it. (facts, swarmkit.md 7.6)

Not shown in this version: TLSInfo.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime

import msgspec

from reconciler.model.addresses import address_ranges, dotted
from reconciler.model.json import JsonObject, dig
from reconciler.model.nodes import NodeRecord
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.tables import (
    ClusterRecord,
    ConfigRecord,
    NetworkRecord,
    SecretRecord,
    ServiceRecord,
    Tables,
    TaskRecord,
    UpdateStatus,
)
from reconciler.model.tasks import ObservedTask
from reconciler.orchestration.dirty import is_dirty

MANAGER_PORT = 2377
CONTAINERS = ("Runtime", "container")
"""What a service's template tells of its runtime, and a task does not."""
MEMBERS = "raft-member"
"""Namespace of what the store's members record: node id to [host, port]. (adapters.raft.addresses)"""


def timestamp(at: datetime) -> str:
    """Return RFC 3339 in UTC, as the API writes times."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _head(record: ClusterRecord | NodeRecord | SecretRecord | ConfigRecord | ServiceRecord | TaskRecord) -> JsonObject:
    return {
        "ID": record.id,
        "Version": {"Index": record.version},
        "CreatedAt": timestamp(record.created_at),
        "UpdatedAt": timestamp(record.updated_at),
    }


def _observed(kind: Kind, record_id: str, name: str, version: int, raw: JsonObject) -> ObservedObject:
    return ObservedObject(kind, record_id, name, version, copy.deepcopy(raw["Spec"]), copy.deepcopy(raw))


def swarm_object(cluster: ClusterRecord) -> ObservedObject:
    """Return the swarm, without its join tokens."""
    raw = {
        **_head(cluster),
        "Spec": cluster.spec,
        "RootRotationInProgress": False,
        "DefaultAddrPool": list(cluster.default_addr_pool) or None,
        "SubnetSize": cluster.subnet_size,
        "DataPathPort": cluster.data_path_port,
    }
    return _observed(Kind.SWARM, cluster.id, str(cluster.spec.get("Name", "default")), cluster.version, raw)


def node_object(node: NodeRecord, manager_address: str = "") -> ObservedObject:
    """Return a node. `manager_address` is where the store's member of a manager is recorded to be, "" for nowhere."""
    status: JsonObject = {"State": str(node.state), "Addr": node.address}
    if node.message:
        status["Message"] = node.message
    raw = {**_head(node), "Spec": node.spec, "Description": node.description, "Status": status}
    if node.role is NodeRole.MANAGER:
        manager: JsonObject = {"Reachability": "reachable", "Addr": manager_address or f"{node.address}:{MANAGER_PORT}"}
        raw["ManagerStatus"] = {"Leader": True, **manager} if node.is_leader else manager
    return _observed(Kind.NODE, node.id, node.hostname, node.version, raw)


def manager_address(tables: Tables, node_id: str) -> str:
    """Return HOST:PORT of the store's member on a node, as its member has recorded it; "" if it has not."""
    record = tables.records.get(f"{MEMBERS}/{node_id}")
    if record is None:
        return ""
    try:
        host, port = msgspec.msgpack.decode(record.value, type=tuple[str, int])
    except msgspec.MsgspecError:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def network_object(network: NetworkRecord) -> ObservedObject:
    """Return a network; it has no version, and its spec is the answer's own top-level fields. Beside those it has
    NodeAddresses, {node id: its address for balancing}, of which an engine shows a node's own alone."""
    spec = network.spec
    raw: JsonObject = copy.deepcopy(
        {
            "Name": network.name,
            "Id": network.id,
            "Created": timestamp(network.created_at),
            "Scope": "swarm",
            "Driver": spec.get("Driver", "overlay"),
            "EnableIPv4": spec.get("EnableIPv4", True),
            "EnableIPv6": bool(spec.get("EnableIPv6")),
            "IPAM": spec.get("IPAM") or {"Driver": "default", "Options": None, "Config": []},
            "Internal": bool(spec.get("Internal")),
            "Attachable": bool(spec.get("Attachable")),
            "Ingress": bool(spec.get("Ingress")),
            "ConfigFrom": spec.get("ConfigFrom") or {"Network": ""},
            "ConfigOnly": bool(spec.get("ConfigOnly")),
            "Containers": None,
            "Options": spec.get("Options") or {},
            "Labels": spec.get("Labels") or {},
        }
    )
    ranges = address_ranges(network)
    of_nodes = {
        node_id: next((one.text(number) for one in ranges if one.first <= number <= one.last), dotted(number))
        for node_id, number in network.node_addresses.items()
    }
    shown = {**raw, "NodeAddresses": of_nodes}
    return ObservedObject(Kind.NETWORK, network.id, network.name, 0, copy.deepcopy(raw), shown)


def secret_object(secret: SecretRecord) -> ObservedObject:
    """Return a secret without its Data, which nobody gets back."""
    spec = {key: value for key, value in secret.spec.items() if key != "Data"}
    return _observed(Kind.SECRET, secret.id, secret.name, secret.version, {**_head(secret), "Spec": spec})


def config_object(config: ConfigRecord) -> ObservedObject:
    return _observed(Kind.CONFIG, config.id, config.name, config.version, {**_head(config), "Spec": config.spec})


def _update_status(update: UpdateStatus) -> JsonObject:
    status = {"State": str(update.state), "StartedAt": timestamp(update.started_at), "Message": update.message}
    if update.completed_at is not None:
        status["CompletedAt"] = timestamp(update.completed_at)
    return status


def _has_asked(spec: JsonObject) -> bool:
    """Return whether a service of this spec was given ports or addresses of its own."""
    return bool(dig(spec, "EndpointSpec", "Ports") or dig(spec, "TaskTemplate", "Networks"))


def service_object(service: ServiceRecord) -> ObservedObject:
    addresses: list[JsonObject] = [
        {"NetworkID": network, "Addr": address} for network, address in service.virtual_ips
    ] + [{"NetworkID": network} for network in _without_addresses(service)]
    # Nothing was given out for it, now or just before: then swarmkit's allocator leaves the whole endpoint alone.
    allocated = service.ports or addresses or _has_asked(service.previous_spec or {})
    endpoint: JsonObject = {"Spec": service.endpoint_spec if allocated else {}}
    if service.ports:
        endpoint["Ports"] = list(service.ports)
    if addresses:
        endpoint["VirtualIPs"] = addresses
    raw = {**_head(service), "Spec": service.spec, "Endpoint": endpoint}
    if service.previous_spec is not None:
        raw["PreviousSpec"] = service.previous_spec
    if service.update is not None:
        raw["UpdateStatus"] = _update_status(service.update)
    if service.is_job:
        raw["JobStatus"] = {"JobIteration": {"Index": service.job_iteration}}
        if service.last_execution is not None:
            raw["JobStatus"]["LastExecution"] = timestamp(service.last_execution)
    return _observed(Kind.SERVICE, service.id, service.name, service.version, raw)


def _without_addresses(service: ServiceRecord) -> list[str]:
    """Return the networks, such as host, that a service in mode vip is on without an address."""
    if service.endpoint_spec.get("Mode", "vip") != "vip":
        return []
    attached = [str(one.get("Target", "")) for one in service.task_spec.get("Networks") or ()]
    return [network for network in attached if network not in dict(service.virtual_ips)]


def observed_task(tables: Tables, task: TaskRecord) -> ObservedTask:
    service = tables.services.get(task.service_id)
    current = service is not None and not is_dirty(tables, service, task)
    if service is not None and service.is_job:
        current = current and task.job_iteration == service.job_iteration
    return ObservedTask.from_api(task_json(tables, task), up_to_date=current)


def task_json(tables: Tables, task: TaskRecord) -> JsonObject:
    """Return what `GET /tasks/{id}` answers."""
    seen = task.status
    status: JsonObject = {
        "Timestamp": timestamp(seen.timestamp),
        "State": seen.state.api_name,
        "Message": seen.message,
    }
    if seen.err:
        status["Err"] = seen.err
    if seen.pid is not None:
        status["ContainerStatus"] = {
            "ContainerID": seen.container_id or task.id,
            "PID": seen.pid,
            "ExitCode": seen.exit_code or 0,
        }
    status["PortStatus"] = _port_status(task)
    spec = {key: value for key, value in task.spec.items() if (key, value) != CONTAINERS}
    raw: JsonObject = {**_head(task), "Labels": {}, "Spec": copy.deepcopy(spec), "ServiceID": task.service_id}
    if task.slot:
        raw["Slot"] = task.slot
    if task.node_id:
        raw["NodeID"] = task.node_id
    raw |= {"Status": status, "DesiredState": task.desired_state.api_name}
    if task.attachments:
        raw["NetworksAttachments"] = [
            {"Network": _attached_network(tables, network_id), "Addresses": [address] if address else []}
            for network_id, address in task.attachments
        ]
    if task.generic_resources:
        raw["GenericResources"] = [_generic_resource(kind, value) for kind, value in task.generic_resources]
    service = tables.services.get(task.service_id)
    if service is not None and service.is_job:
        raw["JobIteration"] = {"Index": task.job_iteration}
    return raw


def _attached_network(tables: Tables, network_id: str) -> JsonObject:
    """Return a network as a task shows it, in swarmkit's shape; its id alone when it has gone."""
    network = tables.networks.get(network_id)
    if network is None:
        return {"ID": network_id}
    spec, ipam = network.spec, network.spec.get("IPAM") or {}
    driver = spec.get("Driver") or "overlay"
    shown: JsonObject = {"Name": network.name, "Labels": spec.get("Labels") or {}}
    shown |= {"DriverConfiguration": {"Name": driver}, "Scope": "swarm"}
    shown |= {key: True for key in ("Internal", "Attachable", "Ingress") if spec.get(key)}
    ipam_driver = {"Name": ipam.get("Driver") or "default"}
    return {
        "ID": network.id,
        "Version": {"Index": network.version},
        "CreatedAt": timestamp(network.created_at),
        "UpdatedAt": timestamp(network.updated_at),
        "Spec": shown | {"IPAMOptions": {"Driver": ipam_driver}},
        "DriverState": {"Name": driver, "Options": dict(spec.get("Options") or {})},
        "IPAMOptions": {"Driver": ipam_driver, "Configs": copy.deepcopy(ipam.get("Config") or [])},
    }


def _generic_resource(kind: str, value: str | int) -> JsonObject:
    form = "DiscreteResourceSpec" if isinstance(value, int) else "NamedResourceSpec"
    return {form: {"Kind": kind, "Value": value}}


def _port_status(task: TaskRecord) -> JsonObject:
    if task.status.ports:
        ports = [
            {"Protocol": protocol, "TargetPort": target, "PublishedPort": published, "PublishMode": "host"}
            for protocol, target, published in task.status.ports
        ]
        return {"Ports": ports}
    asked = [port for port in task.endpoint_spec.get("Ports") or () if port.get("PublishMode") == "host"]
    # Once for IPv4 and once for IPv6, as an engine reports what it publishes.
    return {"Ports": copy.deepcopy([*asked, *asked])} if asked and task.running_at else {}
