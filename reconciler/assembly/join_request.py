"""What `POST /swarm/join` asks for, checked, and whether anybody answers there. Texts are the engine's own."""

from __future__ import annotations

import asyncio
import os
import re
import socket

from reconciler.api.faults import Refused
from reconciler.assembly.init_request import ANY, LISTEN_WRONG, SWARM_PORT, availability_of, host_and_port
from reconciler.assembly.local_addresses import address_of, failed, reason, refused
from reconciler.model.discreet import Discreet
from reconciler.model.json import JsonObject
from reconciler.model.nodes import Availability

TOKEN = re.compile(r"SWMTKN-1-[0-9A-Za-z]{50}-[0-9A-Za-z]{25}")
DIAL_S = 5.0
"""Seconds for a manager to take a connection."""
NOT_YET = (
    "joining the swarm of another machine is not supported by this version: a manager answers at {}, and this node "
    "stays outside"
)


class JoinRequest(Discreet, frozen=True):
    """`remotes` are HOST:PORT of managers, at least one."""

    UNSHOWN = frozenset({"token"})

    remotes: tuple[str, ...]
    token: str
    availability: Availability


def parse(request: JsonObject) -> JoinRequest:
    """Return a request that makes sense; ListenAddr and RemoteAddrs are there, as the API has checked.

    Raises SwarmctlError (request-refused, embedded-failed) with the text.
    """
    remotes = tuple(_remote(str(one)) for one in request["RemoteAddrs"])
    address_of(host_and_port(str(request["ListenAddr"]))[0] or ANY, LISTEN_WRONG)
    availability = availability_of(str(request.get("Availability") or Availability.ACTIVE))
    return JoinRequest(remotes, str(request.get("JoinToken") or ""), availability)


def _remote(text: str) -> str:
    if not text:
        raise refused('invalid remoteAddr "": invalid empty address')
    host, port = host_and_port(text)
    return f"{host}:{port or SWARM_PORT}"


async def attempt(wanted: JoinRequest) -> None:
    """Go as far as joining goes in this version: it ends with a refusal in any case.

    Raises SwarmctlError (embedded-failed) and Refused.
    """
    remote = wanted.remotes[0]
    host, _, port_text = remote.rpartition(":")
    port = int(port_text) if port_text.isdigit() and int(port_text) < 65536 else 0
    target = await _found(host, port)
    if wanted.token and TOKEN.fullmatch(wanted.token) is None:
        raise failed("invalid join token")
    dialing = f"dial tcp {target}:{port}"
    try:
        async with asyncio.timeout(DIAL_S):
            _, writer = await asyncio.open_connection(target, port)
    except TimeoutError:
        raise _unavailable(f"{dialing}: i/o timeout") from None
    except OSError as error:
        raise _unavailable(f"{dialing}: connect: {_cause(error)}") from None
    writer.close()
    raise Refused(501, NOT_YET.format(remote))


async def _found(host: str, port: int) -> str:
    """Return the address of a manager, once this host knows a way there. Sends nothing but a question for the name."""
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError:
        raise failed(f"could not find local IP address: dial udp: lookup {host}: no such host") from None
    family, kind, _, _, target = answers[0]
    with socket.socket(family, kind) as probe:
        try:
            probe.connect(target)
        except OSError as error:
            why = f"dial udp {target[0]}:{port}: connect: {reason(error)}"
            raise failed(f"could not find local IP address: {why}") from None
    return str(target[0])


def _cause(error: OSError) -> str:
    """Return the system's reason; asyncio puts words of its own around it."""
    return os.strerror(error.errno).lower() if error.errno else reason(error)


def _unavailable(why: str) -> Refused:
    text = f'connection error: desc = "transport: Error while dialing {why}"'
    return Refused(503, f"rpc error: code = Unavailable desc = {text}")
