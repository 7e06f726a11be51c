"""`depends_on` inside a stack: which services must have converged before another one is touched.

Docker takes the key and ignores it, so nothing in it may make a file an error: what can't be followed is left out,
with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from reconciler.manifests.compose.source import StackSource
from reconciler.manifests.problems import KeyPath, did_you_mean
from reconciler.manifests.stack_graph import cycles
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonObject

DEPENDS_ON = "depends_on"


def needed_keys(source: StackSource, services: Mapping[str, JsonObject]) -> dict[str, tuple[str, ...]]:
    """Return {key: keys of the services that it waits for}, without those that wait for nothing.

    The edges of a circle are all left out: which of them is one too many is nobody's guess but the user's.
    """
    needs: dict[str, tuple[str, ...]] = {}
    for key in sorted(services):
        named = dict.fromkeys(services[key].get(DEPENDS_ON) or ())
        for name in named:
            if name not in source.section("services"):
                _tell_unknown(source, key, name, services)
        if known := tuple(name for name in named if name in services):
            needs[key] = known
    if not needs:
        return needs
    circles = cycles(needs)
    for circle in circles:
        _tell_circle(source, services, circle)
    circular = {edge for circle in circles for edge in pairwise(circle)}
    kept = {key: tuple(name for name in names if (key, name) not in circular) for key, names in needs.items()}
    return {key: names for key, names in kept.items() if names}


def _spot(services: Mapping[str, JsonObject], key: str, name: str) -> KeyPath:
    return ("services", key, DEPENDS_ON, list(services[key][DEPENDS_ON]).index(name))


def _tell_unknown(source: StackSource, key: str, name: str, services: Mapping[str, JsonObject]) -> None:
    spot = _spot(services, key, name)
    what = f"The service `{key}` depends on {source.shown(spot, name)}, which the stack does not have."
    why = "Docker ignores `depends_on`, so the service is made all the same, and waits for nothing there."
    hint = did_you_mean(name, [other for other in source.section("services") if other != key], noun="services")
    hint += " For another stack, use `dependsOn` in swarm.yaml."
    place = source.document.place(spot)
    source.problems.add(Problem(ErrorCode.UNDEFINED_REFERENCE, what, why, hint.strip(), place, Severity.WARNING))


def _tell_circle(source: StackSource, services: Mapping[str, JsonObject], circle: list[str]) -> None:
    edges = list(pairwise(circle))
    places = [source.document.place(_spot(services, key, name)) for key, name in edges]
    what = f"Services of the stack {source.stack} depend on each other in a circle: {' -> '.join(circle)}."
    steps = "; ".join(f"{key} -> {name} at {place}" for (key, name), place in zip(edges, places, strict=True))
    why = f"Each would wait for the next one, for ever, so none of these waits: {steps}."
    hint = "Remove one `depends_on` of the circle, and the others count."
    source.problems.add(Problem(ErrorCode.DEPENDENCY_CYCLE, what, why, hint, places[0], Severity.WARNING))
