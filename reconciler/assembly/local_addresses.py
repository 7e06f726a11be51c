"""Which addresses a node listens on and tells others, chosen as an engine chooses. Texts are the engine's own.

Source: what an engine answers (facts: swarmkit 7.3), and which interfaces it takes for a host's own: devices, and where
there is none (in a container) whatever there is.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from reconciler.adapters.host_addresses import Address, Interface, interfaces
from reconciler.model.errors import ErrorCode, SwarmctlError

LOOPBACK = "127.0.0.1"
PORTS = range(1, 65536)
NOT_LISTENING = "manager stopped: failed to listen on remote API address: "


def address_of(host: str, wrong: str) -> str:
    """Return an IP address as it is, and an interface's own in the place of its name.

    Raises SwarmctlError (request-refused), `wrong` being the text for what is neither.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    named = next((one for one in _interfaces() if one.name == host), None)
    if named is None:
        raise refused(wrong)
    four, six = _of_version(named, 4), _of_version(named, 6)
    for version, found in (("IPv4", four), ("IPv6", six if not four else [])):
        if len(found) > 1:
            raise refused(f"interface {host} has more than one {version} address ({found[0]} and {found[1]})")
    if not four and not six:
        raise refused(f"interface {host} has no usable IPv4 or IPv6 addresses")
    return str((four or six)[0])


def own_address() -> str:
    """Return the one address of this host; the loopback's on a host that has none, where an engine would refuse.

    Raises SwarmctlError (request-refused) if there are several to choose from.
    """
    candidates = [one for one in _interfaces() if not one.is_loopback and one.kind != "bridge"]
    devices = [one for one in candidates if not one.kind and one.addresses]
    chosen: tuple[str, Address] | None = None
    for interface in devices or candidates:
        usable = [one for one in interface.addresses if _is_global(one)]
        found = [one for one in usable if one.version == 4] or usable
        if len(found) > 1:
            raise refused(_several(f"on interface {interface.name} ({found[0]} and {found[1]})"))
        if found and chosen is not None:
            both = f"({chosen[1]} on {chosen[0]} and {found[0]} on {interface.name})"
            raise refused(_several(f"on different interfaces {both}"))
        if found:
            chosen = (interface.name, found[0])
    return str(chosen[1]) if chosen else LOOPBACK


def _several(where: str) -> str:
    return f"could not choose an IP address to advertise since this system has multiple addresses {where}"


def _is_global(address: Address) -> bool:
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def _of_version(interface: Interface, version: int) -> list[Address]:
    wanted = [one for one in interface.addresses if one.version == version]
    return [one for one in wanted if version == 4 or _is_global(one)]


def _interfaces() -> Sequence[Interface]:
    try:
        return interfaces()
    except OSError:  # a kernel that doesn't tell: as on a host without any
        return ()


def check_listen(host: str, port_text: str) -> int:
    """Return the port, once it is sure that it can be listened on. Raises SwarmctlError (embedded-failed)."""
    if not (port_text.isascii() and port_text.isdigit() and int(port_text) in PORTS):
        raise failed(f"{NOT_LISTENING}listen tcp: address {port_text}: invalid port")
    port = int(port_text)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise failed(f"{NOT_LISTENING}listen tcp {place}: bind: {reason(error)}") from None
    return port


def reason(error: OSError) -> str:
    """Return why the system refuses, in Go's words."""
    return str(error.strerror or error).lower()


def failed(why: str) -> SwarmctlError:
    """Return a refusal that the engine calls its own failure."""
    return SwarmctlError(ErrorCode.EMBEDDED_FAILED, "This node can't be part of that swarm.", why=why)


def refused(why: str) -> SwarmctlError:
    """Return a refusal of what was asked for."""
    return SwarmctlError(ErrorCode.REQUEST_REFUSED, "This node can't be part of that swarm.", why=why)
