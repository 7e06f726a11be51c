"""`deploy`: how Swarm runs a service. Source: measured on docker CLI 28.2 (docs/decisions/0006)."""

from __future__ import annotations

import re
from typing import Final

from reconciler.manifests.compose.source import StackSource, without_empty, without_null
from reconciler.manifests.problems import KeyPath, did_you_mean, key_path_text
from reconciler.manifests.quantities import duration_ns, nano_cpus, single_precision, size_bytes
from reconciler.model.json import JsonObject

_NO_SIGN: Final = "Remove the minus sign."
_FAILURE_ACTIONS: Final = ("pause", "continue", "rollback")
_MEMORY_MIN: Final = 4 * 1024 * 1024
_NANO_CPUS_MIN: Final = 1_000_000
_CONSTRAINT: Final = re.compile(r"\s*([A-Za-z0-9_][A-Za-z0-9_.\-/]+)\s*(==|!=)\s*(\S(?:.*\S)?)\s*")


def mode(source: StackSource, at: KeyPath, deploy: JsonObject) -> JsonObject:
    """Return the service's Mode. An absent number of replicas stays absent, which lets Swarm choose 1."""
    written = deploy.get("mode") or "replicated"
    replicas = _whole(deploy.get("replicas"))
    if written == "replicated":
        return {"Replicated": without_null({"Replicas": replicas})}
    if written == "replicated-job":
        return {"ReplicatedJob": without_null({"MaxConcurrent": replicas, "TotalCompletions": replicas})}
    if written not in ("global", "global-job"):
        hint = "Write replicated, global, replicated-job or global-job."
        source.invalid((*at, "mode"), f"`{key_path_text((*at, 'mode'))}` is no mode that Swarm knows.", "", hint)
    elif replicas is not None:
        why = f"A service of mode {written} runs one task on each node."
        hint = "Remove `replicas`, or use mode replicated."
        source.invalid((*at, "replicas"), f"`{key_path_text((*at, 'replicas'))}` does not fit the mode.", why, hint)
    return {"Global": {}} if written == "global" else {"GlobalJob": {}}


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def resources(source: StackSource, at: KeyPath, deploy: JsonObject) -> JsonObject:
    """Return TaskTemplate.Resources, maybe empty; a block that is given and empty stays."""
    given = deploy.get("resources") or {}
    result: JsonObject = {}
    for key, field in (("limits", "Limits"), ("reservations", "Reservations")):
        if key not in given:
            continue
        spot = (*at, "resources", key)
        amounts = _amounts(source, spot, given[key])
        if key == "limits":
            amounts["Pids"] = _whole(given[key].get("pids"))
        else:
            amounts["GenericResources"] = _generic(source, spot, given[key])
        result[field] = without_empty(amounts)
    return result


def _amounts(source: StackSource, at: KeyPath, given: JsonObject) -> JsonObject:
    cpus = source.quantity((*at, "cpus"), given.get("cpus"), nano_cpus)
    memory = source.quantity((*at, "memory"), given.get("memory"), size_bytes)
    if cpus and cpus < _NANO_CPUS_MIN:
        what = f"`{key_path_text((*at, 'cpus'))}` is too small."
        source.invalid((*at, "cpus"), what, "Swarm takes 0.001 or more.", 'Raise it to "0.001" or more.')
    if memory and memory < _MEMORY_MIN:
        what = f"`{key_path_text((*at, 'memory'))}` is too small."
        source.invalid(
            (*at, "memory"),
            what,
            "Swarm takes 4 MiB or more.",
            "Raise it to 4M or more; bare numbers are bytes.",
        )
    return {"NanoCPUs": cpus, "MemoryBytes": memory}


def _generic(source: StackSource, at: KeyPath, given: JsonObject) -> list[JsonObject]:
    result: list[JsonObject] = []
    for index, item in enumerate(given.get("generic_resources") or ()):
        spot = (*at, "generic_resources", index)
        discrete = item.get("discrete_resource_spec")
        if discrete is None:
            # Engines of 20.10 end with a panic on an empty item; it must never reach one.
            source.missing(
                spot, f"`{key_path_text(spot)}` is empty.", "Add discrete_resource_spec: {kind: GPU, value: 1}."
            )
            continue
        fields = {"Kind": discrete.get("kind"), "Value": _whole(discrete.get("value"))}
        result.append({"DiscreteResourceSpec": without_empty(fields)})
    return result


