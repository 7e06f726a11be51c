"""Field-level differences between two JSON-shaped values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.plan import ABSENT, Absent, Change

KEYED_LISTS = {
    "Networks": ("Target",),
    "Mounts": ("Target",),
    "Secrets": ("File.Name",),
    "Configs": ("File.Name",),
    "Ulimits": ("Name",),
    "Ports": ("TargetPort", "Protocol"),
}
"""Lists whose items have an identity, so that one item more shifts no other: field name to what identifies."""

ENVIRONMENT = "Env"
"""The list of NAME=value strings; a difference is told by variable."""

MAPS_OF_USERS = frozenset({"Labels", "Options", "Sysctls", "DriverOpts"})
"""Objects whose keys a user chooses, and may have dots in them: written as Labels["a.b"]."""

SENSITIVE_NAME = re.compile(
    r"(?i)(^|_)pass($|_)|password|passwd|passphrase|secret|token|api_?key|private_?key|credential|auth_?key"
)
"""Names of environment variables whose values are not shown: people do put passwords there."""


def changes_between(old: JsonValue | Absent, new: JsonValue | Absent, path: str = "") -> tuple[Change, ...]:
    """Return each field that differs, depth first, keys sorted. Equal values give nothing.

    A whole object or list that appears or vanishes is told field by field as well, down to scalars and to lists
    of scalars, which stay whole.
    """
    return tuple(_walk(old, new, path))


def _walk(old: JsonValue | Absent, new: JsonValue | Absent, path: str) -> Iterator[Change]:
    if _same(old, new):
        return
    if _is_object(old) and _is_object(new) and not (_is_bare(old) and _is_bare(new)):
        yield from _walk_objects(_object(old), _object(new), path)
        return
    name = path.rsplit(".", 1)[-1]
    if name == ENVIRONMENT and _is_list(old) and _is_list(new):
        yield from _walk_environment(_list(old), _list(new), path)
    elif name in KEYED_LISTS and _is_list(old) and _is_list(new):
        yield from _walk_keyed(_list(old), _list(new), path, KEYED_LISTS[name])
    elif _is_list_of_objects(old) and _is_list_of_objects(new):
        yield from _walk_positions(_list(old), _list(new), path)
    else:
        yield Change(path, old, new)


def _walk_objects(old: JsonObject, new: JsonObject, path: str) -> Iterator[Change]:
    users_keys = path.rsplit(".", 1)[-1] in MAPS_OF_USERS
    for key in sorted(old.keys() | new.keys()):
        below = f'{path}["{key}"]' if users_keys else f"{path}.{key}" if path else key
        yield from _walk(old.get(key, ABSENT), new.get(key, ABSENT), below)


def _walk_environment(old: list[str], new: list[str], path: str) -> Iterator[Change]:
    before, after = _variables(old), _variables(new)
    if before == after and old != new:
        # The same variables in another order, or one twice: tasks see a difference. Values may be secret.
        yield Change(f"{path} (order)", [one.partition("=")[0] for one in old], [one.partition("=")[0] for one in new])
        return
    for name in sorted(before.keys() | after.keys()):
        if before.get(name, ABSENT) != after.get(name, ABSENT):
            sensitive = SENSITIVE_NAME.search(name) is not None
            yield Change(f"{path}[{name}]", before.get(name, ABSENT), after.get(name, ABSENT), sensitive)


def _variables(environment: list[str]) -> dict[str, str | None]:
    """Return {name: value}; a bare NAME, which takes the engine's own value, has None."""
    variables: dict[str, str | None] = {}
    for entry in environment:
        name, equals, value = entry.partition("=")
        variables[name] = value if equals else None
    return variables


def _walk_keyed(old: list[JsonValue], new: list[JsonValue], path: str, identity: tuple[str, ...]) -> Iterator[Change]:
    before, after = _by_identity(old, identity), _by_identity(new, identity)
    if len(before) != len(old) or len(after) != len(new):
        yield from _walk_positions(old, new, path)  # two items with one identity: only their places tell them apart
        return
    if before == after and list(before) != list(after):
        yield Change(f"{path} (order)", list(before), list(after))
        return
    gone, come = [key for key in before if key not in after], [key for key in after if key not in before]
    if len(gone) == len(come) == 1:  # one item that changed what identifies it
        yield from _walk(before[gone[0]], after[come[0]], f"{path}[{come[0]}]")
        before.pop(gone[0]), after.pop(come[0])
    for key in sorted(before.keys() | after.keys()):
        yield from _walk(before.get(key, ABSENT), after.get(key, ABSENT), f"{path}[{key}]")


def _by_identity(items: list[JsonValue], identity: tuple[str, ...]) -> dict[str, JsonValue]:
    return {"/".join(str(_at(item, dotted)) for dotted in identity): item for item in items}


def _at(item: JsonValue, dotted: str) -> JsonValue:
    for key in dotted.split("."):
        item = item.get(key) if isinstance(item, dict) else None
    return item


def _walk_positions(old: list[JsonValue], new: list[JsonValue], path: str) -> Iterator[Change]:
    for index in range(max(len(old), len(new))):
        before = old[index] if index < len(old) else ABSENT
        after = new[index] if index < len(new) else ABSENT
        yield from _walk(before, after, f"{path}[{index}]")


def _same(old: JsonValue | Absent, new: JsonValue | Absent) -> bool:
    """Whether two values are the same JSON: `1` and `true` are not, though Python holds them for equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(value, new[key]) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(one, other) for one, other in zip(old, new, strict=True))
    return isinstance(old, bool) is isinstance(new, bool) and old == new


def _is_bare(value: JsonValue | Absent) -> bool:
    """Whether nothing below could tell an absent object from an empty one (Mode.Global is `{}`)."""
    return value is ABSENT or value == {}


def _is_object(value: JsonValue | Absent) -> bool:
    return value is ABSENT or isinstance(value, dict)


def _is_list(value: JsonValue | Absent) -> bool:
    return value is ABSENT or isinstance(value, list)


def _is_list_of_objects(value: JsonValue | Absent) -> bool:
    return value is ABSENT or (isinstance(value, list) and bool(value) and all(isinstance(i, dict) for i in value))


def _object(value: JsonValue | Absent) -> JsonObject:
    return {} if isinstance(value, Absent) else value


def _list(value: JsonValue | Absent) -> list[JsonValue]:
    return [] if isinstance(value, Absent) else value
