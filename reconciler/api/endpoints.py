"""What a node shows of a network of the swarm's that its tasks are on: who is on it there, and who is anywhere. Pure.

Shapes are an engine's own (seen on 20.10). It has an endpoint for balancing in each such network, and in ingress.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence

import msgspec

from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import ObservedObject
from reconciler.model.tasks import ObservedTask, TaskState

NODE_ADDRESSES = "NodeAddresses"
"""Of a network as the Cluster port shows it: {node id: its address for balancing}. No engine shows it as such."""
FIRST_BALANCER = 256
PEER_NAME_LENGTH = 12


class Swarm(msgspec.Struct, frozen=True):
    """What a network is looked for in; `node_id` is the node that is asked."""

    node_id: str
    nodes: Sequence[ObservedObject]
    services: Sequence[ObservedObject]
    tasks: Sequence[ObservedTask]


def seen_on(network: ObservedObject, swarm: Swarm, *, verbose: bool) -> JsonObject:
    """Return the fields of a network that a node adds which has tasks on it; {} on one that has none."""
    on_it = [task for task in swarm.tasks if task.state is TaskState.RUNNING and _address(task, network.id)]
    here = [task for task in on_it if task.node_id == swarm.node_id]
    if not here:
        return {}
    names = {service.id: service.name for service in swarm.services}
    balancers: Mapping[str, str] = network.raw.get(NODE_ADDRESSES) or {}
    containers = {_container_id(task): _endpoint(_name(task, names), _address(task, network.id)) for task in here}
    if swarm.node_id in balancers:
        key = "ingress-sbox" if network.dig("Ingress") else f"lb-{network.name}"
        containers[key] = _endpoint(f"{network.name}-endpoint", balancers[swarm.node_id])
    hosts = {node.id: str(node.dig("Status", "Addr") or "") for node in swarm.nodes}
    peers = [{"Name": _digest(node_id)[:PEER_NAME_LENGTH], "IP": hosts.get(node_id, "")} for node_id in balancers]
    seen: JsonObject = {"Containers": dict(sorted(containers.items())), "Labels": network.dig("Labels") or {}}
    seen["Peers"] = peers
    if verbose:
        seen["Services"] = _services(network, swarm, on_it, hosts)
    return seen


def _services(
    network: ObservedObject, swarm: Swarm, on_it: Sequence[ObservedTask], hosts: Mapping[str, str]
) -> JsonObject:
    """Return who answers on a network, by the name of its service; the nodes' own endpoints in ingress by ""."""
    names = {service.id: service.name for service in swarm.services}
    found: JsonObject = {}
    for number, service in enumerate(swarm.services):
        tasks = [task for task in on_it if task.service_id == service.id]
        if not tasks:
            continue
        addresses = {one.get("NetworkID"): one.get("Addr") for one in service.dig("Endpoint", "VirtualIPs") or ()}
        shown = [_told(_name(task, names), _address(task, network.id), hosts.get(task.node_id, "")) for task in tasks]
        ports = service.dig("Endpoint", "Ports") or () if network.dig("Ingress") else ()
        found[service.name] = {
            "VIP": _bare(addresses.get(network.id) or "") or "<nil>",
            "Ports": [f"Target: {one.get('TargetPort')}, Publish: {one.get('PublishedPort')}" for one in ports],
            "LocalLBIndex": FIRST_BALANCER + number,
            "Tasks": shown,
        }
    if network.dig("Ingress"):
        balancers: Mapping[str, str] = network.raw.get(NODE_ADDRESSES) or {}
        own = [_told(f"{network.name}-endpoint", at, hosts.get(node_id, "")) for node_id, at in balancers.items()]
        found = {"": {"VIP": "<nil>", "Ports": [], "LocalLBIndex": 0, "Tasks": own}, **found}
    return found


def _told(name: str, address: str, host: str) -> JsonObject:
    identity = _digest(f"{name} {address}")
    return {"Name": name, "EndpointID": identity, "EndpointIP": _bare(address), "Info": {"Host IP": host}}


def _endpoint(name: str, address: str) -> JsonObject:
    number = int(ipaddress.IPv4Address(_bare(address)))
    octets = [f"{number >> shift & 255:02x}" for shift in (24, 16, 8, 0)]
    return {
        "Name": name,
        "EndpointID": _digest(f"{name} {address}"),
        "MacAddress": ":".join(["02", "42", *octets]),
        "IPv4Address": address,
        "IPv6Address": "",
    }


def _address(task: ObservedTask, network_id: str) -> str:
    """Return a task's address in a network, "" where it has none."""
    for attachment in task.raw.get("NetworksAttachments") or ():
        if dig(attachment, "Network", "ID") == network_id:
            return str(next(iter(attachment.get("Addresses") or ()), ""))
    return ""


def _container_id(task: ObservedTask) -> str:
    """Return the id of a task's container, or what looks like one: the CLI sorts by it, the balancer's last."""
    return str(dig(task.raw, "Status", "ContainerStatus", "ContainerID") or _digest(task.id))


def _name(task: ObservedTask, names: Mapping[str, str]) -> str:
    return f"{names.get(task.service_id, task.service_id)}.{task.slot or task.node_id}.{task.id}"


def _bare(address: str) -> str:
    return address.partition("/")[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
