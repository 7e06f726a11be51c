"""Which objects a request means: by id, name or prefix, and by filters. (facts: swarmkit 7.1, 7.2)"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from reconciler.api.faults import Refused
from reconciler.api.ports import Cluster
from reconciler.api.queries import Filters
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask, TaskState

Matcher: TypeAlias = Callable[[ObservedObject, str], bool]

_MODES = {
    "Replicated": "replicated",
    "Global": "global",
    "ReplicatedJob": "replicated-job",
    "GlobalJob": "global-job",
}
ALL_VALUES = frozenset({"label", "node.label"})
"""Keys of which an object must match every value; of all others one is enough."""

SEALED_KEYS = ("id", "name", "names")
"""Keys of secrets and configs of which one that matches is enough. (swarmkit's controlapi/secret.go)"""

PREDEFINED_NETWORKS = ("bridge", "host", "none")
FILTER_CHARACTERS_MAX = 256
TASK_STATES = frozenset(state.api_name for state in TaskState) | {"allocated"}
NODE_VALUES = {"role": ("manager", "worker"), "membership": ("accepted", "pending")}

TASK_KEYS = frozenset({"desired-state", "id", "label", "name", "node", "runtime", "service", "_up-to-date"})


def has_label(labels: Mapping[str, str] | None, wanted: str) -> bool:
    """Return whether there is a label `key`, or `key=value`."""
    key, given, value = wanted.partition("=")
    return key in (labels or {}) and (not given or (labels or {})[key] == value)


def mode_of(service: ObservedObject) -> str:
    """Return the service's mode as filters and the CLI call it."""
    mode = service.spec.get("Mode") or {}
    return next((word for key, word in _MODES.items() if key in mode), "replicated")


def _id(found: ObservedObject, value: str) -> bool:
    return found.id.startswith(value)


def _name(found: ObservedObject, value: str) -> bool:
    return found.name.startswith(value)


def _label(found: ObservedObject, value: str) -> bool:
    return has_label(found.labels, value)


def _engine_label(found: ObservedObject, value: str) -> bool:
    return has_label(found.dig("Description", "Engine", "Labels"), value)


def _network_type(found: ObservedObject, value: str) -> bool:
    return value == ("builtin" if found.name in PREDEFINED_NETWORKS else "custom")


def _network_name(found: ObservedObject, value: str) -> bool:
    """Networks are found by a part of their name, or by a regular expression where it is one."""
    try:
        return value == found.name or re.search(value, found.name) is not None
    except re.error:
        return False


_COMMON: dict[str, Matcher] = {"id": _id, "name": _name, "label": _label}
MATCHERS: dict[Kind, dict[str, Matcher]] = {
    Kind.SERVICE: {
        **_COMMON,
        "mode": lambda found, value: mode_of(found) == value,
        "runtime": lambda found, value: (dig(found.spec, "TaskTemplate", "Runtime") or "container") == value,
    },
    Kind.NODE: {
        **_COMMON,
        "label": _engine_label,
        "node.label": _label,
        "role": lambda found, value: found.spec.get("Role") == value.lower(),
        "membership": lambda *_: True,  # no part of what is shown: see `members`
    },
    Kind.SECRET: {**_COMMON, "names": lambda found, value: found.name == value},
    Kind.CONFIG: _COMMON,
    Kind.NETWORK: {
        **_COMMON,
        "name": _network_name,
        "dangling": lambda found, value: (value.lower() in ("1", "true")) == (found.name not in PREDEFINED_NETWORKS),
        "driver": lambda found, value: found.dig("Driver") == value,
        "scope": lambda found, value: found.dig("Scope") == value,
        "type": _network_type,
    },
}


def one_value_a_label(filters: Filters) -> Filters:
    """Return filters of which the last one for a label stands, and one without a value ("a" and "a=") is for any.

    So SwarmKit looks for labels; networks are looked for by every value. (moby's ConvertKVStringsToMap)
    """
    asked = dict(filters)
    for key in ALL_VALUES & filters.keys():
        labels = {name: value for name, _, value in (one.partition("=") for one in filters[key])}
        asked[key] = tuple(f"{name}={value}" if value else name for name, value in labels.items())
    return asked


def keys_of(kind: Kind) -> frozenset[str]:
    """Return the filters that lists of one kind understand."""
    return frozenset(MATCHERS[kind])


def check_values(kind: Kind, filters: Filters) -> None:
    """Refuse values that an object of this kind can't have, as the engine does."""
    if kind is Kind.NETWORK:
        _check_network_values(filters)
    if kind is not Kind.NODE:
        return
    for key, known in NODE_VALUES.items():
        for value in filters.get(key, ()):
            if value and value.lower() not in known:
                raise Refused(400, f"Invalid {key} filter: '{value}'")


def without_empty(filters: Filters, keys: Collection[str]) -> Filters:
    """Return filters without the empty values of some keys, which an engine passes over."""
    kept = {key: tuple(value for value in filters[key] if value) for key in keys & filters.keys()}
    return {key: values for key, values in {**filters, **kept}.items() if values or key not in kept}


def _check_network_values(filters: Filters) -> None:
    for value in filters.get("type", ()):
        if value not in ("builtin", "custom"):
            raise Refused(400, f"invalid filter: 'type'='{value}'")
    if len(filters.get("dangling", ())) > 1:
        raise Refused(400, 'got more than one value for filter key "dangling"')
    for value in filters.get("dangling", ()):
        if value.lower() not in ("0", "1", "false", "true"):
            text = 'must be "true" (or "1"), or "false" (or "0")'
            raise Refused(400, f"invalid value for filter 'dangling', {text}")


def _passes(filters: Filters, matches: Callable[[str, str], bool]) -> bool:
    for key, values in filters.items():
        quantified = all if key in ALL_VALUES else any
        if not quantified(matches(key, value) for value in values):
            return False
    return True


def select(objects: Iterable[ObservedObject], kind: Kind, filters: Filters) -> list[ObservedObject]:
    """Return the objects that pass every filter."""
    matchers = MATCHERS[kind]
    if kind is not Kind.NETWORK:
        filters = one_value_a_label(filters)
    if kind is Kind.NODE:
        filters = without_empty(filters, NODE_VALUES.keys())
    sought = {key: filters[key] for key in SEALED_KEYS if key in filters and kind in (Kind.SECRET, Kind.CONFIG)}
    filters = {key: values for key, values in filters.items() if key not in sought}

    def passes(found: ObservedObject) -> bool:
        if sought and not any(matchers[key](found, value) for key, values in sought.items() for value in values):
            return False
        return _passes(filters, lambda key, value: matchers[key](found, value))

    return [found for found in objects if passes(found)]


def members(nodes: Sequence[ObservedObject], filters: Filters, pending: Collection[str]) -> list[ObservedObject]:
    """Return the nodes whose membership is asked for, `pending` being the ids of those that are no accepted members."""
    wanted = without_empty(filters, {"membership"}).get("membership")
    if wanted is None:
        return list(nodes)
    asked = {value.lower() for value in wanted}
    return [node for node in nodes if ("pending" if node.id in pending else "accepted") in asked]


def find_task(tasks: Sequence[ObservedTask], services: Iterable[ObservedObject], wanted: str) -> ObservedTask:
    """Return the task with this id, or this whole name (web.1.ID), or whose id alone begins so.

    Source: moby's daemon/cluster/helpers.go, getTask.
    """
    by_id = {service.id: service for service in services}
    candidates = (
        [task for task in tasks if task.id == wanted]
        or [task for task in tasks if wanted and _task_name(task, by_id.get(task.service_id)) == wanted]
        or [task for task in tasks if wanted and task.id.startswith(wanted)]
    )
    if len(candidates) > 1:
        raise Refused(400, f"task {wanted} is ambiguous ({len(candidates)} matches found)")
    if not candidates:
        raise Refused(404, f"task {wanted} not found")
    return candidates[0]


async def select_tasks(cluster: Cluster, filters: Filters) -> list[ObservedTask]:
    """Return the tasks that pass every filter. A service or node that is named must exist."""
    filters = without_empty(one_value_a_label(filters), {"desired-state"})
    ids = {
        "service": {(await cluster.found(Kind.SERVICE, value)).id for value in filters.get("service", ())},
        "node": {(await cluster.found(Kind.NODE, value)).id for value in filters.get("node", ())},
    }
    for state in filters.get("desired-state", ()):
        if state.lower() not in TASK_STATES:
            raise Refused(400, f"Invalid desired-state filter: '{state}'")
    services: dict[str, ObservedObject] = {}
    if {"label", "name"} & filters.keys():
        services = {service.id: service for service in await cluster.listed(Kind.SERVICE)}
    only = next(iter(ids["service"])) if len(ids["service"]) == 1 else None
    tasks = await cluster.tasks(service_id=only)

    def matches(task: ObservedTask, key: str, value: str) -> bool:
        service = services.get(task.service_id)
        if key == "service":
            return task.service_id in ids["service"]
        if key == "node":
            return task.node_id in ids["node"]
        if key == "label":  # `docker stack ps` finds tasks by the labels of their service
            return has_label(service.labels if service else None, value)
        if key == "name":
            return _task_name(task, service).startswith(value)
        return _matches_itself(task, key, value)

    return [task for task in tasks if _passes(filters, partial(matches, task))]


def _matches_itself(task: ObservedTask, key: str, value: str) -> bool:
    if key == "desired-state":
        return task.desired_state.api_name == value.lower()
    if key == "_up-to-date":  # whatever its value
        return task.up_to_date
    return task.id.startswith(value) if key == "id" else value == "container"


def _task_name(task: ObservedTask, service: ObservedObject | None) -> str:
    return f"{service.name if service else ''}.{task.slot or task.node_id}.{task.id}"


def service_status(service: ObservedObject, tasks: Iterable[ObservedTask]) -> JsonObject:
    """Return ServiceStatus: what the REPLICAS column of `docker service ls` is made of. (facts: swarmkit 1.6)"""
    own = [task for task in tasks if task.service_id == service.id]
    mode = mode_of(service)
    if mode.endswith("-job"):
        own = [task for task in own if _is_of_this_iteration(service, task)]
    if mode == "global":
        desired = sum(task.desired_state is TaskState.RUNNING for task in own)
    elif mode == "global-job":
        desired = sum(task.desired_state is TaskState.COMPLETE is not task.state for task in own)
    elif mode == "replicated-job":
        concurrent = dig(service.spec, "Mode", "ReplicatedJob", "MaxConcurrent")
        desired = 1 if concurrent is None else concurrent
    else:
        replicas = dig(service.spec, "Mode", "Replicated", "Replicas")
        desired = 1 if replicas is None else replicas
    return {
        "RunningTasks": sum(task.state is TaskState.RUNNING for task in own),
        "DesiredTasks": desired,
        "CompletedTasks": sum(task.state is TaskState.COMPLETE for task in own) if mode.endswith("-job") else 0,
    }


def _is_of_this_iteration(service: ObservedObject, task: ObservedTask) -> bool:
    """Return whether a job's task is of the iteration that the job is in: those of before may run on for a while."""
    iteration = dig(task.raw, "JobIteration", "Index") or 0
    return bool(iteration == (service.dig("JobStatus", "JobIteration", "Index") or 0))
