"""What `POST /swarm/init` asks for, checked. Texts are the engine's own. (facts: swarmkit 7.3, 8)"""

from __future__ import annotations

import ipaddress

from reconciler.assembly import swarm_settings
from reconciler.assembly.local_addresses import PORTS, address_of, failed, own_address, refused
from reconciler.model.discreet import Discreet
from reconciler.model.errors import SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.nodes import Availability
from reconciler.model.tables import DEFAULT_ADDRESS_POOL, DEFAULT_DATA_PATH_PORT, DEFAULT_SUBNET_SIZE

SWARM_PORT = 2377
ANY = "0.0.0.0"  # noqa: S104 -- the engine's own default; nothing is listened on yet
SUBNET_SIZE_MAX = 29
DATA_PATH_PORTS = range(1024, 49152)

LISTEN_WRONG = "listen address must be an IP address or network interface (with optional port number)"
ADVERTISE_WRONG = "advertise address must be a non-zero IP address or network interface (with optional port number)"
DATA_PATH_WRONG = "data path address must be a non-zero IP address or network interface (without a port number)"


class InitRequest(Discreet, frozen=True):
    """`spec` is the ClusterSpec with only what was given, without the root's key, which only `asked` has."""

    UNSHOWN = frozenset({"asked"})

    advertise: str
    port: int
    listen: str
    listen_port: str
    availability: Availability
    spec: JsonObject
    asked: JsonObject
    pools: tuple[str, ...]
    subnet_size: int
    data_path_port: int
    force_new_cluster: bool
    autolock: bool


def parse(request: JsonObject) -> InitRequest:
    """Return a request that makes sense. Raises SwarmctlError (request-refused, embedded-failed) with the text."""
    spec = request.get("Spec") or {}
    if not isinstance(spec, dict):
        raise refused("invalid JSON: Spec is no object")
    _check_settings(spec)
    autolock = bool(request.get("AutoLockManagers")) or swarm_settings.locks(spec)
    listen, port_text = _listen(_text(request, "ListenAddr"))
    advertise, advertised_port = _advertise(_text(request, "AdvertiseAddr"), port_text)
    data_path = _text(request, "DataPathAddr")
    if data_path and ipaddress.ip_address(address_of(data_path, DATA_PATH_WRONG)).is_unspecified:
        raise refused(DATA_PATH_WRONG)
    return InitRequest(
        advertise,
        advertised_port,
        listen,
        port_text,
        availability_of(_text(request, "Availability") or Availability.ACTIVE),
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
        raise refused(f"error updating cluster settings: {why}" if why.startswith("rpc error") else why) from None


def _text(request: JsonObject, key: str) -> str:
    value = request.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refused(f"invalid JSON: {key} is no text")
    return value


def _number(request: JsonObject, key: str) -> int:
    value = request.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise refused(f"invalid JSON: {key} is no number")
    return value


def _listen(text: str) -> tuple[str, str]:
    """Return address and port, both as text: what can't be listened on is known after all else was checked."""
    if not text:
        raise refused('invalid ListenAddr "": invalid empty address')
    host, port = host_and_port(text)
    return address_of(host or ANY, LISTEN_WRONG), port or str(SWARM_PORT)


def _advertise(text: str, port: str) -> tuple[str, int]:
    if not text:
        return own_address(), _listened(port)
    host, own_port = host_and_port(text)
    address = address_of(host, ADVERTISE_WRONG)
    if ipaddress.ip_address(address).is_unspecified:
        raise refused(ADVERTISE_WRONG)
    return address, _port(own_port) if own_port else _listened(port)


def _listened(port: str) -> int:
    """Return the port that is listened on; 0 for one that can't be, which is refused before anything comes of it."""
    return int(port) if port.isascii() and port.isdigit() and int(port) in PORTS else 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) in PORTS):
        raise refused(ADVERTISE_WRONG)
    return int(text)


def host_and_port(text: str) -> tuple[str, str]:
    """Return HOST and PORT of HOST[:PORT], "" for a part that is not there; an IPv6 address has brackets then."""
    host, separator, port = text.rpartition(":")
    if not separator or (":" in host and not host.endswith("]")):
        return text.strip("[]"), ""
    return host.strip("[]"), port


def availability_of(text: str) -> Availability:
    """Return what a node is asked to be. Raises SwarmctlError (embedded-failed): so says an engine."""
    try:
        return Availability(text)
    except ValueError:
        raise failed(f'invalid Availability: "{text}"') from None


def _pools(request: JsonObject) -> tuple[str, ...]:
    pools = request.get("DefaultAddrPool")
    if pools is None:
        return DEFAULT_ADDRESS_POOL
    if not isinstance(pools, list) or not all(isinstance(pool, str) for pool in pools):
        raise refused("invalid JSON: DefaultAddrPool is no list of texts")
    return tuple(pools)  # an engine takes an empty list for none of its own, and shows null


def _subnet_size(size: int) -> int:
    if size > SUBNET_SIZE_MAX:
        raise failed(f"subnet size is out of range: {size}")
    return size or DEFAULT_SUBNET_SIZE


def _data_path_port(port: int) -> int:
    if port == 0:
        return DEFAULT_DATA_PATH_PORT
    if port not in DATA_PATH_PORTS:
        raise failed(f"Datapath port number is not in valid range (1024-49151) : {port}")
    return port
