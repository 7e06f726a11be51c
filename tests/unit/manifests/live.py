"""Live objects and swarms, as a cluster would be observed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject

STACK = "com.docker.stack.namespace"


def observed(kind: Kind, name: str, spec: JsonObject, object_id: str | None = None) -> ObservedObject:
    spec = {"Name": name, **spec}
    return ObservedObject(kind, object_id or f"{name}-id", name, 1, spec, {"Spec": spec})


def network(name: str, **spec: Any) -> ObservedObject:
    body = {"Name": name, "Driver": "overlay", "Scope": "swarm", **spec}
    return ObservedObject(Kind.NETWORK, f"{name}-id", name, 0, body, body)


def config(name: str, content: bytes, **labels: str) -> ObservedObject:
    data = base64.b64encode(content).decode()
    return observed(Kind.CONFIG, name, {"Labels": labels, "Data": data})


def service(name: str, container: JsonObject | None = None, **spec: Any) -> ObservedObject:
    task = {"ContainerSpec": {"Image": "nginx:1", "Isolation": "default", **(container or {})}}
    task |= spec.pop("task", {})
    return observed(Kind.SERVICE, name, {"TaskTemplate": task, "Mode": {"Replicated": {"Replicas": 1}}, **spec})


def swarm(*objects: ObservedObject, settings: JsonObject | None = None) -> ActualState:
    by_kind = {kind: tuple(one for one in objects if one.kind is kind) for kind in Kind}
    return ActualState(
        endpoint="here",
        observed_at=datetime(2026, 1, 1, tzinfo=UTC),
        swarm=observed(Kind.SWARM, "default", settings or {}),
        nodes=by_kind[Kind.NODE],
        networks=by_kind[Kind.NETWORK],
        secrets=by_kind[Kind.SECRET],
        configs=by_kind[Kind.CONFIG],
        services=by_kind[Kind.SERVICE],
        predefined_networks=(("host", "host-id"),),
    )
