"""What an engine refuses by itself while it translates a service for its swarm, before any manager sees it."""

from __future__ import annotations

from reconciler.api.faults import Refused
from reconciler.model.json import JsonObject

_SPEC_OF = {"": "ContainerSpec", "container": "ContainerSpec", "plugin": "PluginSpec"}
"""Which part of a task's template a runtime takes."""
ROLES = ("worker", "manager")
AVAILABILITIES = ("active", "pause", "drain")
SWARM_DRIVERS = ("overlay",)


def check_service(spec: JsonObject) -> None:
    """Raise Refused (400) for a template without the part that its runtime needs, and for configs that go nowhere."""
    template = spec.get("TaskTemplate") or {}
    part = _SPEC_OF.get(template.get("Runtime") or "")
    if part is None:
        raise Refused(400, "unsupported runtime")
    if template.get(part) is None:
        raise Refused(400, "mismatched Runtime and *Spec fields")
    for config in (template.get("ContainerSpec") or {}).get("Configs") or ():
        if not config.get("File") and config.get("Runtime") is None:
            raise Refused(400, "invalid Config: either File or Runtime should be set")


def check_node(spec: JsonObject) -> None:
    """Raise Refused (400) for a role or an availability that there is not; case makes no difference."""
    role, availability = spec.get("Role") or "", spec.get("Availability") or ""
    if role.lower() not in ROLES:
        raise Refused(400, f'invalid Role: "{role}"')
    if availability.lower() not in AVAILABILITIES:
        raise Refused(400, f'invalid Availability: "{availability}"')


def check_network(spec: JsonObject) -> None:
    """Raise Refused for a network of the swarm that the node itself would not make."""
    name, driver = spec.get("Name") or "", spec.get("Driver") or "bridge"
    if spec.get("Ingress") and driver not in SWARM_DRIVERS:
        raise Refused(403, "Ingress network can only be global scope network")
    if driver in SWARM_DRIVERS and spec.get("Scope") == "local":
        raise Refused(403, f"cannot downgrade network scope for {driver} networks")
    if name and not name.strip():  # without any, every network is a match, and the manager says that it is there
        raise Refused(400, f"invalid name: {name}")


def attachments(spec: JsonObject) -> list[str]:
    """Return the networks that a service asks for, by name or id."""
    template = spec.get("TaskTemplate") or {}
    asked = template.get("Networks") or spec.get("Networks") or ()
    return [str(one.get("Target") or "") for one in asked]
