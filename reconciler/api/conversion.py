"""What an engine refuses by itself while it translates a service for its swarm, before any manager sees it."""

from __future__ import annotations

from reconciler.api.faults import Refused
from reconciler.model.json import JsonObject

_SPEC_OF = {"": "ContainerSpec", "container": "ContainerSpec", "plugin": "PluginSpec"}
"""Which part of a task's template a runtime takes."""
ROLES = ("worker", "manager")
AVAILABILITIES = ("active", "pause", "drain")
NOT_FOR_NETWORKS = ("none", "default")
"""Names that mean no network, and the network of a container that names none."""
SWARM_DRIVERS = ("overlay",)


def check_service(spec: JsonObject) -> None:
    """Raise Refused (400) for a template without the part that its runtime needs, and for configs that go nowhere.

    Source: moby's daemon/cluster/convert/service.go and container.go.
    """
    template = spec.get("TaskTemplate") or {}
    part = _SPEC_OF.get(template.get("Runtime") or "")
    if part is None:
        raise Refused(400, "unsupported runtime")
    if template.get(part) is None:
        raise Refused(400, "mismatched Runtime and *Spec fields")
    for config in (template.get("ContainerSpec") or {}).get("Configs") or ():
        if config.get("File") and config.get("Runtime") is not None:
            raise Refused(400, "invalid Config: cannot specify both File and Runtime")
        if not config.get("File") and config.get("Runtime") is None:
            raise Refused(400, "invalid Config: either File or Runtime should be set")
    _check_credentials(((template.get("ContainerSpec") or {}).get("Privileges") or {}).get("CredentialSpec"))


def _check_credentials(spec: JsonObject | None) -> None:
    if spec is None:
        return
    given = [name.lower() for name in ("Config", "File", "Registry") if spec.get(name)]
    if not given:
        wanted = 'must either provide "file", "registry", or "config" for credential spec'
        raise Refused(400, f"invalid CredentialSpec: {wanted}")
    if len(given) > 1:
        both = f'cannot specify both "{given[0]}" and "{given[1]}" credential specs'
        raise Refused(400, f"invalid CredentialSpec: {both}")


def check_node(spec: JsonObject) -> None:
    """Raise Refused (400) for a role or an availability that there is not; case makes no difference."""
    role, availability = spec.get("Role") or "", spec.get("Availability") or ""
    if role.lower() not in ROLES:
        raise Refused(400, f'invalid Role: "{role}"')
    if availability.lower() not in AVAILABILITIES:
        raise Refused(400, f'invalid Availability: "{availability}"')


def check_network(spec: JsonObject, *, is_in_a_swarm: bool) -> None:
    """Raise Refused for a network of the swarm that the node itself would not make."""
    name, driver = spec.get("Name") or "", spec.get("Driver") or "bridge"
    if name in NOT_FOR_NETWORKS:
        raise Refused(403, f"operation is not permitted on predefined {name} network")
    if spec.get("Scope") == "swarm" and driver not in SWARM_DRIVERS and not is_in_a_swarm:
        raise Refused(403, "cannot create a swarm scoped network when swarm is not active")
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
