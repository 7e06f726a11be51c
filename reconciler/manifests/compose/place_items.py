"""Which item of a compose list a field below a list of a spec comes from.

Each function takes a service's definition and the steps after the list's own; it returns the path of the item, or of
the key inside it that is meant, and None when no item is. Items are told apart as planning tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from reconciler.manifests.compose.mounts import BadMount, object_name, short_mount
from reconciler.manifests.compose.ports import BadPort, short_ports
from reconciler.manifests.compose.written import ENV_FILE, Definition, WrittenStack
from reconciler.manifests.problems import KeyPath
from reconciler.manifests.spec_path import UNNAMED, SpecSteps, position
from reconciler.manifests.yaml_scalars import go_text
from reconciler.model.json import JsonObject, JsonValue

Rule: TypeAlias = Callable[[Definition, SpecSteps], KeyPath | None]
"""Finds the key of a field: the steps are those after the ones that the rule was chosen by."""


def name_index(items: JsonValue, name: str, split: str = "=") -> int | None:
    """Return the position of the last `NAME=value` text of a list that has the name, or None."""
    found = [index for index, item in enumerate(items) if str(item).partition(split)[0] == name]
    return found[-1] if found else None


def named(keys: KeyPath, value: JsonValue, name: str) -> KeyPath | None:
    """Return the path of a name in what is a mapping, or a list of `NAME=value` texts, at `keys`."""
    if isinstance(value, dict):
        return (*keys, name) if name in value else None
    index = name_index(value or (), name)
    return None if index is None else (*keys, index)


def variable(service: Definition, rest: SpecSteps) -> KeyPath | None:
    """Env: `environment` wins over the files that `env_file` names."""
    if not rest:
        return service.given("environment") or service.given(ENV_FILE)
    found = named((*service.at, "environment"), service.value.get("environment"), rest[0])
    if found is not None:
        return found
    files = service.given(ENV_FILE)
    return files if files and service.written.environment_line(files, rest[0]) else None


_MOUNT: Final[Mapping[SpecSteps, KeyPath]] = {
    ("Type",): ("type",),
    ("Source",): ("source",),
    ("Target",): ("target",),
    ("ReadOnly",): ("read_only",),
    ("BindOptions", "Propagation"): ("bind", "propagation"),
    ("VolumeOptions", "NoCopy"): ("volume", "nocopy"),
    ("VolumeOptions", "Subpath"): ("volume", "subpath"),
    ("TmpfsOptions", "SizeBytes"): ("tmpfs", "size"),
}
_VOLUME: Final[Mapping[SpecSteps, str]] = {
    ("VolumeOptions", "Labels"): "labels",
    ("VolumeOptions", "DriverConfig", "Name"): "driver",
    ("VolumeOptions", "DriverConfig", "Options"): "driver_opts",
}


def mount(service: Definition, rest: SpecSteps) -> KeyPath | None:
    """Mounts: by target. Labels and drivers are those of the volume's own definition."""
    items = service.value.get("volumes") or ()
    if not rest:
        return service.given("volumes")
    index, item = _matching([(number, _long_mount(each)) for number, each in enumerate(items)], rest[0], _mount_target)
    if index is None:
        return None
    for steps, key in _VOLUME.items():
        if rest[1 : 1 + len(steps)] == steps:
            return _of_volume(service.written, str(item.get("source")), key, rest[1 + len(steps) :])
    return service.nearest(("volumes", index, *_MOUNT.get(rest[1:], ())))


def _long_mount(item: JsonValue) -> JsonObject:
    try:
        return short_mount(item) if isinstance(item, str) else item
    except BadMount:
        return {}


def _mount_target(item: JsonObject) -> str:
    return str(item.get("target"))


def _of_volume(written: WrittenStack, key: str, field: str, rest: SpecSteps) -> KeyPath | None:
    given = (written.section("volumes").get(key) or {}).get(field)
    if given is None:
        return None
    keys: KeyPath = ("volumes", key, field)
    return named(keys, given, rest[0]) if rest else keys


def _matching(
    items: list[tuple[int, JsonObject]], item: str, identity: Callable[[JsonObject], str]
) -> tuple[int | None, JsonObject]:
    """Return the item that is meant, with the position in the file of what it stands for.

    `items` are in the order of the spec: where nothing identifies one, the planner tells them by position.
    """
    for index, value in items:
        if identity(value) == item:
            return index, value
    spot = position(item)
    return items[spot] if spot is not None and spot < len(items) else (None, {})


