"""Whether a task still runs what its service asks for."""

from __future__ import annotations

from reconciler.model.constraints import constraints_hold
from reconciler.model.json import JsonObject, dig
from reconciler.model.tables import ServiceRecord, Tables, TaskRecord


def is_dirty(tables: Tables, service: ServiceRecord, task: TaskRecord) -> bool:
    """Return whether `task` must be replaced to run what `service` asks for now.

    Only the task template and the endpoint count, so that scaling and labelling restart nothing. Of a template
    that differs in nothing but its placement, a task is clean where its node meets the new constraints.

    Source: swarmkit's orchestrator.IsTaskDirty (facts, swarmkit.md 2.6).
    """
    if task.spec_version == service.spec_version:
        return False
    if not _same_endpoint(task.endpoint_spec, service.endpoint_spec):
        return True
    if task.spec == service.task_spec:
        return False
    if _without_placement(task.spec) != _without_placement(service.task_spec):
        return True
    node = tables.nodes.get(task.node_id)
    constraints = dig(service.task_spec, "Placement", "Constraints") or ()
    return node is None or not constraints_hold(constraints, node)


def _same_endpoint(one: JsonObject, other: JsonObject) -> bool:
    """Compare; one that was not given means vip without ports."""
    return {"Mode": "vip", **one} == {"Mode": "vip", **other}


def _without_placement(spec: JsonObject) -> JsonObject:
    return {key: value for key, value in spec.items() if key != "Placement"}
