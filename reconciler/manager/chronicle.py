"""What an event tells of a change beside the name: what was, and what is. (facts, swarmkit.md 7.6)"""

from __future__ import annotations

from reconciler.model.commands import ObjectChange
from reconciler.model.json import dig
from reconciler.model.nodes import NodeRecord
from reconciler.model.objects import Kind
from reconciler.model.tables import ServiceRecord, Tables

Facts = dict[str, str]


class Chronicle:
    """Remembers of each service and node what events tell the change of."""

    def __init__(self) -> None:
        self._known: dict[str, Facts] = {}

    def take_in(self, tables: Tables) -> None:
        """Know what is there already, of whose coming nobody is told."""
        self._known = {one.id: _of_service(one) for one in tables.services.values()}
        self._known |= {one.id: _of_node(one) for one in tables.nodes.values()}

    def attributes(self, event: ObjectChange, tables: Tables) -> tuple[tuple[str, str], ...]:
        """Return the attributes of an event as (name, value), `tables` being those after it."""
        facts = _facts(event, tables)
        before = self._known.pop(event.object_id, None)
        if facts and event.action != "remove":
            self._known[event.object_id] = facts
        told = [("name", event.name)]
        if event.action != "update" or before is None:
            return tuple(told)
        for key, value in facts.items():
            if value and value != before[key]:
                told.append((f"{key}.new", value))
                if before[key]:
                    told.append((f"{key}.old", before[key]))
        return tuple(told)


def _facts(event: ObjectChange, tables: Tables) -> Facts:
    if event.kind is Kind.SERVICE and (service := tables.services.get(event.object_id)) is not None:
        return _of_service(service)
    if event.kind is Kind.NODE and (node := tables.nodes.get(event.object_id)) is not None:
        return _of_node(node)
    return {}


def _of_service(service: ServiceRecord) -> Facts:
    replicas = dig(service.spec, "Mode", "Replicated", "Replicas")
    return {
        "image": str(dig(service.spec, "TaskTemplate", "ContainerSpec", "Image") or ""),
        "replicas": "" if replicas is None else str(replicas),
        "updatestate": str(service.update.state) if service.update else "",
    }


def _of_node(node: NodeRecord) -> Facts:
    return {"availability": str(node.availability), "role": str(node.role), "state": str(node.state)}
