"""Field-level differences between two JSON-shaped values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeGuard

from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.plan import ABSENT, Absent, Change, Origin
from reconciler.model.sensitive import MAPS_OF_USERS, Hide, hashing, hidden, masked, sounds_secret, stand_in

KEYED_LISTS = {
    "Networks": ("Target",),
    "Mounts": ("Target",),
    "Secrets": ("File.Name",),
    "Configs": ("File.Name",),
    "Ulimits": ("Name",),
    "Ports": ("TargetPort", "Protocol"),
}
"""Lists whose items have an identity, so that one item more shifts no other: field name to what identifies."""

WIDER = {"Ports": ("TargetPort", "Protocol", "PublishedPort")}
"""What identifies items where the narrower identity does not: a port of a container may be published on several."""

UNNAMED = {"Protocol": "tcp", "PublishedPort": "any", "File.Name": "runtime"}
"""What stands in a path for what an item leaves out: a port that Swarm chooses, a config that is no file."""

ENVIRONMENT = "Env"
"""The list of NAME=value strings; a difference is told by variable."""

MOUNT_OPTIONS = "o"
"""The driver option that mount(8) gets as -o, with password=... among others where the files are on another machine."""


class Unrecorded:
    """What was last applied where nothing says it, which ABSENT does not mean: that says that it was not there."""

    def __repr__(self) -> str:
        return "UNRECORDED"


UNRECORDED: Final = Unrecorded()

Applied = JsonValue | Absent | Unrecorded
"""What was last applied, at some path."""


def changes_between(
    old: JsonValue | Absent, new: JsonValue | Absent, path: str = "", *, applied: Applied = UNRECORDED
) -> tuple[Change, ...]:
    """Return each field that differs, depth first, keys sorted. Equal values give nothing.

    A whole object or list that appears or vanishes is told field by field as well, down to scalars and to lists
    of scalars, which stay whole. `applied` is what was last applied, in the same form as the other two; each change
    then tells whether `old` moved away from it (DRIFT), `new` did (INTENT), or BOTH. Without it, all say INTENT.
    """
    return tuple(_walk(old, new, applied, path))


def _walk(old: JsonValue | Absent, new: JsonValue | Absent, applied: Applied, path: str) -> Iterator[Change]:
    if _same(old, new):
        return
    if _is_object(old) and _is_object(new) and not (_is_bare(old) and _is_bare(new)):
        yield from _walk_objects(_object(old), _object(new), applied, path)
        return
    name = path.rsplit(".", 1)[-1]
    if name == ENVIRONMENT and _is_list(old) and _is_list(new):
        yield from _walk_environment(_list(old), _list(new), applied, path)
    elif name in KEYED_LISTS and _is_list(old) and _is_list(new):
        yield from _walk_keyed(_list(old), _list(new), applied, path)
    elif _is_list_of_objects(old) and _is_list_of_objects(new):
        yield from _walk_positions(_list(old), _list(new), applied, path)
    else:
        yield _change(path, old, new, applied)


def _change(
    path: str, old: JsonValue | Absent, new: JsonValue | Absent, applied: Applied, *, sensitive: bool = False
) -> Change:
    """Return one change, blamed on the side that left what was last applied; no secret is in it.

    Who moved is found out before anything is hidden. What stands for a secret has a hash where there are two to tell
    apart: one alone needs none, and to hash costs time.
    """
    hide = hidden if old is ABSENT or new is ABSENT else hashing(path)
    shown_old, shown_new = (_shown(one, hide, sensitive=sensitive) for one in (old, new))
    if isinstance(applied, Unrecorded):
        return Change(path, shown_old, shown_new, sensitive)
    origin = Origin.INTENT if _same(applied, old) else Origin.DRIFT if _same(applied, new) else Origin.BOTH
    return Change(path, shown_old, shown_new, sensitive, origin, _shown(applied, hide, sensitive=sensitive))


def _shown(value: JsonValue | Absent, hide: Hide, *, sensitive: bool) -> JsonValue | Absent:
    if isinstance(value, Absent):
        return value
    return stand_in(value, hide) if sensitive else masked(value, hide)


def _walk_objects(old: JsonObject, new: JsonObject, applied: Applied, path: str) -> Iterator[Change]:
    users_keys = path.rsplit(".", 1)[-1] in MAPS_OF_USERS  # they may have dots in them: written as Labels["a.b"]
    for key in sorted(old.keys() | new.keys()):
        below = f'{path}["{key}"]' if users_keys else f"{path}.{key}" if path else key
        before, after = old.get(key, ABSENT), new.get(key, ABSENT)
        if users_keys and _is_sensitive(key, before, after):
            if not _same(before, after):
                yield _change(below, before, after, _below(applied, key), sensitive=True)
        else:
            yield from _walk(before, after, _below(applied, key), below)


def _is_sensitive(key: str, *values: JsonValue | Absent) -> bool:
    """Whether a label or an option has a value that is not to be shown."""
    if sounds_secret(key):
        return True
    return key == MOUNT_OPTIONS and any(isinstance(one, str) and sounds_secret(one) for one in values)


def _below(applied: Applied, key: str) -> Applied:
    if isinstance(applied, Unrecorded):
        return applied
    return applied.get(key, ABSENT) if isinstance(applied, dict) else ABSENT


def _walk_environment(old: list[str], new: list[str], applied: Applied, path: str) -> Iterator[Change]:
    before, after = _variables(old), _variables(new)
    if before == after and old != new:
        # The same variables in another order, or one twice: tasks see a difference. Values may be secret.
        yield _change(f"{path} (order)", _names(old), _names(new), _names(applied) if _has_items(applied) else applied)
        return
    base = _variables(applied) if _has_items(applied) else applied
    for name in sorted(before.keys() | after.keys()):
        if before.get(name, ABSENT) != after.get(name, ABSENT):
            sensitive = sounds_secret(name)
            values = before.get(name, ABSENT), after.get(name, ABSENT), _below(base, name)
            yield _change(f"{path}[{name}]", *values, sensitive=sensitive)


def _names(environment: JsonValue) -> list[str]:
    return [str(entry).partition("=")[0] for entry in environment]


def _variables(environment: list[str]) -> dict[str, str | None]:
    """Return {name: value}; a bare NAME, which takes the engine's own value, has None."""
    variables: dict[str, str | None] = {}
    for entry in environment:
        name, equals, value = str(entry).partition("=")
        variables[name] = value if equals else None
    return variables


