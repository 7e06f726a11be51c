"""Volumes of a service. Source: measured on docker CLI 28.2 (docs/decisions/0006)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Final, Protocol

from reconciler.manifests.compose.pairs import texts
from reconciler.manifests.compose.source import StackSource, without_empty
from reconciler.manifests.problems import KeyPath, key_path_text
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonObject, JsonValue

_PROPAGATIONS: Final = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_TYPES: Final = ("volume", "bind", "tmpfs", "npipe", "cluster")
_OPTION_BLOCKS: Final = ("bind", "volume", "tmpfs")
_BLOCK_OF_TYPE: Final = {"volume": "volume", "bind": "bind", "npipe": "bind", "tmpfs": "tmpfs"}
_MOUNT_HINT: Final = "Write {type: volume, source: NAME, target: PATH}, or type bind with a source, or tmpfs without."
_WINDOWS_PATH: Final = re.compile(r"[A-Za-z]:")


class Named(Protocol):
    """Definitions, by section and key, and the full names of what they declare."""

    def section(self, name: str) -> Mapping[str, JsonObject]:
        """Return {key: definition} of a top-level section."""
        ...

    def scoped(self, name: str) -> str:
        """Return the full name of something that has no name of its own."""
        ...


class BadMount(ValueError):
    """The text is no mount; the message says why."""


def mounts(source: StackSource, at: KeyPath, service: JsonObject) -> list[JsonObject]:
    """Return the Mounts of a service, in the order of the file."""
    result: list[JsonObject] = []
    targets: set[str] = set()
    for index, item in enumerate(service.get("volumes") or ()):
        spot = (*at, "volumes", index)
        mount = _mount(source, spot, item)
        if mount is None:
            continue
        target = mount.get("Target", "")
        if target in targets:
            what = f"`{key_path_text(spot)}` mounts at {source.shown(spot, target)[:80]} once more."
            source.invalid(spot, what, "Each path in a container takes one mount.", "Remove one of the mounts.")
        targets.add(target)
        if isinstance(item, str) and _WINDOWS_PATH.match(item) and item[0] in source.section("volumes"):
            _tell_drive(source, spot, item[0])
        for text in _expanded_texts(mount):
            if "{{" in text:
                source.check_template(spot, text)
        result.append(mount)
    return result


def _tell_drive(source: StackSource, at: KeyPath, letter: str) -> None:
    what = f"`{key_path_text(at)}` does not mount the volume `{letter}`."
    why = "Docker reads a single letter and a colon as a drive of Windows, and all of it as a path in the container."
    hint = f"Give the volume a longer name, or write {{type: volume, source: {letter}, target: PATH}}."
    place = source.document.place(at)
    source.problems.add(Problem(ErrorCode.INVALID_VALUE, what, why, hint, place, Severity.WARNING))


def _expanded_texts(mount: JsonObject) -> list[str]:
    """Return the texts of a mount in which Swarm expands templates."""
    options = mount.get("VolumeOptions") or {}
    driver = options.get("DriverConfig") or {}
    inner = [*(options.get("Labels") or {}).values(), *(driver.get("Options") or {}).values()]
    return [mount.get("Source", ""), mount.get("Target", ""), *inner]


def _mount(source: StackSource, at: KeyPath, item: JsonValue) -> JsonObject | None:
    item = long_mount(source, at, item)
    if item is None:
        return None
    kind = item["type"]
    fault = _fault(kind, item)
    if fault:
        source.invalid(at, f"`{key_path_text(at)}` is no mount that Swarm takes.", f"{fault}.", _MOUNT_HINT)
        return None
    mount = without_empty(
        {
            "Type": kind,
            "Target": item.get("target"),
            "ReadOnly": item.get("read_only"),
            "Consistency": item.get("consistency"),
        }
    )
    return mount | _OF_TYPE[kind](source, at, item)


def long_mount(source: StackSource, at: KeyPath, item: JsonValue) -> JsonObject | None:
    """Return a mount in its long form, or None after telling what is wrong with a short one."""
    if not isinstance(item, str):
        return dict(item)
    try:
        return short_mount(item)
    except BadMount as error:
        what = f"`{key_path_text(at)}` is no mount that docker understands."
        hint = "Write [source:]target[:options], or a mapping with type, source and target."
        source.invalid(at, what, f"In {source.shown(at, item)} {error}.", hint)
        return None


def _fault(kind: str, item: JsonObject) -> str:
    if kind not in _TYPES:
        return f"Its type must be one of {', '.join(_TYPES)}"
    for block in _OPTION_BLOCKS:
        if block in item and block != _BLOCK_OF_TYPE.get(kind):
            return f"The options under `{block}` are not for a mount of type {kind}"
    if kind in ("bind", "npipe", "cluster") and not item.get("source"):
        return f"A mount of type {kind} needs a source"
    if kind == "tmpfs" and item.get("source"):
        return "A mount of type tmpfs takes no source"
    return ""


def _bind(source: StackSource, _at: KeyPath, item: JsonObject) -> JsonObject:
    mount: JsonObject = {"Source": host_path(source, item["source"]) if item["type"] == "bind" else item["source"]}
    if "bind" in item:
        mount["BindOptions"] = without_empty({"Propagation": item["bind"].get("propagation")})
    return mount


def host_path(source: StackSource, written: str) -> str:
    """Return a bind mount's source as an absolute path: `~` is the home, other relative paths start at the file."""
    path = written.replace("~", source.inputs.home, 1) if written.startswith("~") else written
    if posixpath.isabs(path) or _WINDOWS_PATH.match(path) or path.startswith("\\\\"):
        return path
    return posixpath.normpath(posixpath.join(source.host_folder, path))


