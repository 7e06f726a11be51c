"""This host's addresses, interface by interface, as the kernel tells them (rtnetlink, Linux)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

import msgspec

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
NLMSG_ERROR, NLMSG_DONE = 2, 3
ROOT_AND_MATCH_AND_REQUEST = 0x301
IFF_LOOPBACK = 0x8
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND = 3, 18, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RECEIVED_BYTES = 1 << 16
_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # family, kind of device, index, flags, change mask
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # length, type


class Interface(msgspec.Struct, frozen=True):
    """`kind` is what it was made as ("veth", "bridge", …), "" for a device. `addresses` are in the kernel's order."""

    name: str
    kind: str
    is_loopback: bool
    addresses: tuple[Address, ...]


def interfaces() -> tuple[Interface, ...]:
    """Return the interfaces of this network namespace. Raises OSError."""
    links = [(_LINK.unpack_from(body), dict(_attributes(body[_LINK.size :]))) for body in _dump(RTM_GETLINK)]
    found: dict[int, list[Address]] = {link[2]: [] for link, _ in links}
    for body in _dump(RTM_GETADDR):
        index = _ADDRESS.unpack_from(body)[4]
        attributes = dict(_attributes(body[_ADDRESS.size :]))
        packed = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
        if packed is not None and index in found:
            found[index].append(ipaddress.ip_address(packed))
    return tuple(
        Interface(
            attributes.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace"),
            dict(_attributes(attributes.get(IFLA_LINKINFO, b""))).get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
            bool(link[3] & IFF_LOOPBACK),
            tuple(found[link[2]]),
        )
        for link, attributes in links
    )


def _dump(request: int) -> Iterator[bytes]:
    """Yield the body of each message that the kernel answers a request for all links or addresses with."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        body = struct.pack("=B3x", socket.AF_UNSPEC) + bytes(_LINK.size - 4)
        kernel.send(_MESSAGE.pack(_MESSAGE.size + len(body), request, ROOT_AND_MATCH_AND_REQUEST, 1, 0) + body)
        while True:
            received = kernel.recv(RECEIVED_BYTES)
            while received:
                length, kind, _, _, _ = _MESSAGE.unpack_from(received)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", received, _MESSAGE.size)[0], "rtnetlink refuses")
                if kind in (RTM_NEWLINK, RTM_NEWADDR):
                    yield received[_MESSAGE.size : length]
                received = received[_aligned(length) :]


def _attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    while len(content) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(content)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, content[_ATTRIBUTE.size : length]
        content = content[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
