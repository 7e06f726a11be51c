"""A network that swarm.yaml declares."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from reconciler.manifests.document import Document
from reconciler.manifests.networks import ipam_body, network_body, subnet_fault
from reconciler.manifests.problems import KeyPath, ProblemList, key_path_text, shown
from reconciler.manifests.spec_path import SpecSteps, below, position, spec_steps
from reconciler.manifests.yaml_scalars import go_text
from reconciler.model import labels
from reconciler.model.desired import DesiredObject
from reconciler.model.errors import ErrorCode, Place, Problem
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind

ENGINES_OWN: Final = frozenset({"bridge", "docker_gwbridge", "host", "ingress", "none"})
"""Networks that are there before anybody declares one."""
_POOL_FIELDS: Final = (("subnet", "Subnet"), ("ipRange", "IPRange"), ("gateway", "Gateway"))
_POOL_KEYS: Final = {field: key for key, field in _POOL_FIELDS}
_FIELDS: Final[Mapping[SpecSteps, KeyPath]] = {
    ("Driver",): ("driver",),
    ("Attachable",): ("attachable",),
    ("Internal",): ("internal",),
    ("Labels",): ("labels",),
    ("Labels", labels.PRUNE): ("prune",),
    ("Options",): ("driverOpts",),
    ("IPAM", "Driver"): ("ipam", "driver"),
    ("IPAM", "Options"): ("ipam", "options"),
}
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def cluster_network(document: Document, at: KeyPath, given: JsonObject, problems: ProblemList) -> DesiredObject:
    """Return the network at `at`, whose last step is its full name. It belongs to no stack.

    `subnet`, `gateway` and `ipRange` are short for an `ipam.config` of one pool.
    """
    name = str(at[-1])
    if name in ENGINES_OWN:
        what = f"`{name}` is no network to declare."
        why = "Every engine, or the swarm itself, has it without being asked."
        hint = "Give the network another name. A stack uses the engine's own with `external: true`."
        if name == "ingress":
            why = "It is the swarm's own, which carries published ports; swarmctl leaves it alone."
            hint = "Give the network another name. To change the ingress network see `docker network create --ingress`."
        problems.add(Problem(ErrorCode.INVALID_VALUE, what, why, hint, document.key_place(at)))
    ipam = given.get("ipam") or {}
    pools: list[JsonObject] = []
    if any(given.get(key) for key in ("subnet", "gateway", "ipRange")):
        pools.append(_pool(document, at, given, problems))
        if ipam.get("config"):
            place = document.key_place((*at, "ipam", "config"))
            what = f"`{key_path_text(at)}` has `subnet` and `ipam.config`."
            problems.add(Problem(ErrorCode.INVALID_VALUE, what, "Both give its addresses.", "Keep one of them.", place))
    for index, pool in enumerate(ipam.get("config") or ()):
        pools.append(_pool(document, (*at, "ipam", "config", index), pool, problems))
    body = network_body(name, given.get("driver") or "overlay")
    body["Attachable"] = bool(given.get("attachable"))
    body["Internal"] = bool(given.get("internal"))
    body["Labels"] = _texts(given.get("labels") or {})
    options = given.get("driverOpts")
    body["Options"] = None if options is None else _texts(options)
    ipam_options = ipam.get("options")
    body["IPAM"] = ipam_body(ipam.get("driver") or "", None if ipam_options is None else _texts(ipam_options), pools)
    return DesiredObject(
        Kind.NETWORK,
        name,
        None,
        body,
        document.key_place(at),
        prune=given.get("prune") is not False,
        where=NetworkPlaces(document, at, given),
    )


@dataclass(frozen=True, slots=True, repr=False)
class NetworkPlaces:
    """Finds the lines of one network's fields: the `where` of a DesiredObject. Looks only when it is asked."""

    document: Document
    at: KeyPath
    given: JsonObject

    def __call__(self, path: str) -> Place | None:
        """Return the line that asks for the field of the spec at `path`, None when no line does."""
        steps = spec_steps(path)
        keys = self._pool_keys(steps[2:]) if steps[:2] == ("IPAM", "Config") else _field_keys(steps)
        return self.document.key_place((*self.at, *keys)) if keys and below(self.given, keys) is not None else None

    def _pool_keys(self, steps: SpecSteps) -> KeyPath:
        """Return the key of a pool, or of a field of it; the pool may be written in short."""
        short = [key for key, _ in _POOL_FIELDS if self.given.get(key)]
        key = _POOL_KEYS.get(steps[1]) if len(steps) > 1 else None
        if short:
            return (key or short[0],)
        spot = position(steps[0]) if steps else None
        keys: KeyPath = ("ipam", "config", *(() if spot is None else (spot,)))
        return keys if key is None else (*keys, key)