def _tmpfs(_source: StackSource, _at: KeyPath, item: JsonObject) -> JsonObject:
    if "tmpfs" not in item:
        return {}
    return {"TmpfsOptions": without_empty({"SizeBytes": int(item["tmpfs"].get("size") or 0)})}


def _cluster(source: StackSource, at: KeyPath, item: JsonObject) -> JsonObject:
    name = item["source"]
    if name.startswith("group:"):
        return {"Source": name, "ClusterOptions": {}}
    return {"Source": _volume_name(source, at, name), "ClusterOptions": {}}


def _volume(source: StackSource, at: KeyPath, item: JsonObject) -> JsonObject:
    name = item.get("source")
    if not name:
        return {}
    options = item.get("volume") or {}
    volume_options = without_empty({"NoCopy": options.get("nocopy"), "Subpath": options.get("subpath")})
    definition = source.section("volumes").get(name) or {}
    if not is_external(definition):
        volume_options["Labels"] = source.stack_labels(texts(definition.get("labels")))
        if definition.get("driver") or definition.get("driver_opts") is not None:
            driver = {"Name": definition.get("driver"), "Options": texts(definition.get("driver_opts"))}
            volume_options["DriverConfig"] = without_empty(driver)
    return {"Source": _volume_name(source, at, name), "VolumeOptions": volume_options}


def _volume_name(source: StackSource, at: KeyPath, key: str) -> str:
    known = source.section("volumes")
    if key not in known:
        spot = (*at, "source") if source.document.source(at) is None else at
        source.undefined(spot, "volumes", key, known)
        return key
    return object_name(source, "volumes", key)


def is_external(definition: JsonObject) -> bool:
    """Return whether a top-level definition stands for something that exists already, in either form."""
    external = definition.get("external")
    return isinstance(external, dict) or external is True


def object_name(source: Named, section: str, key: str) -> str:
    """Return the name in the cluster of a top-level definition: its own, an external one's, or STACK_key."""
    definition = source.section(section).get(key) or {}
    external = definition.get("external")
    if isinstance(external, dict) and external.get("name"):
        return str(external["name"])
    if definition.get("name"):
        return str(definition["name"])
    return key if is_external(definition) else source.scoped(key)


_OF_TYPE: Final = {"bind": _bind, "npipe": _bind, "tmpfs": _tmpfs, "cluster": _cluster, "volume": _volume}


def short_mount(text: str) -> JsonObject:
    """Return the long form of `[source:]target[:options]`. Raises BadMount.

    A colon after a single letter belongs to a Windows drive, so that a volume cannot have a one-letter name.
    Options that docker does not know (z, cached, delegated) are ignored, as docker does.
    """
    if not text:
        raise BadMount("there is nothing")
    if len(text) <= 2:
        return {"type": "volume", "target": text}
    parts = _sections(text)
    if len(parts) == 1:
        return {"type": "volume", "target": parts[0]}
    if len(parts) > 3:
        raise BadMount("there are too many colons")
    mount: JsonObject = {"source": parts[0], "target": parts[1]}
    mount["type"] = "bind" if _is_file_path(parts[0]) else "volume"
    for option in parts[2].split(",") if len(parts) == 3 else ():
        if option in ("ro", "rw"):
            mount["read_only"] = option == "ro"
        elif option == "nocopy":
            mount["volume"] = {"nocopy": True}
        elif option in _PROPAGATIONS:
            mount["bind"] = {"propagation": option}
    return mount


def _sections(text: str) -> list[str]:
    sections = [""]
    for char in text:
        drive = len(sections[-1]) == 1 and sections[-1].isalpha()
        if char == ":" and not drive:
            sections.append("")
        else:
            sections[-1] += char
    if "" in sections:
        raise BadMount("a section between colons is empty")
    return sections


def _is_file_path(text: str) -> bool:
    return text.startswith((".", "/", "~", "\\\\")) or _WINDOWS_PATH.match(text) is not None
