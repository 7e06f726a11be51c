"""A ContainerSpec as keys of compose: what compose.container reads, the other way round.

Nothing here has to be exact: what compose cannot say, and what it would say differently, is found by compiling the
result and comparing.
"""

from __future__ import annotations

from typing import Final

from reconciler.manifests.compose.images import BadImage, normalized_image
from reconciler.manifests.compose.mounts import BadMount, short_mount
from reconciler.manifests.export.quantities import duration_text
from reconciler.manifests.export.sections import Sections, filled, written_labels
from reconciler.manifests.export.yaml_text import FileMode
from reconciler.model import labels
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind

PLACEHOLDER_IMAGE: Final = "see-x-swarmctl"
"""Stands where a service has no image that compose accepts; its extension then says what it runs."""
_MODE_READ_ALL: Final = 0o444


def image(spec: JsonObject, service_labels: JsonObject) -> str:
    """Return the image as somebody would write it: as the stack file had it, else without a digest beside a tag."""
    live = spec.get("Image") or ""
    tagged, at, _ = live.partition("@")
    has_tag = ":" in tagged.rpartition("/")[2]
    for written in (service_labels.get(labels.STACK_IMAGE) or "", tagged if at and has_tag else live):
        try:
            if normalized_image(written) in (live, tagged):
                return str(written)
        except BadImage:
            continue
    return live or PLACEHOLDER_IMAGE


def container(spec: JsonObject, sections: Sections) -> JsonObject:
    """Return the keys of a service that come from its ContainerSpec, without the image."""
    dns = spec.get("DNSConfig") or {}
    isolation = spec.get("Isolation")
    keys = filled(
        {
            "entrypoint": spec.get("Command"),
            "command": spec.get("Args"),
            "hostname": spec.get("Hostname"),
            "user": spec.get("User"),
            "working_dir": spec.get("Dir"),
            "environment": _environment(spec.get("Env") or []),
            "volumes": _volumes(spec.get("Mounts") or [], sections),
            "secrets": _references(spec.get("Secrets") or [], Kind.SECRET, sections),
            "configs": _references(spec.get("Configs") or [], Kind.CONFIG, sections),
            "healthcheck": _healthcheck(spec.get("Healthcheck") or {}),
            "labels": written_labels(spec.get("Labels"), sections.stack),
            "extra_hosts": [":".join(reversed(line.split(" ", 1))) for line in spec.get("Hosts") or []],
            "dns": dns.get("Nameservers"),
            "dns_search": dns.get("Search"),
            "cap_add": [name.removeprefix("CAP_") for name in spec.get("CapabilityAdd") or []],
            "cap_drop": [name.removeprefix("CAP_") for name in spec.get("CapabilityDrop") or []],
            "sysctls": spec.get("Sysctls"),
            "ulimits": _ulimits(spec.get("Ulimits") or []),
            "read_only": spec.get("ReadOnly"),
            "tty": spec.get("TTY"),
            "stdin_open": spec.get("OpenStdin"),
            "stop_signal": spec.get("StopSignal"),
            "isolation": isolation if isolation != "default" else None,
        }
    )
    if spec.get("Init") is not None:
        keys["init"] = spec["Init"]
    if spec.get("StopGracePeriod") is not None:
        keys["stop_grace_period"] = duration_text(spec["StopGracePeriod"])
    return keys


def _environment(entries: list[str]) -> JsonObject:
    variables: JsonObject = {}
    for entry in entries:
        name, found, value = entry.partition("=")
        variables[name] = value if found else None
    return variables


def _healthcheck(spec: JsonObject) -> JsonObject:
    test: JsonValue = spec.get("Test") or []
    if test == ["NONE"]:
        return {"disable": True}
    keys: JsonObject = {"test": test[1] if len(test) == 2 and test[0] == "CMD-SHELL" else test}
    for key, field in (
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
        ("start_interval", "StartInterval"),
    ):
        keys[key] = duration_text(spec[field]) if spec.get(field) else None
    return filled(keys | {"retries": spec.get("Retries")})


def _ulimits(limits: list[JsonObject]) -> JsonObject:
    result: JsonObject = {}
    for limit in limits:
        hard, soft = limit.get("Hard") or 0, limit.get("Soft") or 0
        result[limit.get("Name") or ""] = hard if hard == soft else {"soft": soft, "hard": hard}
    return result


def _references(references: list[JsonObject], kind: Kind, sections: Sections) -> list[JsonValue]:
    noun = kind.value.capitalize()
    result: list[JsonValue] = []
    for reference in references:
        key = sections.file_object(kind, reference.get(f"{noun}ID") or "")
        file = reference.get("File")
        if key is None or not file:
            continue  # such as the config of a credential spec, which no file shows
        mode = file.get("Mode", 0)
        long: JsonObject = {"source": key} | filled(
            {
                "target": file.get("Name") if file.get("Name") != key else None,
                "uid": file.get("UID") if file.get("UID") != "0" else None,
                "gid": file.get("GID") if file.get("GID") != "0" else None,
            }
        )
        if mode != _MODE_READ_ALL:
            long["mode"] = FileMode(mode)
        result.append(key if len(long) == 1 else long)
    return result


def _volumes(mounts: list[JsonObject], sections: Sections) -> list[JsonValue]:
    result: list[JsonValue] = []
    for mount in mounts:
        kind = mount.get("Type") or "bind"
        options = mount.get("VolumeOptions") or {}
        source: str | None = mount.get("Source")
        if kind == "volume" and source:
            source = sections.volume(source, options) or source
        bind = mount.get("BindOptions") or {}
        block = {
            "volume": filled({"nocopy": options.get("NoCopy"), "subpath": options.get("Subpath")}),
            "bind": filled({"propagation": bind.get("Propagation")}),
            "tmpfs": filled({"size": (mount.get("TmpfsOptions") or {}).get("SizeBytes")}),
        }
        long = filled(
            {
                "type": kind,
                "source": source,
                "target": mount.get("Target"),
                "read_only": mount.get("ReadOnly"),
                kind: block.get(kind),
            }
        )
        result.append(_short(long))
    return result


def _short(mount: JsonObject) -> JsonValue:
    """Return the mount in one line where docker reads that as the same."""
    words = [mount.get("source"), mount.get("target"), "ro" if mount.get("read_only") else None]
    text = ":".join(word for word in words if word)
    try:
        return text if short_mount(text) == mount else mount
    except BadMount:
        return mount