_PORT: Final = {"TargetPort": "target", "PublishedPort": "published", "Protocol": "protocol", "PublishMode": "mode"}


def port(service: Definition, rest: SpecSteps) -> KeyPath | None:
    """EndpointSpec.Ports: by target and protocol; of several with the same, by what it is published on as well.

    Where that is not given either, by position in the order of the spec.
    """
    if not rest:
        return service.given("ports")
    ports = [(index, each) for index, item in enumerate(service.value.get("ports") or ()) for each in _long(item)]
    ports.sort(key=lambda pair: _port_order(pair[1]))
    index, _ = _matching(ports, rest[0], _narrow if rest[0].count("/") < 2 else _wide)
    if index is None:
        return None
    key = _PORT.get(rest[1]) if len(rest) > 1 else None
    return service.nearest(("ports", index, *((key,) if key else ())))


def _narrow(item: JsonObject) -> str:
    return f"{int(item.get('target') or 0)}/{_protocol(item)}"


def _wide(item: JsonObject) -> str:
    return f"{_narrow(item)}/{int(item.get('published') or 0) or UNNAMED['PublishedPort']}"


def _long(item: JsonValue) -> list[JsonObject]:
    if isinstance(item, dict):
        return [item]
    try:
        _, ports = short_ports(go_text(item))
    except BadPort:
        return []
    return [{long: each.get(field) for field, long in _PORT.items()} for each in ports]


def _protocol(item: JsonObject) -> str:
    return str(item.get("protocol") or "tcp").lower()


def _port_order(item: JsonObject) -> tuple[int, int, str, str]:
    published, target = int(item.get("published") or 0), int(item.get("target") or 0)
    return published, target, _protocol(item), str(item.get("mode") or "ingress").lower()


def attachment(service: Definition, rest: SpecSteps) -> KeyPath | None:
    """TaskTemplate.Networks: by the network's full name. One that is only attached by default stands nowhere."""
    given = service.value.get("networks")
    if not rest or not given:
        return service.given("networks")
    for index, key in enumerate(given):
        if object_name(service.written, "networks", key) != rest[0]:
            continue
        if isinstance(given, list):
            return (*service.at, "networks", index)
        keys: KeyPath = ("networks", key)
        if rest[1:2] == ("Aliases",):
            keys = (*keys, "aliases")
        elif rest[1:2] == ("DriverOpts",):
            keys = (*keys, "driver_opts", *rest[2:3])
        return (*service.at, *keys[:2]) if given[key] is None else service.nearest(keys)
    return None


_REFERENCE: Final[Mapping[SpecSteps, str]] = {
    ("File", "Name"): "target",
    ("File", "UID"): "uid",
    ("File", "GID"): "gid",
    ("File", "Mode"): "mode",
    ("SecretName",): "source",
    ("ConfigName",): "source",
}


def reference(section: str) -> Rule:
    """Return the rule of Secrets or Configs: by the name of the file in the container."""

    def rule(service: Definition, rest: SpecSteps) -> KeyPath | None:
        if not rest:
            return service.given(section)
        for index, item in enumerate(service.value.get(section) or ()):
            target = item if isinstance(item, str) else item.get("target") or item.get("source")
            if target == rest[0]:
                key = _REFERENCE.get(rest[1:])
                return service.nearest((section, index, *((key,) if key else ())))
        # The config of a credential spec is no file in the container.
        return (
            service.given("credential_spec", "config")
            if section == "configs" and rest[0] == UNNAMED["File.Name"]
            else None
        )

    return rule


def ulimit(service: Definition, rest: SpecSteps) -> KeyPath | None:
    """Ulimits: by name; one number stands for both limits."""
    if not rest:
        return service.given("ulimits")
    if service.given("ulimits", rest[0]) is None:
        return None
    return service.nearest(("ulimits", *rest[:1], *(step.lower() for step in rest[1:2])))


def positioned(*keys: str, below: Mapping[SpecSteps, KeyPath]) -> Rule:
    """Return the rule of a list whose items are told by position, and have their own order in the spec."""

    def rule(definition: Definition, rest: SpecSteps) -> KeyPath | None:
        spot = position(rest[0]) if rest else None
        if spot is None or definition.given(*keys, spot) is None:
            return definition.given(*keys) if not rest else None
        return definition.nearest((*keys, spot, *below.get(rest[1:], ())))

    return rule
