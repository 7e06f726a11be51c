"""What swarm.yaml lets the controller do by itself: drift by object, ignored fields, maintenance windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, time, tzinfo
from typing import Final, Protocol

from reconciler.manifests.problems import KeyPath, key_path_text, shown
from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.policies import DriftMode, IgnoreRule, Policies, StackPolicy, Window, WindowKind, path_steps

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK_NS: Final = 7 * 24 * 3600 * 10**9
EVERYTHING: Final = "*"

ZoneOf = Callable[[str], tzinfo | None]


class PolicySource(Protocol):
    """The document that is read, with the problems found so far."""

    def sound(self, value: JsonValue, at: KeyPath) -> bool:
        """Return whether something is given at `at`, and no error was found there or below."""
        ...

    def problem(self, code: ErrorCode, at: KeyPath, what: str, why: str = "", hint: str = "") -> None:
        """Tell what is wrong at `at`."""
        ...

    def period_ns(self, at: KeyPath, text: str) -> int | None:
        """Return a duration, or None after telling that it is none."""
        ...


def read_policies(source: PolicySource, spec: JsonObject, names: Mapping[int, str], zone_of: ZoneOf) -> Policies:
    """Return what `spec` says in `policy` and in its stacks; what has problems is left out.

    `names` are the stacks' names by their position in `spec.stacks`.
    """
    policy = spec.get("policy")
    at: KeyPath = ("spec", "policy")
    given: JsonObject = policy if isinstance(policy, dict) else {}
    drift = given.get("drift", DriftMode.HEAL.value)
    return Policies(
        drift=DriftMode(drift) if source.sound(drift, (*at, "drift")) else DriftMode.HEAL,
        windows=_windows(source, given.get("windows"), (*at, "windows"), zone_of),
        stacks=_stacks(source, spec.get("stacks"), names, zone_of),
        objects=_objects(source, given.get("objects"), (*at, "objects")),
        ignore=_ignored(source, given.get("ignoreDifferences"), (*at, "ignoreDifferences")),
    )


def _stacks(
    source: PolicySource, given: JsonValue, names: Mapping[int, str], zone_of: ZoneOf
) -> dict[str, StackPolicy]:
    found: dict[str, StackPolicy] = {}
    for index, item in enumerate(given if isinstance(given, list) else ()):
        at: KeyPath = ("spec", "stacks", index)
        if index not in names or not source.sound(item, at) or not item.keys() & {"drift", "windows"}:
            continue
        drift = item.get("drift")
        windows = _windows(source, item.get("windows"), (*at, "windows"), zone_of)
        found[names[index]] = StackPolicy(DriftMode(drift) if drift else None, windows)
    return found


def _objects(source: PolicySource, given: JsonValue, at: KeyPath) -> tuple[tuple[str, DriftMode], ...]:
    if not source.sound(given, at):
        return ()
    return tuple((item["match"], DriftMode(item["drift"])) for item in given)


def _ignored(source: PolicySource, given: JsonValue, at: KeyPath) -> tuple[IgnoreRule, ...]:
    if not source.sound(given, at):
        return ()
    rules: list[IgnoreRule] = []
    for index, item in enumerate(given):
        for number, path in enumerate(item["paths"]):
            if path_steps(path) is None:
                spot = (*at, index, "paths", number)
                what = f"{shown(path)} can't be ignored."
                why = "It is no field, or one that names other objects, which are ids in the swarm and names in a file."
                hint = "Write a field as `swarmctl diff` shows it, such as Mode.Replicated.Replicas."
                source.problem(ErrorCode.INVALID_VALUE, spot, what, why, hint)
            rules.append(IgnoreRule(item.get("match", EVERYTHING), path))
    return tuple(rules)


def _windows(source: PolicySource, given: JsonValue, at: KeyPath, zone_of: ZoneOf) -> tuple[Window, ...]:
    if not source.sound(given, at):
        return ()
    found = [_window(source, item, (*at, index), zone_of) for index, item in enumerate(given)]
    return tuple(window for window in found if window is not None)


def _window(source: PolicySource, item: JsonObject, at: KeyPath, zone_of: ZoneOf) -> Window | None:
    length = source.period_ns((*at, "duration"), item["duration"])
    zone = _zone(source, item.get("timezone"), (*at, "timezone"), zone_of)
    if length is None or zone is None:
        return None
    if not 0 < length <= _WEEK_NS:
        what = f"`{key_path_text((*at, 'duration'))}` must be more than nothing, and a week at most."
        why = f"Here it is {shown(item['duration'])}."
        source.problem(ErrorCode.INVALID_VALUE, (*at, "duration"), what, why, "Write one such as 4h.")
        return None
    days = frozenset(DAYS.index(day) for day in item.get("days") or DAYS)
    kind = WindowKind(item.get("kind", WindowKind.ALLOW))
    return Window(kind, time.fromisoformat(item["start"]), length / 1e9, days, zone)


def _zone(source: PolicySource, name: str | None, at: KeyPath, zone_of: ZoneOf) -> tzinfo | None:
    if name is None:
        return UTC
    zone = zone_of(name)
    if zone is None:
        what = f"`{key_path_text(at)}` names no time zone that this machine knows."
        hint = "Write one such as Europe/Berlin, or leave it out for UTC."
        source.problem(ErrorCode.INVALID_VALUE, at, what, f"Here it is {shown(name)}.", hint)
    return zone
