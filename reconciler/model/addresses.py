"""Which IPv4 addresses a network has to give: numbers, since there are many. (facts, swarmkit.md section 8)"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from reconciler.model.json import JsonObject, dig
from reconciler.model.tables import Indexes, NetworkRecord, ServiceRecord

ALLOCATED_DRIVER = "overlay"
"""Networks of other drivers live on one node each, which sees to their addresses itself."""


class AddressRange(msgspec.Struct, frozen=True):
    """Addresses from `first` to `last`, but for `reserved`; written with `prefix`, the bits of the subnet."""

    first: int
    last: int
    prefix: int
    reserved: frozenset[int]

    @property
    def size(self) -> int:
        return max(self.last - self.first + 1 - len(self.reserved), 0)

    def text(self, address: int) -> str:
        return f"{dotted(address)}/{self.prefix}"


def dotted(address: int) -> str:
    """Return an IPv4 address as text; several times faster than the library's."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def number(text: str) -> int:
    """Return the number of an address that `AddressRange.text` wrote."""
    one, two, three, four = text.partition("/")[0].split(".")
    return int(one) << 24 | int(two) << 16 | int(three) << 8 | int(four)


def address_ranges(network: NetworkRecord) -> tuple[AddressRange, ...]:
    """Return what a network has to give, in the order in which it is given; nothing for one of another driver."""
    if network.spec.get("Driver") != ALLOCATED_DRIVER:
        return ()
    pools = dig(network.spec, "IPAM", "Config") or ()
    found = (_range(*_described(pool)) for pool in pools if pool.get("Subnet"))
    return tuple(one for one in found if one is not None)


def _described(pool: JsonObject) -> tuple[str, str, str, tuple[str, ...]]:
    others = tuple(str(address) for address in (pool.get("AuxiliaryAddresses") or {}).values())
    return str(pool["Subnet"]), str(pool.get("IPRange") or ""), str(pool.get("Gateway") or ""), others


@lru_cache(maxsize=4096)
def _range(subnet: str, within: str, gateway: str, others: tuple[str, ...]) -> AddressRange | None:
    whole = ipaddress.ip_network(subnet, strict=False)
    if whole.version != 4:
        return None  # IPv6 is not allotted by Swarm either (moby #24379)
    first, last = int(whole.network_address) + 1, int(whole.broadcast_address) - 1
    if within:
        part = ipaddress.ip_network(within, strict=False)
        first, last = max(first, int(part.network_address)), min(last, int(part.broadcast_address))
    taken = (int(ipaddress.ip_address(text.partition("/")[0])) for text in (gateway, *others) if text)
    return AddressRange(first, last, whole.prefixlen, frozenset(one for one in taken if first <= one <= last))


def free_addresses(indexes: Indexes, network: NetworkRecord) -> int | None:
    """Return how many addresses a network has left, None where it needs none."""
    if network.spec.get("Driver") != ALLOCATED_DRIVER:
        return None
    return sum(one.size for one in address_ranges(network)) - len(indexes.addresses_by_network.get(network.id, ()))


def ingress_network(networks: Iterable[NetworkRecord]) -> NetworkRecord | None:
    """Return the network that published ports lead through, None where it was removed."""
    return next((network for network in networks if network.spec.get("Ingress")), None)


def attached_ids(service: ServiceRecord, ingress_id: str) -> list[str]:
    """Return the ids of the networks of a service's tasks. Ingress comes first, where a port leads through it."""
    ids = [str(one.get("Target", "")) for one in service.task_spec.get("Networks") or ()]
    if ingress_id and any(port.get("PublishMode") == "ingress" for port in service.ports):
        ids = [ingress_id, *ids]
    return list(dict.fromkeys(ids))


def has_virtual_ips(service: ServiceRecord) -> bool:
    """Return whether a service has an address of its own in each of its networks (endpoint mode vip)."""
    return service.endpoint_spec.get("Mode") != "dnsrr"
