"""Sockets with the options that a connection between members needs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from reconciler.adapters.raft.transport.settings import TransportSettings
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address

BACKLOG = 128
_NAME_SERVICE = ThreadPoolExecutor(2, thread_name_prefix="raft-names")
"""Of its own, as a name service that hangs would occupy all threads that others wait for."""


async def listen(address: Address) -> socket.socket:
    """A listening socket on exactly this address. Raises SwarmctlError (peers-listen-failed)."""
    try:
        family, resolved = (await resolve(address))[0]
    except OSError as error:
        raise _failed(address, f"{error.strerror or error}.", "Give a name or an address of this machine.") from error
    if ipaddress.ip_address(str(resolved[0]).partition("%")[0]).is_unspecified:
        raise _failed(address, "It stands for all addresses.", "Give the one that the other members reach.")
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(resolved)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        hint = "Give a free port and an address of this machine."
        if error.errno == errno.EADDRINUSE:
            hint = "End what listens there (`ss -ltnp` shows it), or give this member another port."
        raise _failed(address, f"{error.strerror}.", hint) from error
    return listener


async def connect(address: Address, settings: TransportSettings) -> socket.socket:
    """A connected socket, from the first address of a name that answers. Raises OSError (TimeoutError too)."""
    async with asyncio.timeout(settings.resolve_timeout_s):
        found = await resolve(address)
    for number, (family, resolved) in enumerate(found, start=1):
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                return await _connect_to(family, resolved, settings)
        except OSError:
            if number == len(found):
                raise
    raise OSError(errno.EADDRNOTAVAIL, "the name stands for no address")


async def _connect_to(family: int, resolved: tuple[Any, ...], settings: TransportSettings) -> socket.socket:
    connecting = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        tune(connecting, settings)
        await asyncio.get_running_loop().sock_connect(connecting, resolved)
    except BaseException:
        connecting.close()
        raise
    return connecting


async def resolve(address: Address) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """What a name stands for; an IP address stands for itself, and asks nobody. Raises OSError."""
    flags = 0
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(address.host.partition("%")[0])
        flags = socket.AI_NUMERICHOST
    ask = partial(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    found = ask() if flags else await asyncio.get_running_loop().run_in_executor(_NAME_SERVICE, ask)
    return [(family, resolved) for family, _, _, _, resolved in found]


def tune(connection: socket.socket, settings: TransportSettings) -> None:
    """No waiting for more bytes, and an end with whoever does not answer any more. Raises OSError."""
    tcp = socket.IPPROTO_TCP
    connection.setsockopt(tcp, socket.TCP_NODELAY, 1)
    connection.setsockopt(tcp, socket.TCP_USER_TIMEOUT, int(settings.dead_after_s * 1000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    whole_s = max(1, round(settings.dead_after_s))
    connection.setsockopt(tcp, socket.TCP_KEEPIDLE, whole_s)
    connection.setsockopt(tcp, socket.TCP_KEEPINTVL, whole_s)
    connection.setsockopt(tcp, socket.TCP_KEEPCNT, 1)


def _failed(address: Address, why: str, hint: str) -> SwarmctlError:
    return SwarmctlError(ErrorCode.PEERS_LISTEN_FAILED, f"Can't listen on {address}.", why=why, hint=hint)