def _walk_keyed(old: list[JsonValue], new: list[JsonValue], applied: Applied, path: str) -> Iterator[Change]:
    name = path.rsplit(".", 1)[-1]
    lists = [old, new, *([applied] if _has_items(applied) else [])]
    identity = KEYED_LISTS[name]
    if name in WIDER and not _identifies(identity, lists):
        identity = WIDER[name]
    before, after = _by_identity(old, identity), _by_identity(new, identity)
    if not _identifies(identity, [old, new]):
        # Two items with one identity: only their places tell them apart.
        yield from _walk_positions(old, new, applied, path)
        return
    base = _by_identity(applied, identity) if _has_items(applied) else applied
    if before == after and list(before) != list(after):
        yield _change(f"{path} (order)", list(before), list(after), list(base) if isinstance(base, dict) else base)
        return
    gone, come = [key for key in before if key not in after], [key for key in after if key not in before]
    if len(gone) == len(come) == 1 and _became(base, gone[0], come[0]):
        # One item that changed what identifies it.
        known = gone[0] if isinstance(base, dict) and gone[0] in base else come[0]
        yield from _walk(before[gone[0]], after[come[0]], _below(base, known), f"{path}[{come[0]}]")
        before.pop(gone[0]), after.pop(come[0])
    for key in sorted(before.keys() | after.keys()):
        yield from _walk(before.get(key, ABSENT), after.get(key, ABSENT), _below(base, key), f"{path}[{key}]")


def _became(applied: Applied, gone: str, come: str) -> bool:
    """Whether one item became the other: not where both were applied, and not where both are new, each on its side."""
    if isinstance(applied, Unrecorded):
        return True
    there = applied if isinstance(applied, dict) else {}
    return (gone in there) != (come in there)


def _identifies(identity: tuple[str, ...], lists: list[list[JsonValue]]) -> bool:
    return all(len(_by_identity(items, identity)) == len(items) for items in lists)


def _by_identity(items: list[JsonValue], identity: tuple[str, ...]) -> dict[str, JsonValue]:
    return {"/".join(str(_at(item, dotted) or UNNAMED.get(dotted)) for dotted in identity): item for item in items}


def _at(item: JsonValue, dotted: str) -> JsonValue:
    for key in dotted.split("."):
        item = item.get(key) if isinstance(item, dict) else None
    return item


def _walk_positions(old: list[JsonValue], new: list[JsonValue], applied: Applied, path: str) -> Iterator[Change]:
    nothing_known = applied if isinstance(applied, Unrecorded) else ABSENT
    base = applied if _has_items(applied) else []
    for index in range(max(len(old), len(new))):
        before = old[index] if index < len(old) else ABSENT
        after = new[index] if index < len(new) else ABSENT
        yield from _walk(before, after, base[index] if index < len(base) else nothing_known, f"{path}[{index}]")


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


def _has_items(value: Applied) -> TypeGuard[list[JsonValue]]:
    return isinstance(value, list)


def _is_list_of_objects(value: JsonValue | Absent) -> bool:
    return value is ABSENT or (isinstance(value, list) and bool(value) and all(isinstance(i, dict) for i in value))


def _object(value: JsonValue | Absent) -> JsonObject:
    return {} if isinstance(value, Absent) else value


def _list(value: JsonValue | Absent) -> list[JsonValue]:
    return [] if isinstance(value, Absent) else value
