"""A Revision as the cluster that it would make, to show what a pull request changes where there is no cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredNode, DesiredState
from reconciler.model.json import JsonObject
from reconciler.model.modes import mode_of
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.plan import Action
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning.context import NO_CLUSTER, Context, Draft
from reconciler.planning.effects import task_count
from reconciler.planning.plan import plan
from reconciler.planning.preflight.rooms import Room, planned_rooms
from reconciler.planning.renewal import constraints_of

SOME_MANAGER = "some manager"
"""The only node of a cluster whose repository lists none."""

PLENTY = 2**60
"""What a node is taken to have of CPU and memory: Git does not say, and a guard must not refuse for want of it."""


def imagined(desired: DesiredState, observed_at: datetime, head: Sequence[DesiredNode] = ()) -> ActualState:
    """Return the cluster as if `desired` had been applied to an empty one, and had converged.

    Ids are names. The nodes are those that the repository lists, all ready, or one manager when it lists none; and
    those that only `head` lists, the nodes of the revision to compare with: as a node joins, so that what is asked of
    them shows. Every task runs. External objects are not there, and no plan against this state misses them.
    """
    empty = ActualState(endpoint=NO_CLUSTER, observed_at=observed_at, swarm=_swarm(desired), nodes=_nodes(desired))
    made = [action for action in plan(desired, empty).actions if action.spec is not None]
    names = {(action.kind, action.name) for action in made}
    created = [_created(action, names, observed_at) for action in made]
    objects = {kind: tuple(found for found in created if found.kind is kind) for kind in Kind}
    grown = replace(empty, nodes=(*empty.nodes, *_only_in_head(desired, head)))
    rooms = planned_rooms(Context.of(desired, grown), Draft()).by_id
    services = objects[Kind.SERVICE]
    return replace(
        grown,
        networks=objects[Kind.NETWORK],
        secrets=objects[Kind.SECRET],
        configs=objects[Kind.CONFIG],
        services=services,
        tasks=tuple(task for service in services for task in _tasks(service, rooms)),
    )


def _swarm(desired: DesiredState) -> ObservedObject:
    spec: JsonObject = {"Name": "default", "Labels": {}, **desired.settings}
    return ObservedObject(Kind.SWARM, "swarm", "default", 1, spec, {"Spec": spec})


def _nodes(desired: DesiredState) -> tuple[ObservedObject, ...]:
    listed = tuple(
        _node(node.selector, node.role or NodeRole.WORKER, node.availability, node.labels)
        for node in desired.nodes
        if not node.absent
    )
    return listed or (_node(SOME_MANAGER, NodeRole.MANAGER),)


def _only_in_head(desired: DesiredState, head: Sequence[DesiredNode]) -> Iterator[ObservedObject]:
    """Yield the nodes that the head lists and the base doesn't, without what both want gone."""
    there = {node.selector for node in desired.nodes if not node.absent}
    gone = {node.selector for node in desired.nodes if node.absent}
    for node in head:
        if node.selector not in (there | gone if node.absent else there):
            yield _node(node.selector, NodeRole.WORKER)


def _node(
    name: str, role: NodeRole, availability: str | None = None, labels: Mapping[str, str] | None = None
) -> ObservedObject:
    spec: JsonObject = {"Role": role.value, "Availability": availability or "active", "Labels": dict(labels or {})}
    raw: JsonObject = {"ID": name, "Spec": spec, "Status": {"State": "ready"}}
    raw["Description"] = {"Hostname": name, "Resources": {"NanoCPUs": PLENTY, "MemoryBytes": PLENTY}}
    if role is NodeRole.MANAGER:
        raw["ManagerStatus"] = {"Reachability": "reachable"}
    return ObservedObject(Kind.NODE, name, name, 1, spec, raw)


def _created(action: Action, made: set[tuple[Kind, str]], observed_at: datetime) -> ObservedObject:
    """Return what a creation leaves in the cluster: references by id, and no secret's content."""
    assert action.spec is not None
    spec = dict(action.spec)
    if action.kind is Kind.SECRET:
        spec.pop("Data", None)
    if action.kind is Kind.SERVICE:
        spec = _with_ids(spec, made)
    created = observed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    raw: JsonObject = {"ID": action.name, "CreatedAt": created, "Spec": spec}
    return ObservedObject(action.kind, action.name, action.name, 1, spec, raw)


def _with_ids(spec: JsonObject, made: set[tuple[Kind, str]]) -> JsonObject:
    container = (spec.get("TaskTemplate") or {}).get("ContainerSpec")
    if not container:
        return spec
    filled = dict(container)
    for list_key, noun, kind in (("Secrets", "Secret", Kind.SECRET), ("Configs", "Config", Kind.CONFIG)):
        if references := container.get(list_key):
            filled[list_key] = [
                {**item, f"{noun}ID": item[f"{noun}Name"]} if (kind, item[f"{noun}Name"]) in made else item
                for item in references
            ]
    return {**spec, "TaskTemplate": {**spec["TaskTemplate"], "ContainerSpec": filled}}


def _tasks(service: ObservedObject, nodes: Mapping[str, Room]) -> Iterator[ObservedTask]:
    """Yield the tasks of a service that has converged: of a job, those that have completed."""
    mode = mode_of(service.spec)
    state = TaskState.COMPLETE if mode.endswith("Job") else TaskState.RUNNING
    constraints = constraints_of(service.spec)
    fitting = [node for node, room in nodes.items() if room.takes_tasks and room.keeps(constraints)]
    if mode.startswith("Global"):
        slots = [(0, node) for node in fitting]
    else:
        places = fitting or [""]
        count = task_count(service.spec, nodes)
        slots = [(number + 1, places[number % len(places)]) for number in range(count)]
    template = service.spec.get("TaskTemplate")
    for slot, node in slots:
        task_id = f"{service.id}.{slot or node}"
        raw: JsonObject = {"ID": task_id, "ServiceID": service.id, "NodeID": node, "Slot": slot, "Spec": template}
        yield ObservedTask(task_id, service.id, node, slot, state, state, True, "", "", "", raw)
