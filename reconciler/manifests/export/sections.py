"""The top-level sections of one stack file: networks, volumes, secrets and configs, each under a key of its own."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from reconciler.manifests.compose.file_objects import CONFIGS
from reconciler.manifests.compose.networks import is_predefined
from reconciler.manifests.stack_graph import name_problem
from reconciler.model import labels
from reconciler.model.errors import Place
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind, ObservedObject

_ODD: Final = re.compile(r"[^a-zA-Z0-9._-]")
_ALLOCATED: Final = frozenset({"com.docker.network.driver.overlay.vxlanid_list"})
"""Options of a network that Swarm fills in by itself."""
_SECTION: Final = {Kind.NETWORK: "networks", Kind.SECRET: "secrets", Kind.CONFIG: "configs"}


def written_labels(found: JsonObject | None, stack: str | None) -> dict[str, str]:
    """Return the labels that a file gives: not those of ours, and not the stack's own."""
    return {
        name: value
        for name, value in (found or {}).items()
        if name not in labels.OURS and not (name == labels.STACK_NAMESPACE and value == stack)
    }


def stays(found: ObservedObject) -> bool:
    """Return whether an object is to be kept when nothing declares it any more: a label of ours says so."""
    return found.labels.get(labels.PRUNE) == "false"


def extension(found: ObservedObject, patch: JsonObject) -> JsonObject:
    """Return the extension of a definition, under its key, or nothing where it would say nothing."""
    keys: JsonObject = ({"prune": False} if stays(found) else {}) | ({"spec": patch} if patch else {})
    return {"x-swarmctl": keys} if keys else {}


def stack_of(found: ObservedObject) -> str | None:
    """Return the stack whose file an object belongs into; a label that names no possible stack is a mere label."""
    stack = found.stack
    return None if stack is None or name_problem(stack, Place("")) is not None else stack


def filled(value: JsonObject) -> JsonObject:
    """Return `value` without what says nothing: null, "", false, 0, and empty lists and objects."""
    return {key: item for key, item in value.items() if item or (isinstance(item, int | float) and item != 0)}


def content_of(config: ObservedObject) -> bytes | None:
    """Return a config's content, or None for one that no file could give."""
    try:
        content = base64.b64decode(config.spec.get("Data") or "", validate=True)
    except binascii.Error:
        return None
    return content if 0 < len(content) <= CONFIGS.bytes_max else None


