"""What a service means where its spec is silent: `?insertDefaults=true`, as `docker service inspect` asks."""

from __future__ import annotations

from reconciler.model.json import JsonObject

SECOND = 1_000_000_000

_ROLLOUT: JsonObject = {
    "Parallelism": 1,
    "FailureAction": "pause",
    "Monitor": 5 * SECOND,
    "MaxFailureRatio": 0,
    "Order": "stop-first",
}


def with_defaults(spec: JsonObject) -> JsonObject:
    """Return a copy of a service's spec with the engine's defaults in place of what is missing.

    Blocks that are given keep their silence but for the delay and the monitor. (facts: swarmkit 7.5, compose 5)
    """
    template = dict(spec.get("TaskTemplate") or {})
    container = {"StopGracePeriod": 10 * SECOND, "DNSConfig": {}, **(template.get("ContainerSpec") or {})}
    restart = template.get("RestartPolicy") or {"Condition": "any", "MaxAttempts": 0}
    template = {"Resources": {}, "Placement": {}, **template}
    template |= {"ContainerSpec": container, "RestartPolicy": {"Delay": 5 * SECOND, **restart}}
    filled: JsonObject = {**spec, "TaskTemplate": template}
    for block in ("UpdateConfig", "RollbackConfig"):
        filled[block] = {"Monitor": 5 * SECOND, **(spec.get(block) or _ROLLOUT)}
    return filled
