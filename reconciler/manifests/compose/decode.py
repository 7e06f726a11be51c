"""A stack file's definitions with every short form written out, as docker has them before it merges files.

What the conversions make of a file is the same before and after. Merging needs it: `ports` of two files are
compared by published port, environments by name, and so on. What cannot be read is told here and left out.

Source: measured on docker CLI 28.2 (docs/decisions/0006).
"""

from __future__ import annotations

import msgspec

from reconciler.manifests.compose.container import host_entries
from reconciler.manifests.compose.environment import service_variables
from reconciler.manifests.compose.layers import Layer, Origins
from reconciler.manifests.compose.mounts import long_mount
from reconciler.manifests.compose.pairs import command_words, texts
from reconciler.manifests.compose.ports import long_ports
from reconciler.manifests.compose.source import SECTIONS, StackSource
from reconciler.manifests.problems import KeyPath
from reconciler.manifests.quantities import size_bytes
from reconciler.model.json import JsonObject, JsonValue

_COMMANDS = ("command", "entrypoint")
_PAIRS = (("labels",), ("sysctls",), ("deploy", "labels"), ("logging", "options"))
_ONE_OR_MORE = ("dns", "dns_search")
_FILE_REFERENCES = ("secrets", "configs")
_READ_ALREADY = ("env_file", "tmpfs")
"""env_file has become part of the environment; tmpfs means nothing to Swarm."""


def decoded_layer(source: StackSource) -> Layer:
    """Return the file's sections with short forms written out; broken definitions are empty."""
    layer = Layer({name: dict(source.section(name)) for name in SECTIONS}, Origins((source.document, ())))
    for name, service in source.section("services").items():
        if source.is_sound("services", name):
            decoder = _Decoder(source, ("services", name), layer.origins)
            layer.value["services"][name] = decoder.service(service)
    return layer


class _Decoder(msgspec.Struct, frozen=True):
    source: StackSource
    at: KeyPath
    origins: Origins

    def service(self, given: JsonObject) -> JsonObject:
        result = {key: item for key, item in given.items() if key not in _READ_ALREADY and item is not None}
        for key in _COMMANDS:
            if key in result:
                result[key] = command_words(self.source, (*self.at, key), result[key])
        for key in _ONE_OR_MORE:
            if isinstance(result.get(key), str):
                result[key] = [result[key]]
        for path in _PAIRS:
            self._pairs(result, path)
        if "environment" in given or "env_file" in given:
            result["environment"] = self._environment(given)
        if "extra_hosts" in given:
            result["extra_hosts"] = self._hosts(given["extra_hosts"])
        self._lists(result)
        self._healthcheck(result)
        self._check_memory(given)
        return result

    def _pairs(self, result: JsonObject, path: tuple[str, ...]) -> None:
        outer = result
        for step in path[:-1]:
            if not outer.get(step):
                return
            outer[step] = dict(outer[step])
            outer = outer[step]
        value = outer.get(path[-1])
        if value is None:
            return
        self._listed_names((*self.at, *path), value)
        outer[path[-1]] = texts(value)

    def _listed_names(self, at: KeyPath, value: JsonValue) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                self._came_from((*at, item.partition("=")[0]), (*at, index))

    def _came_from(self, path: KeyPath, written: KeyPath) -> None:
        """Note that the value at `path` is written at another path of the file."""
        self.origins.put(path, Origins((self.source.document, written)))

    def _environment(self, given: JsonObject) -> JsonObject:
        variables = service_variables(self.source, self.at, given)
        written = given.get("environment") or ()
        at = (*self.at, "environment")
        known = written if isinstance(written, dict) else {item.partition("=")[0] for item in written}
        for name in variables:
            if name not in known:
                self._came_from((*at, name), (*self.at, "env_file"))
        self._listed_names(at, written)
        return dict(variables)

    def _hosts(self, value: JsonValue) -> list[str]:
        entries = host_entries(value)
        if isinstance(value, dict):
            at = (*self.at, "extra_hosts")
            for index, entry in enumerate(entries):
                self._came_from((*at, index), (*at, entry.partition(":")[0]))
        return entries

    def _lists(self, result: JsonObject) -> None:
        if "ports" in result:
            result["ports"] = self._expanded("ports", [long_ports(self.source, *each) for each in self._items(result)])
        if "volumes" in result:
            mounts = [long_mount(self.source, (*self.at, "volumes", i), v) for i, v in enumerate(result["volumes"])]
            result["volumes"] = self._expanded("volumes", [[] if mount is None else [mount] for mount in mounts])
        for key in _FILE_REFERENCES:
            if key in result:
                result[key] = [{"source": item} if isinstance(item, str) else item for item in result[key]]
        if isinstance(result.get("networks"), list):
            for index, name in enumerate(result["networks"]):
                self._came_from((*self.at, "networks", name), (*self.at, "networks", index))
            result["networks"] = dict.fromkeys(result["networks"])

    def _items(self, result: JsonObject) -> list[tuple[KeyPath, JsonValue]]:
        return [((*self.at, "ports", index), item) for index, item in enumerate(result["ports"])]

    def _expanded(self, key: str, groups: list[list[JsonObject]]) -> list[JsonObject]:
        """Return the items of all groups; group I is what item I of the file stands for."""
        items: list[JsonObject] = []
        for index, group in enumerate(groups):
            for item in group:
                self._came_from((*self.at, key, len(items)), (*self.at, key, index))
                items.append(item)
        return items

    def _healthcheck(self, result: JsonObject) -> None:
        test = (result.get("healthcheck") or {}).get("test")
        if isinstance(test, str):
            result["healthcheck"] = result["healthcheck"] | {"test": ["CMD-SHELL", test]}
            at = (*self.at, "healthcheck", "test")
            for index in range(2):
                self._came_from((*at, index), at)

    def _check_memory(self, given: JsonObject) -> None:
        """Tell of memory sizes that docker could not read, even where another file has a better one."""
        resources = (given.get("deploy") or {}).get("resources") or {}
        for key in ("limits", "reservations"):
            at = (*self.at, "deploy", "resources", key, "memory")
            self.source.quantity(at, (resources.get(key) or {}).get("memory"), size_bytes)
