"""What was found out so far about how to write a cluster down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from reconciler.model.errors import Problem
from reconciler.model.json import JsonObject

_REPLACED: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (("TaskTemplate", "ContainerSpec", "Command"), "entrypoint"),
    (("TaskTemplate", "ContainerSpec", "Args"), "command"),
    (("TaskTemplate", "ContainerSpec", "Env"), "environment"),
    (("TaskTemplate", "ContainerSpec", "Hosts"), "extra_hosts"),
    (("TaskTemplate", "ContainerSpec", "Mounts"), "volumes"),
    (("TaskTemplate", "ContainerSpec", "Secrets"), "secrets"),
    (("TaskTemplate", "ContainerSpec", "Configs"), "configs"),
    (("TaskTemplate", "ContainerSpec", "Ulimits"), "ulimits"),
    (("TaskTemplate", "ContainerSpec", "CapabilityAdd"), "cap_add"),
    (("TaskTemplate", "ContainerSpec", "CapabilityDrop"), "cap_drop"),
    (("TaskTemplate", "ContainerSpec", "DNSConfig", "Nameservers"), "dns"),
    (("TaskTemplate", "ContainerSpec", "DNSConfig", "Search"), "dns_search"),
    (("TaskTemplate", "ContainerSpec", "Healthcheck", "Test"), "healthcheck"),
    (("TaskTemplate", "Networks"), "networks"),
    (("TaskTemplate", "Resources", "Reservations", "GenericResources"), "deploy.resources"),
    (("TaskTemplate", "Placement", "Constraints"), "deploy.placement"),
    (("TaskTemplate", "Placement", "Preferences"), "deploy.placement"),
    (("EndpointSpec", "Ports"), "ports"),
)
"""Fields that a patch replaces as a whole, and the key of compose that would then be written for nothing."""


class Choices(msgspec.Struct):
    """Which keys of compose are not used for a service, and what its extension says in their place.

    `left_out` and `patches` are by the service's name in the cluster; keys are such as `environment` and
    `deploy.mode`. `external` are (file, section, key) of definitions that are better left to somebody else.
    """

    left_out: dict[str, set[str]] = msgspec.field(default_factory=dict)
    patches: dict[str, JsonObject] = msgspec.field(default_factory=dict)
    external: set[tuple[str, str, str]] = msgspec.field(default_factory=set)

    def leaves_out(self, service: str, key: str) -> bool:
        """Return whether `key` is not to be written for a service."""
        return key in self.left_out.get(service, ())

    def leave_out_replaced(self, patches: dict[str, JsonObject]) -> bool:
        """Leave out each key that a patch replaces as a whole; return whether any is new."""
        found = {
            (service, key)
            for service, patch in patches.items()
            for path, key in _REPLACED
            if _holds(patch, path) and not self.leaves_out(service, key)
        }
        for service, key in found:
            self.left_out.setdefault(service, set()).add(key)
        return bool(found)

    def leave_out_faulty(self, problems: Iterable[Problem], services: dict[tuple[str, str], str]) -> bool:
        """Leave out each key that was refused; return whether any is new. `services` is {(file, key): name}."""
        changed = False
        for problem in problems:
            place = problem.place
            steps = place.key_path.split(".") if place else []
            if place is None or len(steps) < 2:
                continue
            service = services.get((place.file, steps[1])) if steps[0] == "services" else None
            if service is None:
                spot = (place.file, steps[0], steps[1].partition("[")[0])
                changed |= spot not in self.external
                self.external.add(spot)
                continue
            key = ".".join(steps[2:4] if steps[2:3] == ["deploy"] else steps[2:3]).partition("[")[0]
            if key and not self.leaves_out(service, key):
                self.left_out.setdefault(service, set()).add(key)
                changed = True
        return changed


def _holds(patch: JsonObject, path: tuple[str, ...]) -> bool:
    value = patch
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True