def _field_keys(steps: SpecSteps) -> KeyPath:
    for length in (2, 1):
        if keys := _FIELDS.get(steps[:length]):
            return (*keys, *steps[length : length + 1])
    return ()


def _texts(given: JsonObject) -> dict[str, str]:
    return {name: go_text(value) for name, value in given.items()}


def _pool(document: Document, at: KeyPath, given: JsonObject, problems: ProblemList) -> JsonObject:
    pool: JsonObject = {}
    known = len(problems.errors)
    for key, field in _POOL_FIELDS:
        text = given.get(key)
        if not text:
            continue
        fault = _address_fault(text) if key == "gateway" else subnet_fault(text)
        if fault:
            noun = "address" if key == "gateway" else "subnet"
            example = "10.0.9.1" if key == "gateway" else "10.0.9.0/24"
            what = f"`{key_path_text((*at, key))}`, {shown(text)}, is no {noun}."
            place = document.place((*at, key))
            problems.add(Problem(ErrorCode.INVALID_VALUE, what, fault, f"Write one such as {example}.", place))
        pool[field] = text
    if len(problems.errors) == known:
        _check_range(document, at, pool, problems)
    return pool


def _check_range(document: Document, at: KeyPath, pool: JsonObject, problems: ProblemList) -> None:
    """Tell of what engines refuse in a pool of sound addresses. Measured on 20.10; host bits: newer ones."""

    def tell(key: str, what: str, why: str, hint: str) -> None:
        what = f"`{key_path_text((*at, key))}`, {shown(given[key])}, {what}."
        problems.add(Problem(ErrorCode.INVALID_VALUE, what, why, hint, document.place((*at, key))))

    given = {key: pool[field] for key, field in _POOL_FIELDS if field in pool}
    networks = {key: ipaddress.ip_network(given[key], strict=False) for key in ("subnet", "ipRange") if key in given}
    subnet, part = networks.get("subnet"), networks.get("ipRange")
    if subnet is None:
        for key in given:
            tell(key, "has no subnet beside it", "Docker takes it as a part of a subnet only.", "Add a `subnet`.")
        return
    if ipaddress.ip_interface(given["subnet"]).ip != subnet.network_address:
        why = f"Bits after the /{subnet.prefixlen} are set, which newer engines refuse."
        tell("subnet", "is an address inside a subnet", why, f"Write {subnet}.")
    why = f"Docker refuses what its subnet, {subnet}, does not hold."
    hint = f"Use addresses of {subnet}, or leave it out."
    if part is not None and not (part.version == subnet.version and _holds(subnet, part)):
        tell("ipRange", "lies outside its subnet", why, hint)
    if "gateway" in given and ipaddress.ip_address(given["gateway"]) not in subnet:
        tell("gateway", "lies outside its subnet", why, hint)


def _holds(subnet: _Network, part: _Network) -> bool:
    return part.network_address in subnet and part.prefixlen >= subnet.prefixlen


def _address_fault(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "It is no IP address."
    return ""
