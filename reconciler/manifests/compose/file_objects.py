"""Secrets and configs: the objects, and how services refer to them.

Source: measured on docker CLI 28.2 (docs/decisions/0006).
"""

from __future__ import annotations

import base64
import re
from typing import Final

import msgspec

from reconciler.manifests.compose.mounts import is_external, object_name
from reconciler.manifests.compose.pairs import texts
from reconciler.manifests.compose.source import StackSource, without_empty
from reconciler.manifests.problems import KeyPath, key_path_text
from reconciler.model.json import JsonObject

_NAME: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9])?")
_MODE_READ_ALL: Final = 0o444
_MODE_MAX: Final = 0xFFFFFFFF


class FileObjectKind(msgspec.Struct, frozen=True):
    """What sets secrets and configs apart. `bytes_max` is the most that Swarm takes: a byte less than it says."""

    section: str
    noun: str
    field: str
    bytes_max: int


SECRETS: Final = FileObjectKind("secrets", "secret", "Secret", 511_999)
CONFIGS: Final = FileObjectKind("configs", "config", "Config", 1_023_999)


def create_body(source: StackSource, kind: FileObjectKind, key: str) -> JsonObject | None:
    """Return the create request of a secret or config that is not external, or None after telling why not."""
    at: KeyPath = (kind.section, key)
    definition = source.section(kind.section)[key]
    name = object_name(source, kind.section, key)
    if not _NAME.fullmatch(name):
        spot = (*at, "name") if definition.get("name") else at
        why = "Names have 1 to 64 letters, digits, dots, dashes and underscores, and end in letters or digits."
        what = f"The {kind.noun} {source.shown(spot, name)} has no valid name."
        source.invalid(spot, what, why, "Give it such a `name`.")
    body: JsonObject = {"Name": name, "Labels": source.stack_labels(texts(definition.get("labels")))}
    if driver := definition.get("driver"):
        if definition.get("file"):
            what, why = f"`{key_path_text(at)}` has both `driver` and `file`.", "Only one gives its content."
            source.invalid((*at, "file"), what, why, "Keep `driver`, or `file`.")
        options = texts(definition.get("driver_opts"))
        body["Driver"] = without_empty({"Name": driver, "Options": options})
    else:
        data = _content(source, kind, at, definition)
        if data is None:
            return None
        body["Data"] = data
    if template := definition.get("template_driver"):
        body["Templating"] = {"Name": template}
    return body


def _content(source: StackSource, kind: FileObjectKind, at: KeyPath, definition: JsonObject) -> str | None:
    written = definition.get("file")
    spot = (*at, "file")
    if not written:
        hint = f"Add `file: PATH`, or `external: true` for a {kind.noun} that exists already."
        source.missing(at, f"`{key_path_text(at)}` has no content.", hint)
        return None
    content = source.read(written, spot)
    if content is None:
        return None
    if not 0 < len(content) <= kind.bytes_max:
        what = f"The file of the {kind.noun} `{at[-1]}` " + ("is too large." if content else "is empty.")
        why = f"Swarm takes 1 to {kind.bytes_max} bytes; it has {len(content)}."
        source.invalid(spot, what, why, "Name a file of that size.")
        return None
    return base64.b64encode(content).decode()


def references(source: StackSource, kind: FileObjectKind, at: KeyPath, service: JsonObject) -> list[JsonObject]:
    """Return ContainerSpec.Secrets or .Configs of a service, without ids, sorted by full name."""
    known = source.section(kind.section)
    result: list[JsonObject] = []
    targets: set[str] = set()
    for index, item in enumerate(service.get(kind.section) or ()):
        spot: KeyPath = (*at, kind.section, index)
        reference = {"source": item} if isinstance(item, str) else item
        key = reference.get("source") or ""
        if key not in known:
            source.undefined((*spot, "source") if reference is item else spot, kind.section, key, known)
            continue
        target = reference.get("target") or key
        if target in targets:
            what = f"`{key_path_text(spot)}` puts a second {kind.noun} at one target."
            source.invalid(spot, what, "Each file in a container takes one.", "Give it another `target`.")
        targets.add(target)
        result.append(_reference(source, kind, spot, reference))
    return sorted(result, key=lambda each: str(each[f"{kind.field}Name"]).encode("utf-8", "surrogatepass"))


def _reference(source: StackSource, kind: FileObjectKind, at: KeyPath, reference: JsonObject) -> JsonObject:
    mode = reference.get("mode")
    if mode is not None and not 0 <= mode <= _MODE_MAX:
        source.invalid(
            (*at, "mode"), f"`{key_path_text((*at, 'mode'))}` is no file mode.", "", "Write one such as 0440."
        )
    file = {
        "Name": reference.get("target") or reference["source"],
        "UID": reference.get("uid") or "0",
        "GID": reference.get("gid") or "0",
        "Mode": _MODE_READ_ALL if mode is None else int(mode),
    }
    return {"File": file, f"{kind.field}Name": object_name(source, kind.section, reference["source"])}


def declared_keys(source: StackSource, kind: FileObjectKind) -> list[str]:
    """Return the keys of the section that must be made, used by a service or not."""
    section = source.section(kind.section)
    return [key for key, definition in section.items() if not is_external(definition)]
