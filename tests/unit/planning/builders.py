"""Small desired and actual states, in words."""

from __future__ import annotations

import base64
import copy
import datetime
from typing import Any

from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredNode, DesiredObject, DesiredState, Policy, Stack
from reconciler.model.errors import Place
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.plan import ActionType, Plan
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning.inventory import INVENTORIED_KINDS, swarm_spec_with
from reconciler.planning.options import NO_OPTIONS, PlanOptions
from reconciler.planning.plan import plan
from reconciler.planning.topology_record import swarm_spec_with_topology

HERE = Place("stacks/web.yaml", 3, 1, "services.web")
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def service_spec(name: str = "web_api", *, stack: str = "web", replicas: int = 3, **template: Any) -> JsonObject:
    """A create body as a stack file gives it; `template` adds to ContainerSpec."""
    container = {"Image": "nginx:1.25", "Labels": {labels.STACK_NAMESPACE: stack}, **template}
    return {
        "Name": name,
        "Labels": {labels.STACK_NAMESPACE: stack, labels.STACK_IMAGE: "nginx:1.25"},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {
            "ContainerSpec": container,
            "Networks": [{"Target": f"{stack}_default", "Aliases": ["api"]}],
            "Placement": {},
            "Resources": {},
            "ForceUpdate": 0,
        },
        "EndpointSpec": {},
    }


def network_spec(name: str = "web_default", *, stack: str | None = "web", **fields: Any) -> JsonObject:
    spec_labels = {labels.STACK_NAMESPACE: stack} if stack else {}
    return {"Name": name, "Driver": "overlay", "Labels": spec_labels, "Attachable": False, **fields}


def content_spec(name: str, content: str, *, stack: str = "web") -> JsonObject:
    return {
        "Name": name,
        "Labels": {labels.STACK_NAMESPACE: stack},
        "Data": base64.b64encode(content.encode()).decode(),
    }


def wanted(kind: Kind, spec: JsonObject, *, stack: str | None = "web", **fields: Any) -> DesiredObject:
    return DesiredObject(kind, spec["Name"], stack, spec, HERE, **fields)


def desired(*objects: DesiredObject, **fields: Any) -> DesiredState:
    defaults: dict[str, Any] = {
        "cluster": "prod",
        "revision": "infra@abc1234",
        "commit": "abc1234",
        "stacks": (Stack("web", "stacks/web.yaml", (), HERE),),
        "policy": Policy(prune=True),
    }
    return DesiredState(objects=objects, **(defaults | fields))


def web_service(**fields: Any) -> DesiredState:
    """One service on its stack's default network."""
    return desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, service_spec(**fields)))


def observed(
    kind: Kind, spec: JsonObject | None, *, object_id: str = "", version: int = 10, **raw: Any
) -> ObservedObject:
    """An object as the daemon shows it after it was created with `spec`."""
    assert spec is not None
    stored = copy.deepcopy(spec)
    if kind is Kind.SECRET:
        stored.pop("Data", None)
    name = stored.get("Name", "")
    return ObservedObject(kind, object_id or f"id-{name}", name, version, stored, {"Spec": stored, **raw})


def a_node(name: str, *, role: str = "worker", reachable: bool = True, **spec: Any) -> ObservedObject:
    raw: JsonObject = {"Status": {"State": "ready"}}
    if role == "manager":
        raw["ManagerStatus"] = {"Reachability": "reachable" if reachable else "unreachable"}
    full = {"Role": role, "Availability": "active", "Labels": {}, **spec}
    return ObservedObject(Kind.NODE, f"id-{name}", name, 5, full, raw)


def wanted_node(name: str, *, role: str | None = None, **fields: Any) -> DesiredNode:
    place = Place("swarm.yaml", 9, 5, "spec.nodes[0]")
    return DesiredNode(
        name,
        by_id=False,
        role=NodeRole(role) if role else None,
        availability=fields.get("availability"),
        labels=fields.get("labels"),
        place=place,
        absent=fields.get("absent", False),
    )


def running_tasks(service: ObservedObject) -> tuple[ObservedTask, ...]:
    """The tasks of a replicated service that has converged."""
    count = (service.spec.get("Mode") or {}).get("Replicated", {}).get("Replicas", 0)
    template = service.spec.get("TaskTemplate")
    return tuple(
        ObservedTask(
            id=f"{service.name}.{slot}",
            service_id=service.id,
            node_id="id-n1",
            slot=slot,
            state=TaskState.RUNNING,
            desired_state=TaskState.RUNNING,
            up_to_date=True,
            message="",
            error="",
            timestamp="",
            raw={"Spec": template},
        )
        for slot in range(1, count + 1)
    )