def restart_policy(source: StackSource, at: KeyPath, service: JsonObject) -> JsonObject | None:
    """Return TaskTemplate.RestartPolicy: deploy.restart_policy, else what `restart` stands for, else None."""
    deploy = service.get("deploy") or {}
    given = deploy.get("restart_policy")
    if given is None:
        return _restart(source, (*at, "restart"), service.get("restart") or "")
    spot = (*at, "deploy", "restart_policy")
    condition = given.get("condition")
    if condition and condition not in ("none", "on-failure", "any"):
        hint = "Write none, on-failure or any."
        where = (*spot, "condition")
        source.invalid(where, f"`{key_path_text(where)}` is no condition that Swarm knows.", "", hint)
    delay = source.quantity((*spot, "delay"), given.get("delay"), duration_ns)
    if delay is not None and delay < 0:
        source.invalid((*spot, "delay"), f"`{key_path_text((*spot, 'delay'))}` must not be negative.", "", _NO_SIGN)
    return without_null(
        {
            "Condition": condition or None,
            "Delay": delay,
            "MaxAttempts": _whole(given.get("max_attempts")),
            "Window": source.quantity((*spot, "window"), given.get("window"), duration_ns),
        }
    )


def _restart(source: StackSource, at: KeyPath, written: str) -> JsonObject | None:
    name, _, attempts = written.partition(":")
    if written in ("", "no"):
        return None
    if written in ("always", "unless-stopped"):
        return {"Condition": "any"}
    if name == "on-failure" and re.fullmatch(r"[0-9]{0,9}", attempts):
        return {"Condition": "on-failure", "MaxAttempts": int(attempts or 0)}
    hint = "Write deploy.restart_policy.condition: none, on-failure or any."
    source.invalid(at, f"`{key_path_text(at)}` is no restart policy that docker knows.", "", hint)
    return None


def placement(source: StackSource, at: KeyPath, deploy: JsonObject) -> JsonObject:
    """Return TaskTemplate.Placement, maybe empty; constraints as written."""
    given = deploy.get("placement") or {}
    constraints = list(given.get("constraints") or ())
    for index, constraint in enumerate(constraints):
        if not _CONSTRAINT.fullmatch(constraint):
            spot = (*at, "placement", "constraints", index)
            hint = "Write KEY==VALUE or KEY!=VALUE, such as node.labels.zone==a."
            source.invalid(spot, f"{source.shown(spot, constraint)} is no placement constraint.", "", hint)
    preferences = [
        {"Spread": {"SpreadDescriptor": item.get("spread") or ""}} for item in given.get("preferences") or ()
    ]
    fields = {
        "Constraints": constraints,
        "Preferences": preferences,
        "MaxReplicas": _whole(given.get("max_replicas_per_node")),
    }
    return without_empty(fields)


def rollout(source: StackSource, at: KeyPath, given: JsonObject | None) -> JsonObject | None:
    """Return UpdateConfig or RollbackConfig; None stays None. Parallelism is 1 unless given, 0 included."""
    if given is None:
        return None
    parallelism = given.get("parallelism")
    ratio = given.get("max_failure_ratio") or 0
    action = given.get("failure_action")
    if action and action not in _FAILURE_ACTIONS:
        spot = (*at, "failure_action")
        what = f"`{key_path_text(spot)}` must be {' or '.join(_FAILURE_ACTIONS)}."
        hint = did_you_mean(action, _FAILURE_ACTIONS, noun="actions")
        source.invalid(spot, what, f"Here it is {source.shown(spot, action)}.", hint)
    if not 0 <= ratio <= 1:
        spot = (*at, "max_failure_ratio")
        source.invalid(spot, f"`{key_path_text(spot)}` must lie between 0 and 1.", "", "Write a share, such as 0.25.")
    delay = source.quantity((*at, "delay"), given.get("delay"), duration_ns)
    if delay is not None and delay < 0:
        source.invalid((*at, "delay"), f"`{key_path_text((*at, 'delay'))}` must not be negative.", "", _NO_SIGN)
    optional = {
        "Delay": delay,
        "Monitor": source.quantity((*at, "monitor"), given.get("monitor"), duration_ns),
        "FailureAction": action,
    }
    return without_empty(optional) | {
        "Parallelism": 1 if parallelism is None else int(parallelism),
        "MaxFailureRatio": single_precision(ratio) if ratio else 0,
        "Order": given.get("order") or "",
    }
