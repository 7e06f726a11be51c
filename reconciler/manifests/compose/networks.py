"""Networks: which are made, how services attach. Source: measured on docker CLI 28.2 (docs/decisions/0006)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reconciler.manifests.compose.extension import extended
from reconciler.manifests.compose.mounts import object_name
from reconciler.manifests.compose.pairs import texts
from reconciler.manifests.compose.source import EXTENSION, StackSource, without_empty
from reconciler.manifests.networks import ipam_body, network_body, subnet_fault
from reconciler.manifests.problems import KeyPath
from reconciler.model.json import JsonObject, dig

DEFAULT: Final = "default"
_PREDEFINED: Final = frozenset({"host", "bridge", "none", "default"})
_FOR_SERVICES: Final = frozenset({"host", "bridge"})
"""Those that Swarm has for services, too; of the others it says that they are not found."""


def is_predefined(name: str) -> bool:
    """Return whether a network of this name is the engine's own: never looked up, and without aliases."""
    return name in _PREDEFINED or name.startswith("container:")


def network_keys(source: StackSource, service: JsonObject) -> list[str]:
    """Return the keys of the networks that a service attaches to.

    That is `default` when it names none, unless it is in no stack or its extension says which networks it has.
    """
    named = list(service.get("networks") or ())
    if named or source.standalone or "Networks" in (dig(service, EXTENSION, "spec", "TaskTemplate") or {}):
        return named
    return [DEFAULT]


def attachments(source: StackSource, at: KeyPath, name: str, service: JsonObject) -> list[JsonObject]:
    """Return TaskTemplate.Networks of the service `name`, sorted by the networks' full names."""
    given = service.get("networks")
    known = source.section("networks")
    result: list[JsonObject] = []
    for index, key in enumerate(network_keys(source, service)):
        if key not in known and key != DEFAULT:
            spot = (*at, "networks", key if isinstance(given, dict) else index)
            source.undefined(spot, "networks", key, known)
            continue
        target = object_name(source, "networks", key)
        if refusal := _why_not(target):
            where: KeyPath = ("networks", key) if key in known else (*at, "networks")
            named = target.partition(":")[0]  # behind it may stand what a variable says
            source.invalid(where, f"A service cannot attach to the network `{named}`.", *refusal)
            continue
        options = (given.get(key) if isinstance(given, dict) else None) or {}
        aliases = list(options.get("aliases") or ())
        if not is_predefined(target) and not source.standalone:
            aliases.append(name)
        driver_options = texts(options.get("driver_opts"))
        result.append(without_empty({"Target": target, "Aliases": aliases, "DriverOpts": driver_options}))
    return sorted(result, key=lambda attachment: str(attachment["Target"]).encode("utf-8", "surrogatepass"))


def _why_not(target: str) -> tuple[str, str] | None:
    """Return why Swarm attaches no service to a network of this name, and what to do; None where it does."""
    if target == "ingress":
        return "Swarm keeps it for itself.", "Use another network; `ports` need none for ingress."
    if is_predefined(target) and target not in _FOR_SERVICES:
        why = "Of the networks that each engine has by itself, services can use `host` and `bridge` only."
        return why, "Use another network; one with `internal: true` leads nowhere outside."
    return None


def used_keys(source: StackSource, services: Iterable[JsonObject]) -> frozenset[str]:
    """Return the keys of the networks that some service attaches to: only those are made."""
    return frozenset(key for service in services for key in network_keys(source, service))


def create_body(source: StackSource, key: str) -> JsonObject:
    """Return the create request of a network that is not external."""
    at: KeyPath = ("networks", key)
    definition = source.section("networks").get(key) or {}
    ipam = definition.get("ipam") or {}
    pools = [
        without_empty({"Subnet": ipam_subnet(source, (*at, "ipam", "config", index), pool)})
        for index, pool in enumerate(ipam.get("config") or ())
    ]
    body = network_body(object_name(source, "networks", key), definition.get("driver") or "overlay")
    body["Attachable"] = bool(definition.get("attachable"))
    body["Internal"] = bool(definition.get("internal"))
    body["Labels"] = source.stack_labels(texts(definition.get("labels")))
    options = definition.get("driver_opts")
    body["Options"] = None if options is None else texts(options)
    body["IPAM"] = ipam_body(ipam.get("driver") or "", None, pools)
    return extended(source, at, definition, body)


def ipam_subnet(source: StackSource, at: KeyPath, pool: JsonObject) -> str:
    """Return a pool's subnet as written, after telling when it is none."""
    written = str(pool.get("subnet") or "")
    if fault := subnet_fault(written) if written else "":
        spot = (*at, "subnet")
        source.invalid(spot, f"{source.shown(spot, written)} is no subnet.", fault, "Write one such as 10.0.9.0/24.")
    return written
