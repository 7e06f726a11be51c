"""Published ports. Source: measured on docker CLI 28.2 (docs/decisions/0006)."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from reconciler.manifests.compose.source import StackSource, Warned, without_empty
from reconciler.manifests.problems import KeyPath, key_path_text
from reconciler.manifests.yaml_scalars import go_text
from reconciler.model.json import JsonObject, JsonValue

PORTS_MAX: Final = 20_000
"""Ports of one service: two ranges in one line could stand for thousands of millions."""
_PORT_MAX: Final = 65_535
_PROTOCOLS: Final = ("tcp", "udp", "sctp")


class BadPort(ValueError):
    """The text is no port; the message says why."""


def endpoint_spec(source: StackSource, at: KeyPath, service: JsonObject) -> JsonObject:
    """Return the EndpointSpec of a service, maybe empty: its mode, and ports sorted by published number."""
    deploy = service.get("deploy") or {}
    mode = (deploy.get("endpoint_mode") or "").lower()
    ports: list[JsonObject] = []
    for index, item in enumerate(service.get("ports") or ()):
        spot = (*at, "ports", index)
        ports += _port_configs(source, spot, item)
        if len(ports) > PORTS_MAX:
            source.invalid(
                spot, "The service publishes too many ports.", f"The limit is {PORTS_MAX}.", "Use a host network."
            )
            return {}
    _check_endpoint(source, at, mode, ports)
    ports.sort(key=lambda port: port.get("PublishedPort", 0))
    return without_empty({"Mode": mode, "Ports": ports})


_LONG_KEYS: Final = (
    ("target", "TargetPort"),
    ("published", "PublishedPort"),
    ("protocol", "Protocol"),
    ("mode", "PublishMode"),
)


def long_ports(source: StackSource, at: KeyPath, item: JsonValue) -> list[JsonObject]:
    """Return the long forms that an item of `ports` stands for, none after telling what is wrong with it."""
    if isinstance(item, dict):
        return [item]
    ports = _port_configs(source, at, item)
    return [{key: port[field] for key, field in _LONG_KEYS if field in port} for port in ports]


def _port_configs(source: StackSource, at: KeyPath, item: JsonValue) -> list[JsonObject]:
    if isinstance(item, dict):
        return [
            without_empty(
                {
                    "Protocol": item.get("protocol"),
                    "TargetPort": int(item.get("target") or 0),
                    "PublishedPort": int(item.get("published") or 0),
                    "PublishMode": item.get("mode"),
                }
            )
        ]
    try:
        address, ports = short_ports(go_text(item))
    except BadPort as error:
        what = f"`{key_path_text(at)}` is no port that docker understands."
        hint = 'Write [published:]target[/tcp|udp|sctp], such as "8080:80".'
        source.invalid(at, what, f"In {source.shown(at, go_text(item))} {error}.", hint)
        return []
    if address and not ipaddress.ip_address(address.strip("[]")).is_unspecified:
        what = f"The address in `{key_path_text(at)}` is ignored by Swarm."
        why = "Swarm publishes on all addresses of a node; the service will listen on 0.0.0.0."
        source.warn(at, Warned(what, why, "Remove the address.", _address_warning(address, ports)))
    return ports


def _address_warning(address: str, ports: list[JsonObject]) -> str:
    """Return docker's warnings of an address, a line for each port."""
    host = address.strip("[]")
    host = f"[{host}]" if ":" in host else host
    names = [f"{host}:{port.get('PublishedPort', '')}:{port['TargetPort']}/{port['Protocol']}" for port in ports]
    return "\n".join(f"ignoring IP-address ({name}) service will listen on '0.0.0.0'" for name in names)


def short_ports(text: str) -> tuple[str, list[JsonObject]]:
    """Return the address, "" when there is none, and the ports that `[ip:][published:]target[/proto]` stands for.

    Of ranges the targets come in the order of their texts (`10000/udp` before `9998/udp`), as docker has them.
    Raises BadPort.
    """
    *before, container = text.split(":")
    target, slash, protocol = container.partition("/")
    published = before[-1] if before else ""
    address = ":".join(before[:-1])
    if slash and "/" in protocol:
        raise BadPort("there is more than one `/`")
    protocol = (protocol or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise BadPort("the protocol is none of tcp, udp and sctp")
    _check_address(address)
    first, last = _range(target)
    if not published:
        pairs = [(port, 0) for port in range(first, last + 1)]
    else:
        first_out, last_out = _range(published)
        if first == last:
            pairs = [(first, port) for port in range(first_out, last_out + 1)]
        elif last - first == last_out - first_out:
            pairs = [(port, first_out + port - first) for port in range(first, last + 1)]
        else:
            raise BadPort("the two ranges differ in length")
    pairs.sort(key=lambda pair: f"{pair[0]}/{protocol}")
    return address, [
        {"Protocol": protocol, "TargetPort": inside, "PublishMode": "ingress"}
        | ({"PublishedPort": outside} if outside else {})
        for inside, outside in pairs
    ]


def _check_address(address: str) -> None:
    if not address:
        return
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        ipaddress.ip_address(bare)
    except ValueError as error:
        raise BadPort("what stands before the ports is no IP address") from error


def _range(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text, re.ASCII)
    if found is None:
        raise BadPort("a port is missing or no number" if text else "a port is missing")
    first = int(found[1])
    last = int(found[2]) if found[2] else first
    if last < first or last > _PORT_MAX:
        raise BadPort(f"a port is above {_PORT_MAX}, or a range runs backwards")
    return first, last


def _check_endpoint(source: StackSource, at: KeyPath, mode: str, ports: list[JsonObject]) -> None:
    """Tell what Swarm would refuse; see swarmkit's validateEndpointSpec."""
    if mode not in ("", "vip", "dnsrr"):
        spot = (*at, "deploy", "endpoint_mode")
        source.invalid(spot, f"`{key_path_text(spot)}` must be vip or dnsrr.", "", "Write vip, or remove the key.")
    seen: set[tuple[int, str]] = set()
    for port in ports:
        published, protocol = port.get("PublishedPort", 0), port.get("Protocol", "tcp").lower()
        name = f"{published or port.get('TargetPort', 0)}/{protocol}"
        if mode == "dnsrr" and port.get("PublishMode", "ingress").lower() != "host":
            hint = "Publish it with `mode: host`, or use endpoint_mode vip."
            why = "Ingress balances over a virtual address, which dnsrr does without."
            source.invalid((*at, "ports"), f"Port {name} cannot be published through ingress with dnsrr.", why, hint)
            return
        if published and (published, protocol) in seen:
            what = f"`{key_path_text((*at, 'ports'))}` publishes port {name} more than once."
            source.invalid((*at, "ports"), what, "Swarm refuses such a service.", "Publish each port once.")
            return
        seen.add((published, protocol))
