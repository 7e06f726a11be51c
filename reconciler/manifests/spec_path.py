"""Paths of fields in specs, as a plan's Change writes them, and where in a patch of a spec they are decided.

`TaskTemplate.ContainerSpec.Env[NAME]`, `Labels["a.b"]`, `EndpointSpec.Ports[80/tcp].PublishMode`,
`IPAM.Config[0].Subnet`, `TaskTemplate.ContainerSpec.Mounts (order)`: fields by their names, keys that a user chose in
quotes, items of lists by what identifies them, or by position where nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from reconciler.manifests.problems import KeyPath
from reconciler.model.json import JsonValue

ORDER: Final = " (order)"
"""The end of a path whose list has the same items in another order."""
ENVIRONMENT: Final = "Env"
IDENTITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "Networks": ("Target",),
    "Mounts": ("Target",),
    "Secrets": ("File.Name",),
    "Configs": ("File.Name",),
    "Ulimits": ("Name",),
    "Ports": ("TargetPort", "Protocol"),
}
"""What identifies the items of a list, by the list's field; a test holds it against the planner's own table."""

UNNAMED: Final[Mapping[str, str]] = {"Protocol": "tcp", "PublishedPort": "any", "File.Name": "runtime"}
"""What stands in a path for what an item leaves out; the same test holds it against the planner's."""

PATHS_KEPT: Final = 4096
"""Paths whose steps are kept: those of a plan repeat from service to service."""
_STEP: Final = re.compile(
    r"""\["(?P<key>.*?)"\](?=$|[.\[]) | \[(?P<item>.*?)\](?=$|[.\[]) | (?P<field>[^.\[]+) | .""",
    re.VERBOSE | re.DOTALL,
)


class Item(str):
    """A step to an item of a list: what identifies it, or its position in digits."""

    __slots__ = ()


SpecSteps: TypeAlias = tuple[str, ...]
"""Names of fields and keys, and an Item for each step into a list."""


@lru_cache(maxsize=PATHS_KEPT)
def spec_steps(path: str) -> SpecSteps:
    """Return the steps of a path; what is no path gives some steps, which lead nowhere."""
    steps: list[str] = []
    for found in _STEP.finditer(path.removesuffix(ORDER)):
        if found["item"] is not None:
            steps.append(Item(found["item"]))
        elif (name := found["key"] if found["key"] is not None else found["field"]) is not None:
            steps.append(name)
    return tuple(steps)


def position(item: str) -> int | None:
    """Return the position that an item is named by, None when it has an identity."""
    return int(item) if item.isascii() and item.isdigit() else None


def patch_path(patch: JsonValue, steps: SpecSteps) -> KeyPath | None:
    """Return where a merge patch (RFC 7386) decides the field at `steps`, or None where it leaves the field alone.

    A null decides that nothing is there, and so does a list or a scalar of all that is below it.
    """
    path: list[str | int] = []
    value, is_replaced = patch, False
    for step in steps:
        if isinstance(value, dict) and step in value:
            path.append(step)
            value = value[step]
        elif isinstance(value, dict) and not is_replaced:
            return None
        elif isinstance(value, list) and isinstance(step, Item):
            index = _index(value, str(path[-1]), step)
            if index is None:
                break
            path.append(index)
            value, is_replaced = value[index], True  # lists replace as wholes: so does what stands in them
        else:
            break
    return tuple(path)


def _index(items: list[JsonValue], field: str, item: str) -> int | None:
    for index in reversed(range(len(items))):
        if item == _identity(items[index], field):
            return index
    spot = position(item)
    return spot if spot is not None and spot < len(items) else None


def _identity(value: JsonValue, field: str) -> str | None:
    if field == ENVIRONMENT:
        return str(value).partition("=")[0]
    if field not in IDENTITIES or not isinstance(value, dict):
        return None
    return "/".join(str(_at(value, dotted) or UNNAMED.get(dotted)) for dotted in IDENTITIES[field])


def _at(value: JsonValue, dotted: str) -> JsonValue:
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def below(value: JsonValue, keys: KeyPath) -> JsonValue:
    """Return the value at a path of keys and positions, None where any step is missing."""
    for key in keys:
        if isinstance(key, int) and isinstance(value, list):
            value = value[key] if key < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value