class Sections(msgspec.Struct):
    """Definitions of one file while it is written, in the order in which they were asked for.

    `stack` is None for the file of what belongs to no stack; `folder` is where the contents of its configs go, and
    `link` the same folder as the stack file writes it. `live` is {kind: {id: object}} of the cluster;
    `predefined` is {id: name} of networks that engines have by themselves. `external` are (section, key) of
    definitions that may not be written out, `inputs` the contents of configs by path.
    """

    stack: str | None
    folder: str
    link: str
    live: dict[Kind, dict[str, ObservedObject]]
    predefined: dict[str, str]
    external: frozenset[tuple[str, str]] = frozenset()
    sections: dict[str, dict[str, JsonObject]] = msgspec.field(
        default_factory=lambda: {name: {} for name in ("networks", "volumes", "secrets", "configs")}
    )
    inputs: dict[str, bytes] = msgspec.field(default_factory=dict)
    _keys: dict[tuple[str, str], str] = msgspec.field(default_factory=dict)

    def network(self, target: str) -> str | None:
        """Return the key of the network that a service names by id or name, or None when it is unknown."""
        found = self.live[Kind.NETWORK].get(target)
        if found is not None:
            return self.declared(found)
        name = self.predefined.get(target, target)
        if not is_predefined(name):
            return None
        return self._key("networks", name, name, {"external": True})

    def file_object(self, kind: Kind, object_id: str) -> str | None:
        """Return the key of the secret or config with that id, or None when it is unknown."""
        found = self.live[kind].get(object_id)
        return None if found is None else self.declared(found)

    def declared(self, found: ObservedObject) -> str:
        """Return the key of a network, secret or config, after defining it if it is new."""
        section = _SECTION[found.kind]
        if (section, found.id) in self._keys:
            return self._keys[section, found.id]
        logical = found.labels.get(labels.LOGICAL_NAME, found.name)
        key = self._free(section, self._plain(logical))
        definition = None
        if stack_of(found) == self.stack and (section, key) not in self.external:
            definition = self._definition(found, key, logical)
        if definition is None:
            definition = {"external": True} | _named(found.name, key)
        return self._key(section, found.id, key, definition)

    def volume(self, source: str, options: JsonObject) -> str | None:
        """Return the key of a named volume with these VolumeOptions; None when no definition stands for them."""
        given = options.get("Labels") or {}
        driver = options.get("DriverConfig") or {}
        definition = filled(
            {
                "driver": driver.get("Name"),
                "driver_opts": driver.get("Options"),
                "labels": written_labels(given, self.stack),
            }
        )
        ours = given.get(labels.STACK_NAMESPACE) == self.stack
        if not ours and definition:
            return None
        identity = f"{source}\n{ours}\n{sorted(given.items())}\n{driver}"
        if ("volumes", identity) in self._keys:
            return self._keys["volumes", identity]
        key = self._free("volumes", self._plain(source) if ours else source)
        if ours:
            definition = _named(source, self._scoped(key)) | definition
        else:
            definition = {"external": True} | _named(source, key)
        return self._key("volumes", identity, key, definition)

    def _definition(self, found: ObservedObject, key: str, logical: str) -> JsonObject | None:
        named = _named(logical, self._scoped(key))
        if found.kind is Kind.NETWORK:
            return named | network_definition(found.spec, self.stack) | extension(found, network_patch(found.spec))
        definition = named | filled({"labels": written_labels(found.labels, self.stack)}) | extension(found, {})
        templating = (found.spec.get("Templating") or {}).get("Name")
        if templating:
            definition["template_driver"] = templating
        driver = found.spec.get("Driver")
        if found.kind is Kind.SECRET:
            if not driver:
                return None  # what it holds can't be read
            return definition | filled({"driver": driver.get("Name"), "driver_opts": driver.get("Options")})
        content = content_of(found)
        if content is None or any(
            (Kind.CONFIG, logical) == (other.kind, other.labels.get(labels.LOGICAL_NAME, other.name))
            for other_id, other in self.live[Kind.CONFIG].items()
            if ("configs", other_id) in self._keys
        ):
            return None  # another version of it is declared already, and one name means one content
        self.inputs[f"{self.folder}/{key}"] = content
        return {"file": f"{self.link}/{key}"} | definition

    def _plain(self, name: str) -> str:
        return name.removeprefix(f"{self.stack}_") if self.stack else name

    def _scoped(self, key: str) -> str:
        return f"{self.stack}_{key}" if self.stack else key

    def _free(self, section: str, wanted: str) -> str:
        """Return a key that is free: `wanted`, with what a key may not have replaced."""
        base = _ODD.sub("-", wanted).lstrip(".") or "unnamed"
        number, key = 2, base
        while key in self.sections[section]:
            number, key = number + 1, f"{base}-{number}"
        return key

    def _key(self, section: str, identity: str, key: str, definition: JsonObject) -> str:
        self.sections[section].setdefault(key, definition)
        return self._keys.setdefault((section, identity), key)


def _named(name: str, implied: str) -> JsonObject:
    return {} if name == implied else {"name": name}


def network_definition(spec: JsonObject, stack: str | None) -> JsonObject:
    """Return a network as the keys of a stack file declare it, but for what goes into its extension."""
    ipam = spec.get("IPAM") or {}
    pools: list[JsonValue] = ipam.get("Config") or []
    options = {name: value for name, value in (spec.get("Options") or {}).items() if name not in _ALLOCATED}
    driver = ipam.get("Driver")
    written_pools = [] if "IPAM" in network_patch(spec) else [{"subnet": pool["Subnet"]} for pool in pools]
    return filled(
        {
            "driver": spec.get("Driver") if spec.get("Driver") != "overlay" else None,
            "driver_opts": options,
            "attachable": spec.get("Attachable"),
            "internal": spec.get("Internal"),
            "ipam": filled({"driver": driver if driver != "default" else None, "config": written_pools}),
            "labels": written_labels(spec.get("Labels"), stack),
        }
    )


def network_patch(spec: JsonObject) -> JsonObject:
    """Return the part of a network's create request that compose has no word for."""
    ipam = spec.get("IPAM") or {}
    pools: list[JsonObject] = ipam.get("Config") or []
    patch: JsonObject = {}
    if any(pool.keys() - {"Subnet", "Gateway"} for pool in pools) or ipam.get("Options"):
        patch["IPAM"] = filled({"Options": ipam.get("Options"), "Config": pools})
    if spec.get("EnableIPv6"):
        patch["EnableIPv6"] = True
    return patch
