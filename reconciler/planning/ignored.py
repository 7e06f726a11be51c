"""Fields that are somebody else's: what is wanted of them is whatever they are. Pure.

This goes before planning, so that the plan neither shows nor ever sends another value: an update for another field's
sake leaves an autoscaler's replicas alone.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from msgspec.structs import replace

from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredObject, DesiredState
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ABSENT, Absent
from reconciler.model.policies import IgnoreRule, Steps, path_steps

_MODES: Final = frozenset({"Replicated", "Global", "ReplicatedJob", "GlobalJob"})
"""Of these a service has exactly one: what another one has says nothing of it."""


def with_ignored(desired: DesiredState, actual: ActualState, rules: Sequence[IgnoreRule]) -> DesiredState:
    """Return `desired` with the live value of each field that a rule is about. Rules that are no paths say nothing.

    Services and networks only: secrets, configs and nodes have no field that two could share, but labels. An object
    that does not exist yet is made as the manifest has it.
    """
    ruled = [(rule.objects, steps) for rule in rules if (steps := path_steps(rule.path)) is not None]
    if not ruled:
        return desired
    live = {kind: actual.by_name(kind) for kind in (Kind.SERVICE, Kind.NETWORK)}
    objects = tuple(_adopted(wanted, live.get(wanted.kind, {}), ruled) for wanted in desired.objects)
    return replace(desired, objects=objects)


def _adopted(
    wanted: DesiredObject, live: Mapping[str, ObservedObject], ruled: Iterable[tuple[str, Steps]]
) -> DesiredObject:
    found = live.get(wanted.name)
    object_id = f"{wanted.kind}.{wanted.name}"
    paths = [steps for pattern, steps in ruled if fnmatchcase(object_id, pattern)]
    if found is None or not paths:
        return wanted
    spec = copy.deepcopy(wanted.spec)
    for steps in paths:
        _adopt(spec, found.spec, steps)
    return wanted if spec == wanted.spec else dataclasses.replace(wanted, spec=spec)


def _adopt(spec: JsonObject, live: JsonObject, steps: Steps) -> None:
    """Put what `live` has at a path into `spec`, and take out what `live` has not."""
    step, rest = steps[0], steps[1:]
    if step == "Env" and rest:
        _adopt_variables(spec, live, rest[0])
        return
    keys = sorted(spec.keys() | live.keys()) if step == "*" else [step]
    for key in keys:
        there: JsonValue | Absent = live.get(key, ABSENT)
        if not rest:
            _put(spec, key, there)
        elif isinstance(there, dict):
            below = spec.get(key)
            if isinstance(below, dict):
                _adopt(below, there, rest)
            elif key not in spec and key not in _MODES:
                _adopt(spec.setdefault(key, {}), there, rest)
        elif isinstance(spec.get(key), dict) and key not in _MODES:
            _adopt(spec[key], {}, rest)


def _put(spec: JsonObject, key: str, value: JsonValue | Absent) -> None:
    if isinstance(value, Absent):
        spec.pop(key, None)
    else:
        spec[key] = copy.deepcopy(value)


def _adopt_variables(spec: JsonObject, live: JsonObject, name: str) -> None:
    """Do the same for variables of an environment, in the order that the manifest has them."""

    def meant(entry: str) -> bool:
        return fnmatchcase(entry.partition("=")[0], name)

    theirs = {str(entry).partition("=")[0]: entry for entry in live.get("Env") or [] if meant(str(entry))}
    merged: list[str] = []
    for entry in spec.get("Env") or []:
        variable = str(entry).partition("=")[0]
        if not meant(str(entry)):
            merged.append(entry)
        elif variable in theirs:
            merged.append(theirs.pop(variable))
    merged += theirs.values()
    if merged or "Env" in spec:
        spec["Env"] = merged
