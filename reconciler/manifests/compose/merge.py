"""Several stack files as one: docker's rules for `-c a.yaml -c b.yaml`, real bugs of its merge included.

Source: measured on docker CLI 28.2 (docs/decisions/0006). Docker hands decoded files to mergo, a library that merges Go
values with "override" and "append slices"; what looks odd below is how that treats pointers and empty values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

import msgspec

from reconciler.manifests.compose.layers import Layer, Origins
from reconciler.manifests.compose.source import EXTENSION
from reconciler.manifests.problems import KeyPath
from reconciler.manifests.quantities import BadQuantity, duration_ns, size_bytes
from reconciler.model.json import JsonObject, JsonValue


class _Merge(msgspec.Struct, frozen=True):
    """One file going over another. `result` starts as the base; values and origins are replaced in it."""

    result: Layer
    override: Layer

    def take(self, at: KeyPath, value: JsonValue) -> JsonValue:
        """Note that the override's value at `at` wins, and return it."""
        self.result.origins.put(at, self.override.origins.at(at))
        return value


_Rule: TypeAlias = Callable[[_Merge, KeyPath, JsonValue, JsonValue], JsonValue]
"""Returns what becomes of a value that both files have, or only the base, None standing for the override's."""


def merged_layers(layers: list[Layer]) -> Layer:
    """Return decoded files merged from left to right. The layers' origins are of no use afterwards."""
    result = layers[0]
    for override in layers[1:]:
        merge = _Merge(Layer(dict(result.value), result.origins), override)
        for section, definitions in override.value.items():
            merge.result.value[section] = _section(merge, section, definitions)
        result = merge.result
    return result


