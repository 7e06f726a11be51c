"""What an engine refuses by itself while it translates a service for its swarm, before any manager sees it."""

from __future__ import annotations

from reconciler.api.faults import Refused
from reconciler.model.json import JsonObject

_SPEC_OF = {"": "ContainerSpec", "container": "ContainerSpec", "plugin": "PluginSpec"}
"""Which part of a task's template a runtime takes."""


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
