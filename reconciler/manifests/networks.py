"""Create requests of networks, as swarm.yaml and stack files share them."""

from __future__ import annotations

import ipaddress

from reconciler.model.json import JsonObject, JsonValue


def network_body(name: str, driver: str) -> JsonObject:
    """Return the create request of a plain network, without CheckDuplicate, which newer engines don't know."""
    return {
        "Name": name,
        "Driver": driver,
        "Attachable": False,
        "Internal": False,
        "Labels": {},
        "Options": None,
        "IPAM": None,
        "Ingress": False,
        "ConfigOnly": False,
        "ConfigFrom": None,
        "Scope": "",
    }


def ipam_body(driver: str, options: JsonValue, pools: list[JsonObject]) -> JsonObject | None:
    """Return the IPAM part of a create request, or None where the engine shall choose everything."""
    if not driver and not pools and not options:
        return None
    return {"Driver": driver, "Options": options, "Config": pools or None}


def subnet_fault(text: str) -> str:
    """Return what is wrong with a subnet, or "" when nothing is."""
    if "/" not in text:
        return "It has no /prefix length."
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "It is no IP network in CIDR notation."
    return ""