def _section(merge: _Merge, section: str, definitions: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
    """Return a section of the result: services are merged, other definitions replaced as a whole."""
    merged = dict(merge.result.value[section])
    for key, definition in definitions.items():
        at = (section, key)
        if section == "services" and key in merged:
            merged[key] = _service(merge, at, merged[key], definition)
        else:
            merged[key] = merge.take(at, definition)
    return merged


def _service(merge: _Merge, at: KeyPath, base: JsonObject, override: JsonObject) -> JsonObject:
    result = _struct(merge, at, base, override)
    for key in _KEYED:
        # Docker's merge of these lists also runs when only the base has one, and collapses it.
        if key in base and key not in override:
            result[key] = _RULES[key,](merge, (*at, key), base[key], [])
    return result


def _struct(merge: _Merge, at: KeyPath, base: JsonObject, override: JsonObject) -> JsonObject:
    """Merge field by field. The path below the service says by which rule."""
    result = dict(base)
    for key, value in override.items():
        spot = (*at, key)
        if value is None:
            continue
        if base.get(key) is None:
            result[key] = merge.take(spot, value)
            continue
        rule = _RULES.get(tuple(str(step) for step in spot[2:]), _value)
        result[key] = rule(merge, spot, base[key], value)
    return result


def _value(merge: _Merge, at: KeyPath, base: JsonValue, override: JsonValue) -> JsonValue:
    if isinstance(base, dict) and isinstance(override, dict):
        return _struct(merge, at, base, override)
    return base if _is_zero(at, override) else merge.take(at, override)


_DURATIONS: Final = frozenset(
    {
        "stop_grace_period",
        "interval",
        "timeout",
        "start_period",
        "start_interval",
        "delay",
        "monitor",
        "window",
    }
)


def _is_zero(at: KeyPath, value: JsonValue) -> bool:
    """Return whether Go holds the value for empty, so that it never overrides: "", false, 0, "0s", "0b"."""
    if not value:
        return True
    if not isinstance(value, str):
        return False
    try:
        if at[-1] in _DURATIONS:
            return duration_ns(value) == 0
        return at[-1] == "memory" and size_bytes(value) == 0
    except BadQuantity:
        return False


def _extension(merge: _Merge, at: KeyPath, base: JsonValue, override: JsonValue) -> JsonValue:
    """Compose two patches: docker knows nothing of them, so nulls and noughts mean what they say."""
    if not isinstance(base, dict) or not isinstance(override, dict):
        return merge.take(at, override)
    return base | {
        key: _extension(merge, (*at, key), base[key], item) if key in base else merge.take((*at, key), item)
        for key, item in override.items()
    }


def _number(merge: _Merge, at: KeyPath, _base: JsonValue, override: JsonValue) -> JsonValue:
    """A pointer to a number: 0 overrides too."""
    return merge.take(at, override)


def _filled(merge: _Merge, at: KeyPath, base: JsonValue, override: JsonValue) -> JsonValue:
    """Replace a list as a whole, unless by an empty one."""
    return merge.take(at, override) if override else base


def _append(merge: _Merge, at: KeyPath, base: JsonValue, override: JsonValue) -> JsonValue:
    """Put one list after the other, equal items included. Docker does so with healthcheck.test as well."""
    for index in range(len(override)):
        merge.result.origins.put((*at, len(base) + index), merge.override.origins.at((*at, index)))
    return [*base, *override]


def _by_name(merge: _Merge, at: KeyPath, base: JsonValue, override: JsonValue) -> JsonValue:
    """Merge mappings of texts or numbers: the override's win, empty ones too."""
    return dict(base) | {name: merge.take((*at, name), value) for name, value in override.items()}


def _environment(merge: _Merge, at: KeyPath, base: JsonValue, override: JsonValue) -> JsonValue:
    """Merge pointers to texts: an empty value, or none, replaces only what is empty itself."""
    taken = {name: value for name, value in override.items() if value or not base.get(name)}
    return dict(base) | {name: merge.take((*at, name), value) for name, value in taken.items()}


def _networks(merge: _Merge, at: KeyPath, base: JsonValue, override: JsonValue) -> JsonValue:
    """Unite attachments. Of one that both files describe, only the aliases are the override's."""
    result = dict(base)
    for name, options in override.items():
        spot = (*at, name)
        if result.get(name) is None:
            result[name] = merge.take(spot, options)
        elif options is not None:
            kept = {key: value for key, value in result[name].items() if key != "aliases"}
            if options.get("aliases") is not None:
                kept["aliases"] = merge.take((*spot, "aliases"), options["aliases"])
            result[name] = kept
    return result


def _logging(merge: _Merge, at: KeyPath, base: JsonValue, override: JsonValue) -> JsonValue:
    """Merge options when the driver is the same or missing in one; replace all when it is another."""
    drivers = base.get("driver") or "", override.get("driver") or ""
    if drivers[0] != drivers[1] and all(drivers):
        return merge.take(at, override)
    result = dict(base)
    if drivers[1] and not drivers[0]:
        result["driver"] = merge.take((*at, "driver"), drivers[1])
    # Docker merges into a copy of the base's options, which is lost when the base had none.
    if base.get("options") is not None and override.get("options"):
        result["options"] = _by_name(merge, (*at, "options"), base["options"], override["options"])
    return result


def _keyed(key: str, missing: JsonValue, merge: _Merge, at: KeyPath, base: JsonValue, override: JsonValue) -> JsonValue:
    """Merge lists of mappings by one of their keys, the last of equal ones winning; sort the result by it.

    Ports have their published number for a key, so that all that are not published collapse into one, and so
    do tcp and udp of one number. That is docker's bug, and its users' files mean what it makes of them.
    """
    chosen: dict[JsonValue, tuple[JsonObject, Origins]] = {}
    for layer, items in ((merge.result, base), (merge.override, override)):
        for index, item in enumerate(items):
            chosen[item.get(key) or missing] = (item, layer.origins.at((*at, index)))
    ordered = [chosen[name] for name in sorted(chosen, key=_sort_key)]
    origins = Origins(merge.result.origins.of(at), {index: spot for index, (_, spot) in enumerate(ordered)})
    merge.result.origins.put(at, origins)
    return [item for item, _ in ordered]


def _sort_key(name: JsonValue) -> tuple[float, bytes]:
    return (0.0, name.encode("utf-8", "surrogatepass")) if isinstance(name, str) else (float(name), b"")


_KEYED: Final = ("ports", "volumes", "secrets", "configs")
_RULES: Final[Mapping[tuple[str, ...], _Rule]] = {
    (EXTENSION,): _extension,
    ("command",): _filled,
    ("entrypoint",): _filled,
    ("ports",): partial(_keyed, "published", 0),
    ("volumes",): partial(_keyed, "target", ""),
    ("secrets",): partial(_keyed, "source", ""),
    ("configs",): partial(_keyed, "source", ""),
    ("environment",): _environment,
    ("labels",): _by_name,
    ("deploy", "labels"): _by_name,
    ("sysctls",): _by_name,
    ("ulimits",): _by_name,
    ("networks",): _networks,
    ("logging",): _logging,
    ("depends_on",): _append,
    ("dns",): _append,
    ("dns_search",): _append,
    ("extra_hosts",): _append,
    ("cap_add",): _append,
    ("cap_drop",): _append,
    ("healthcheck", "test"): _append,
    ("deploy", "placement", "constraints"): _append,
    ("deploy", "placement", "preferences"): _append,
    ("deploy", "resources", "reservations", "generic_resources"): _append,
    ("deploy", "replicas"): _number,
    ("deploy", "update_config", "parallelism"): _number,
    ("deploy", "rollback_config", "parallelism"): _number,
    ("deploy", "restart_policy", "max_attempts"): _number,
    ("healthcheck", "retries"): _number,
}
