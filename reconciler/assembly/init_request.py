"""What `POST /swarm/init` asks for, checked. Texts are the engine's own. (facts: swarmkit 7.3, 8)"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field

from reconciler.assembly import swarm_settings
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.tables import DEFAULT_ADDRESS_POOL, DEFAULT_DATA_PATH_PORT, DEFAULT_SUBNET_SIZE, Availability

SWARM_PORT = 2377
ANY = "0.0.0.0"  # noqa: S104 -- the engine's own default; nothing is listened on yet
SUBNET_SIZE_MAX = 29
DATA_PATH_PORTS = range(1024, 49152)
PROBE = "192.0.2.1"
"""An address of nobody (RFC 5737): the host's own address on the way to it is the one to advertise."""

LISTEN_WRONG = "listen address must be an IP address or network interface (with optional port number)"
ADVERTISE_WRONG = "advertise address must be a non-zero IP address or network interface (with optional port number)"


@dataclass(frozen=True, slots=True)
class InitRequest:
    """`spec` is the ClusterSpec with only what was given, without the root's key, which only `asked` has."""

    advertise: str
    port: int
    availability: Availability
    spec: JsonObject
    asked: JsonObject = field(repr=False)
    pools: tuple[str, ...]
    subnet_size: int
    data_path_port: int
    force_new_cluster: bool
    autolock: bool


def parse(request: JsonObject) -> InitRequest:
    """Return a request that makes sense. Raises SwarmctlError (request-refused, embedded-failed) with the text."""
    spec = request.get("Spec") or {}
    if not isinstance(spec, dict):
        raise _refused("invalid JSON: Spec is no object")
    _check_settings(spec)
    autolock = bool(request.get("AutoLockManagers")) or swarm_settings.locks(spec)
    listen, port = _listen(_text(request, "ListenAddr"))
    advertise, port = _advertise(_text(request, "AdvertiseAddr"), listen, port)
    return InitRequest(
        advertise,
        port,
        _availability(_text(request, "Availability") or Availability.ACTIVE),
        swarm_settings.kept({**spec, "EncryptionConfig": {"AutoLockManagers": autolock}}),
        spec,
        _pools(request),
        _subnet_size(_number(request, "SubnetSize")),
        _data_path_port(_number(request, "DataPathPort")),
        bool(request.get("ForceNewCluster")),
        autolock,
    )


def _check_settings(spec: JsonObject) -> None:
    """Raise SwarmctlError for settings that are refused: an engine begins a swarm, and then updates it."""
    try:
        swarm_settings.check(spec)
    except SwarmctlError as error:
        why = error.problems[0].why
        raise _refused(f"error updating cluster settings: {why}" if why.startswith("rpc error") else why) from None


def _text(request: JsonObject, key: str) -> str:
    value = request.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _refused(f"invalid JSON: {key} is no text")
    return value


def _number(request: JsonObject, key: str) -> int:
    value = request.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _refused(f"invalid JSON: {key} is no number")
    return value


def _listen(text: str) -> tuple[str, int]:
    if not text:
        raise _refused('invalid ListenAddr "": invalid empty address')
    host, port = _host_and_port(text, LISTEN_WRONG)
    return _resolved(host, LISTEN_WRONG), port


def _advertise(text: str, listen: str, port: int) -> tuple[str, int]:
    if text:
        host, port = _host_and_port(text, ADVERTISE_WRONG, port)
        address = _resolved(host, ADVERTISE_WRONG)
        if ipaddress.ip_address(address).is_unspecified:
            raise _refused(ADVERTISE_WRONG)
        return address, port
    if not ipaddress.ip_address(listen).is_unspecified:
        return listen, port
    return _own_address(), port


def _host_and_port(text: str, wrong: str, default: int = SWARM_PORT) -> tuple[str, int]:
    host, separator, number = text.rpartition(":")
    if not separator or (":" in host and not host.endswith("]")):
        return text.strip("[]"), default
    if not number.isdigit() or not 0 < int(number) < 65536:
        raise _refused(wrong)
    return host.strip("[]"), int(number)


def _resolved(host: str, wrong: str) -> str:
    """Return an IP address as it is, and an interface's own in the place of its name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    address = _address_of_interface(host)
    if address is None:
        raise _refused(wrong)
    return address


def _address_of_interface(name: str) -> str | None:
    import fcntl  # noqa: PLC0415 -- for this rare form alone
    import struct  # noqa: PLC0415

    get_interface_address = 0x8915
    encoded = name.encode("utf-8", "replace")
    if not encoded or len(encoded) > 15:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, get_interface_address, struct.pack("256s", encoded))
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])


def _own_address() -> str:
    """Return this host's address on its way out; one without a way out has the loopback's. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((PROBE, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _availability(text: str) -> Availability:
    try:
        return Availability(text)
    except ValueError:
        raise _refused(f'invalid Availability: "{text}"') from None


def _pools(request: JsonObject) -> tuple[str, ...]:
    pools = request.get("DefaultAddrPool")
    if pools is None:
        return DEFAULT_ADDRESS_POOL
    if not isinstance(pools, list) or not all(isinstance(pool, str) for pool in pools):
        raise _refused("invalid JSON: DefaultAddrPool is no list of texts")
    return tuple(pools)  # an engine takes an empty list for none of its own, and shows null


def _subnet_size(size: int) -> int:
    if size > SUBNET_SIZE_MAX:
        raise _failed(f"subnet size is out of range: {size}")
    return size or DEFAULT_SUBNET_SIZE


def _data_path_port(port: int) -> int:
    if port == 0:
        return DEFAULT_DATA_PATH_PORT
    if port not in DATA_PATH_PORTS:
        raise _failed(f"Datapath port number is not in valid range (1024-49151) : {port}")
    return port


def _failed(why: str) -> SwarmctlError:
    """Return a refusal that the engine calls its own failure."""
    return SwarmctlError(ErrorCode.EMBEDDED_FAILED, "The swarm can't begin.", why=why)


def _refused(why: str) -> SwarmctlError:
    return SwarmctlError(ErrorCode.REQUEST_REFUSED, "The swarm can't begin.", why=why)
