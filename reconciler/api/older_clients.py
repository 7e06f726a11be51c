"""What a client of an older version of the API does not know: an engine takes it for not sent. (facts: swarmkit 7.1)

Source: moby's api/server/router/swarm/helpers.go, adjustForAPIVersion.
"""

from __future__ import annotations

import re

from reconciler.model.json import JsonObject, dig

STATUS_SINCE = (1, 41)
"""Since when `GET /services` counts a service's tasks."""
_VERSION = re.compile(r"(\d+)\.(\d+)")
_SINCE: tuple[tuple[tuple[int, int], tuple[str, ...], tuple[str, ...]], ...] = (
    ((1, 40), ("TaskTemplate", "ContainerSpec"), ("Sysctls",)),
    ((1, 40), ("TaskTemplate", "ContainerSpec", "Privileges", "CredentialSpec"), ("Config",)),
    ((1, 40), ("TaskTemplate", "Placement"), ("MaxReplicas",)),
    ((1, 41), ("TaskTemplate", "ContainerSpec"), ("CapabilityAdd", "CapabilityDrop", "Ulimits")),
    ((1, 41), ("TaskTemplate", "Resources", "Limits"), ("Pids",)),
    ((1, 41), ("Mode",), ("ReplicatedJob", "GlobalJob")),
    ((1, 44), ("TaskTemplate", "ContainerSpec", "Healthcheck"), ("StartInterval",)),
    ((1, 44), ("TaskTemplate", "ContainerSpec", "Privileges"), ("Seccomp", "AppArmor", "NoNewPrivileges")),
    ((1, 46), ("TaskTemplate", "ContainerSpec"), ("OomScoreAdj",)),
)
"""(since when, where, which fields) of a service's spec."""


def forget_newer(service: JsonObject, version: str | None) -> None:
    """Take out of a service's spec what `version` of the API has not; None is ours, which has all."""
    asked = _VERSION.fullmatch(version or "")
    if asked is None:
        return
    spoken = (int(asked[1]), int(asked[2]))
    for since, where, names in _SINCE:
        if spoken < since:
            _drop(service, where, names)
    if spoken < (1, 40):
        for config in dig(service, "TaskTemplate", "ContainerSpec", "Configs") or ():
            config.pop("Runtime", None)


def knows_status(version: str | None) -> bool:
    """Return whether a client of `version` may ask for the tasks of services to be counted."""
    asked = _VERSION.fullmatch(version or "")
    return asked is None or (int(asked[1]), int(asked[2])) >= STATUS_SINCE


def _drop(service: JsonObject, where: tuple[str, ...], names: tuple[str, ...]) -> None:
    found = dig(service, *where)
    if isinstance(found, dict):
        for name in names:
            found.pop(name, None)