def actual(*objects: ObservedObject, tasks: tuple[ObservedTask, ...] = (), **fields: Any) -> ActualState:
    """A swarm with these objects; its own object has version 3 and a task history of 5.

    `swarm_labels` are the labels of the swarm itself, `swarm_fields` what its answer has beside its spec.
    """
    swarm_labels, swarm_fields = fields.pop("swarm_labels", {}), fields.pop("swarm_fields", {})
    spec = {"Name": "default", "Orchestration": {"TaskHistoryRetentionLimit": 5}, "Labels": swarm_labels}
    swarm = ObservedObject(Kind.SWARM, "id-swarm", "default", 3, spec, {"Spec": spec, **swarm_fields})
    by_kind = {kind: tuple(one for one in objects if one.kind is kind) for kind in Kind}
    return ActualState(
        endpoint="unix:///test.sock",
        observed_at=NOW,
        swarm=swarm,
        nodes=by_kind[Kind.NODE],
        networks=by_kind[Kind.NETWORK],
        secrets=by_kind[Kind.SECRET],
        configs=by_kind[Kind.CONFIG],
        services=by_kind[Kind.SERVICE],
        tasks=tasks,
        **fields,
    )


def running_web(*, owner: str | None = "prod", replicas: int = 3, **template: Any) -> tuple[ObservedObject, ...]:
    """The network and service of `web_service` as the daemon stored them."""
    spec = service_spec(replicas=replicas, **template)
    spec["TaskTemplate"]["Networks"][0]["Target"] = "id-web_default"
    spec["TaskTemplate"]["Runtime"] = "container"
    spec["TaskTemplate"]["ContainerSpec"]["Isolation"] = "default"
    spec["EndpointSpec"] = {"Mode": "vip"}
    network = network_spec(
        Scope="swarm",
        IPAM={"Driver": "default", "Config": [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}]},
        Options={"com.docker.network.driver.overlay.vxlanid_list": "4097"},
    )
    if owner:
        spec["Labels"][labels.OWNER] = owner
        network["Labels"] = {**network["Labels"], labels.OWNER: owner}
    return observed(Kind.NETWORK, network), observed(Kind.SERVICE, spec)


def planned(state: DesiredState, cluster: ActualState, options: PlanOptions = NO_OPTIONS) -> Plan:
    return plan(state, cluster, options)


def paths(made: Plan) -> dict[str, list[str]]:
    """{action id: the paths of its changes}."""
    return {action.id: [change.path for change in action.changes] for action in made.actions}


def carried_out(made: Plan, cluster: ActualState, *, at: str = "") -> ActualState:
    """The cluster once every action of the plan is done, and its records of what is owned and was asked are written.

    Ids are `id-` and the name. `at` is when new objects are made, `2026-01-02T00:00:00Z`.
    """
    there = {(kind, found.name): found for kind in INVENTORIED_KINDS for found in cluster.of_kind(kind)}
    for action in made.actions:
        if action.kind in (Kind.NODE, Kind.SWARM):
            continue
        before = there.pop((action.kind, action.name), None)
        if action.type is ActionType.DELETE:
            continue
        assert action.spec is not None
        spec = _with_ids(action.spec)
        raw: JsonObject = {"CreatedAt": before.raw.get("CreatedAt", "") if before else at}
        if before is not None and action.type is ActionType.UPDATE:
            raw["PreviousSpec"] = before.spec
        there[action.kind, action.name] = observed(action.kind, spec, **raw)
    written = {action.object_id: action.spec for action in made.actions if action.kind in (Kind.NODE, Kind.SWARM)}
    nodes = (replace(node, spec=written.get(node.id) or node.spec) for node in cluster.nodes)
    spec = written.get(cluster.swarm.id) or cluster.swarm.spec
    if made.inventory is not None:
        spec = swarm_spec_with(spec, made.owner, made.inventory)
    if made.topology is not None:
        spec = swarm_spec_with_topology(spec, made.owner, made.topology)
    after = actual(*there.values(), *nodes)
    return replace(after, swarm=replace(after.swarm, spec=spec))


def _with_ids(spec: JsonObject) -> JsonObject:
    filled = copy.deepcopy(spec)
    container = filled.get("TaskTemplate", {}).get("ContainerSpec", {})
    for key, noun in (("Secrets", "Secret"), ("Configs", "Config")):
        for reference in container.get(key, []):
            reference[f"{noun}ID"] = f"id-{reference[f'{noun}Name']}"
    return filled
