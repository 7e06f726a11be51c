"""Networks: names and subnets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from reconciler.model.changes import TableKind
from reconciler.model.commands import Applied, CreateNetwork, ObjectChange, RemoveNetwork
from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind
from reconciler.model.tables import DEFAULT_ADDRESS_POOL, DEFAULT_SUBNET_SIZE, PREDEFINED_LABEL, NetworkRecord
from reconciler.store.draft import Draft
from reconciler.store.names import NAME_LENGTH_MAX, checked_labels, is_dns_name
from reconciler.store.refusal import Refusal, check_new, invalid, not_found

FIRST_VXLAN_ID = 4096
VXLAN_OPTION = "com.docker.network.driver.overlay.vxlanid_list"
SERIAL_OPTION = "com.docker.network.ipam.serial"
"""What a manager adds to the options of address management where there are any."""
_PREDEFINED = ("bridge", "host")
_DRIVERS = ("overlay",)

_Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


def create(draft: Draft, command: CreateNetwork) -> Applied:
    """Add an overlay network. Without a subnet it gets the next free /24 of 10.0.0.0/8.

    An overlapping subnet is refused. Docker Swarm accepts it and leaves every task on it in `new` for ever
    (moby #35849).
    """
    name = command.spec.get("Name", "")
    _check_name(draft, name)
    check_new(draft.networks, command.id)
    driver = command.spec.get("Driver") or "overlay"
    if driver not in _DRIVERS:
        raise Refusal(ErrorCode.REQUEST_REFUSED, f'plugin "{driver}" not found', rpc="")
    if command.spec.get("Scope") == "local":
        raise Refusal(ErrorCode.REQUEST_REFUSED, f"cannot downgrade network scope for {driver} networks", rpc="")
    if PREDEFINED_LABEL in checked_labels(command.spec):
        text = f"label {PREDEFINED_LABEL} is for internally created predefined networks and cannot be applied by users"
        raise invalid(text, rpc="PermissionDenied")
    ipam_driver = dig(command.spec, "IPAM", "Driver") or "default"
    if ipam_driver != "default":
        raise invalid(f"error during lookup of plugin {ipam_driver}")
    if command.spec.get("Ingress"):
        _check_ingress(draft, command.spec)
    spec = complete_network(draft, {**command.spec, "Driver": driver})
    draft.networks[command.id] = NetworkRecord(command.id, draft.index, command.at, command.at, spec)
    # A manager writes a network once more when it has given it subnets, and tells of that too.
    told = tuple(ObjectChange(Kind.NETWORK, action, command.id, name) for action in ("create", "update"))
    return Applied(draft.index, command.id, told)


def _check_name(draft: Draft, name: Any) -> None:
    """Refuse a name that is taken or none, in the engine's words: it looks for the very name before it asks a manager,
    who tells small letters from capitals no more."""
    if name == "none":
        raise invalid("operation is not permitted on predefined none network", rpc="")
    present = draft.networks.get(draft.id_of(TableKind.NETWORK, name) or "") if isinstance(name, str) else None
    if name in ("", *_PREDEFINED) or (present is not None and present.name == name):
        raise Refusal(ErrorCode.NAME_CONFLICT, f"network with name {name} already exists", rpc="")
    if not isinstance(name, str) or not is_dns_name(name):
        raise invalid("name must be valid as a DNS name component")
    if len(name) > NAME_LENGTH_MAX:
        raise invalid(f"name must be {NAME_LENGTH_MAX} characters or fewer")
    if present is not None:
        raise Refusal(ErrorCode.NAME_CONFLICT, "name conflicts with an existing object", rpc="Unknown")


def _check_ingress(draft: Draft, spec: JsonObject) -> None:
    if spec.get("Attachable"):
        raise invalid("ingress network cannot be attachable")
    present = next((network for network in draft.networks.values() if network.spec.get("Ingress")), None)
    if present is not None:
        text = f"ingress network ({present.id}) is already present"
        raise Refusal(ErrorCode.NAME_CONFLICT, text, rpc="AlreadyExists")


def remove(draft: Draft, command: RemoveNetwork) -> Applied:
    network = draft.networks.get(command.id)
    if network is None:
        raise not_found("network", command.id)
    if network.is_predefined:
        text = f"network {network.id} ({network.name}) is a swarm predefined network and cannot be removed"
        raise invalid(text, rpc="FailedPrecondition")
    if user := _user_of(draft, network):
        raise Refusal(ErrorCode.OBJECT_IN_USE, user, rpc="FailedPrecondition")
    del draft.networks[network.id]
    return Applied(draft.index, network.id, (ObjectChange(Kind.NETWORK, "remove", network.id, network.name),))


def _user_of(draft: Draft, network: NetworkRecord) -> str:
    """Return why a network cannot go, or ""."""
    for service in draft.services.values():
        if network.id in network_ids(service.task_spec):
            return f"network {network.id} is in use by service {service.id}"
        uses_ingress = any(port.get("PublishMode") == "ingress" for port in service.ports)
        if network.spec.get("Ingress") and uses_ingress:
            return f"ingress network cannot be removed because service {service.id} depends on it"
    for task in draft.tasks.values():
        if task.is_live and not task.has_ended and network.id in network_ids(task.spec):
            return f"network {network.id} is in use by task {task.id}"
    return ""


def network_ids(task_spec: JsonObject) -> list[str]:
    """Return the ids of the networks that a completed task template is attached to."""
    return [str(attachment.get("Target", "")) for attachment in task_spec.get("Networks") or ()]


def complete_network(draft: Draft, spec: JsonObject) -> JsonObject:
    """Return a network's spec with its subnets, gateways and VXLAN number allotted; refuse impossible ones."""
    ipam = spec.get("IPAM") or {}
    pools = [_pool(draft, dict(pool)) for pool in ipam.get("Config") or ()]
    if not any(pool.get("Subnet") for pool in pools):
        pools = [_gateway_added({"Subnet": str(_next_subnet(draft))})]
    given = ipam.get("Options") or {}
    asked = {**given, SERIAL_OPTION: "true"} if given else ipam.get("Options")
    completed_ipam = {"Driver": ipam.get("Driver") or "default", "Options": asked, "Config": pools}
    options = dict(spec.get("Options") or {})
    options.setdefault(VXLAN_OPTION, str(_next_vxlan_id(draft)))
    completed: JsonObject = {
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        **{key: value for key, value in spec.items() if key not in ("CheckDuplicate", "Scope")},
        "Labels": checked_labels(spec),
        "IPAM": completed_ipam,
        "Options": options,
    }
    return completed


def _taken(draft: Draft) -> Iterator[_Subnet]:
    for network in draft.networks.values():
        for subnet in network.subnets:
            yield ipaddress.ip_network(subnet, strict=False)


def _pool(draft: Draft, pool: JsonObject) -> JsonObject:
    text = pool.get("Subnet")
    if not text:
        return pool
    try:
        # As a text: of a number ipaddress makes a network too, but one that could not be read again.
        subnet = ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        raise invalid(f"ipam configuration: invalid subnet {text}: it is no CIDR block", rpc="") from None
    for other in _taken(draft):
        if subnet.version == other.version and subnet.overlaps(other):
            raise invalid(f"ipam configuration: subnet {text} overlaps with subnet {other} of another network", rpc="")
    return _gateway_added(pool)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _gateway_added(pool: JsonObject) -> JsonObject:
    subnet = ipaddress.ip_network(pool["Subnet"], strict=False)
    _check_inside(subnet, pool)
    gateway = pool.get("Gateway")
    if not gateway:
        part = ipaddress.ip_network(pool.get("IPRange") or pool["Subnet"], strict=False)
        first = part.network_address
        return {**pool, "Gateway": str(first + 1 if first == subnet.network_address else first)}
    if not _is_address(str(gateway)):
        raise invalid(f"ipam configuration: invalid gateway {gateway}")
    if ipaddress.ip_address(str(gateway)) not in subnet:
        raise invalid(f"ipam configuration: subnet {subnet} does not contain gateway {gateway}")
    return pool


def _check_inside(subnet: _Subnet, pool: JsonObject) -> None:
    """Refuse a range or auxiliary address that is not in the subnet, or is none at all."""
    if text := pool.get("IPRange"):
        try:
            part = ipaddress.ip_network(str(text), strict=False)
        except ValueError:
            raise invalid(f"ipam configuration: invalid range {text}") from None
        if part.network_address not in subnet or part.broadcast_address not in subnet:
            raise invalid(f"ipam configuration: subnet {subnet} does not contain range {text}")
    for name, text in (pool.get("AuxiliaryAddresses") or {}).items():
        try:
            inside = ipaddress.ip_address(str(text)) in subnet
        except ValueError:
            inside = False
        if not inside:
            raise invalid(
                f"ipam configuration: subnet {subnet} does not contain auxiliary address {name} ({text})", rpc=""
            )


def _next_subnet(draft: Draft) -> ipaddress.IPv4Network:
    """Return the first block of the default address pools that overlaps with no network."""
    pools = (draft.cluster.default_addr_pool if draft.cluster else ()) or DEFAULT_ADDRESS_POOL
    size = draft.cluster.subnet_size if draft.cluster else DEFAULT_SUBNET_SIZE
    taken = sorted((int(one.network_address), int(one.broadcast_address)) for one in _taken(draft) if one.version == 4)
    for text in pools:
        found = _first_block(ipaddress.IPv4Network(text, strict=False), size, taken)
        if found is not None:
            return found
    raise invalid("could not find an available, non-overlapping address pool", rpc="FailedPrecondition")


def _first_block(pool: ipaddress.IPv4Network, size: int, taken: list[tuple[int, int]]) -> ipaddress.IPv4Network | None:
    step, first = 1 << (32 - size), int(pool.network_address)
    for low, high in taken:
        if high < first:
            continue
        if low >= first + step:
            break
        first = (high // step + 1) * step
    last = int(pool.broadcast_address)
    return ipaddress.IPv4Network((first, size)) if first + step - 1 <= last else None


def _next_vxlan_id(draft: Draft) -> int:
    used = [number for network in draft.networks.values() for number in _vxlan_ids(network.spec)]
    return max([FIRST_VXLAN_ID - 1, *used]) + 1


def _vxlan_ids(spec: JsonObject) -> list[int]:
    """Return the VXLAN numbers of a stored network; a user may have named several, or nonsense."""
    texts = str((spec.get("Options") or {}).get(VXLAN_OPTION) or "").split(",")
    return [int(text) for text in texts if re.fullmatch(r"[0-9]{1,8}", text)]
