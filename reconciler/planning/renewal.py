"""Which tasks an update renews: Swarm's own "dirty" test, on the body that will be sent.

Canonical forms smooth over what means the same; Swarm does not. An update that changes a label and, beside it, sends
`Resources: {}` where nothing was, restarts every task. Hence bodies are looked at here, in the form in which an engine
stores and shows them: what `GET /services/{id}` shows to differ is what renews tasks, no more and no less.

Source: swarmkit's orchestrator.IsTaskDirty (facts, swarmkit.md 2.6), the same in all engines since 18.02; measured on
20.10 field by field, empty values included (tests/e2e/test_effects.py).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from reconciler.model.constraints import constraints_hold
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning.preflight.rooms import Room

Names = Mapping[Kind, Mapping[str, str]]
"""{kind: {object id: name}} of what the cluster has now."""

SlotKey = int | str
"""The slot's number, or the node's id for a service with a task on each node."""

BLOCKS = frozenset(
    {
        *("Resources", "Limits", "Reservations", "RestartPolicy", "LogDriver", "DNSConfig", "Healthcheck", "File"),
        *("Privileges", "SELinuxContext", "CredentialSpec", "Seccomp", "AppArmor"),
        *("TmpfsOptions", "VolumeOptions", "DriverConfig"),
    }
)
"""Objects that an engine keeps apart from their absence, even empty. Any other empty object is as good as none."""

OPTIONAL_VALUES = frozenset({"Init", "StopGracePeriod", "Delay", "Window", "SwapBytes", "MemorySwappiness"})
"""Plain values that an engine keeps apart from their absence, even false or 0."""

MAPS_OF_USERS = frozenset({"Labels", "Options", "Sysctls", "DriverOpts"})
"""Objects of texts whose keys a user chooses: an empty text is a value there."""

REFERENCES = (("Secrets", "Secret", Kind.SECRET), ("Configs", "Config", Kind.CONFIG))


SINCE_MAJOR = {
    **dict.fromkeys(("NoNewPrivileges", "Seccomp", "AppArmor", "StartInterval"), 25),
    "OomScoreAdj": 27,
    **dict.fromkeys(("SwapBytes", "MemorySwappiness"), 29),
}
"""{field: the major version of the first engine that stores it}; an older one takes it and drops it."""


def dropped_fields(rooms: Mapping[str, Room]) -> frozenset[str]:
    """Return the fields that the oldest of the managers drops; none where no manager tells its version."""
    versions = [
        str(dig(room.node.description, "Engine", "EngineVersion") or "").partition(".")[0]
        for room in rooms.values()
        if room.node.role is NodeRole.MANAGER
    ]
    oldest = min((int(major) for major in versions if major.isdigit()), default=None)
    return frozenset(name for name, since in SINCE_MAJOR.items() if oldest is not None and oldest < since)


class SlotUse(enum.Enum):
    """What fills a slot."""

    RUNNING = "running"
    WAITING = "waiting"
    """A task that does not run yet: it is being prepared, waits for its restart, or no node takes it."""
    FINISHED = "finished"
    """A task that ended, and that the restart policy leaves so. An update that renews it runs it again."""


class Filled(msgspec.Struct, frozen=True):
    """One slot with what fills it: its live tasks, or the last one where that is to stay ended."""

    use: SlotUse
    tasks: tuple[ObservedTask, ...]


class Renewal(msgspec.Struct, frozen=True):
    """An update of a service, ready to be asked of each task whether it replaces it.

    `template` and `endpoint` are those to be sent, `now` and `endpoint_now` those that the service has, all as stored;
    `before` and `endpoint_before` are those of the spec which its last update left behind.
    """

    template: JsonObject
    endpoint: JsonObject | None
    now: JsonObject
    endpoint_now: JsonObject | None
    before: JsonObject
    endpoint_before: JsonObject | None
    constraints: tuple[str, ...]
    rooms: Mapping[str, Room]
    names: Names
    dropped: frozenset[str]

    @classmethod
    def of(cls, found: ObservedObject, body: JsonObject, rooms: Mapping[str, Room], names: Names) -> Renewal:
        """Return the update of the service `found` to `body`."""
        dropped = dropped_fields(rooms)
        return cls(
            template=stored_template(body.get("TaskTemplate"), names, dropped),
            endpoint=stored_endpoint(body.get("EndpointSpec")),
            now=stored_template(found.spec.get("TaskTemplate"), names, dropped),
            endpoint_now=stored_endpoint(found.spec.get("EndpointSpec")),
            before=stored_template(found.dig("PreviousSpec", "TaskTemplate"), names, dropped),
            endpoint_before=stored_endpoint(found.dig("PreviousSpec", "EndpointSpec")),
            constraints=constraints_of(body),
            rooms=rooms,
            names=names,
            dropped=dropped,
        )

    def replaces(self, task: ObservedTask) -> bool:
        """Return whether `task` is replaced by the update.

        Where nothing but the placement differs, a task stays on a node that meets the new constraints; spread
        preferences, platforms and replicas per node count for new tasks only.
        """
        made_from = dig(task.raw, "Spec")
        if made_from is not None:
            template = stored_template(made_from, self.names, self.dropped)
        else:
            template = self.now if task.up_to_date else {}
        if (
            _but_placement(template) != _but_placement(self.template)
            or self._endpoint_of(task, template) != self.endpoint
        ):
            return True
        if template.get("Placement", {}) == self.template.get("Placement", {}):
            return False
        room = self.rooms.get(task.node_id)
        return room is None or not constraints_hold(self.constraints, room.node)

    def _endpoint_of(self, task: ObservedTask, template: JsonObject) -> JsonObject | None:
        """Return the endpoint that `task` was made with, which no answer shows.

        It is today's, but for a task that is out of date and was made from the spec before: the last update changed
        nothing else then, or has not come to this task, as one that is paused or finds no room.
        """
        is_older = not task.up_to_date and template in (self.now, self.before)
        return self.endpoint_before if is_older else self.endpoint_now


def _but_placement(template: JsonObject) -> JsonObject:
    return {key: value for key, value in template.items() if key != "Placement"}


def constraints_of(spec: JsonObject) -> tuple[str, ...]:
    """Return the placement constraints of a service's spec."""
    return tuple(dig(spec, "TaskTemplate", "Placement", "Constraints") or ())


def filled_slots(tasks: Iterable[ObservedTask], *, is_global: bool) -> dict[SlotKey, Filled]:
    """Return what fills each slot that counts for a service that is no job."""
    slots: dict[SlotKey, list[ObservedTask]] = {}
    for task in tasks:
        if task.desired_state < TaskState.REMOVE:
            slots.setdefault(task.node_id if is_global else task.slot, []).append(task)
    return {key: filled for key, found in slots.items() if (filled := _filled(found)) is not None}


def _filled(tasks: list[ObservedTask]) -> Filled | None:
    live = tuple(task for task in tasks if task.desired_state <= TaskState.RUNNING)
    if live:
        runs = any(task.state is TaskState.RUNNING for task in live)
        return Filled(SlotUse.RUNNING if runs else SlotUse.WAITING, live)
    newest = max(tasks, key=lambda task: (task.raw.get("CreatedAt", ""), task.timestamp))
    return Filled(SlotUse.FINISHED, (newest,)) if _stays_ended(newest) else None


def _stays_ended(task: ObservedTask) -> bool:
    """Return whether a task that ended with none after it is left so; with attempts counted, they are used up."""
    policy: dict[str, Any] = dig(task.raw, "Spec", "RestartPolicy") or {}
    condition = policy.get("Condition") or "any"
    if condition == "none" or policy.get("MaxAttempts"):
        return True
    return condition == "on-failure" and task.state is TaskState.COMPLETE


def stored_template(template: JsonValue, names: Names, dropped: frozenset[str] = frozenset()) -> JsonObject:
    """Return a TaskTemplate as an engine that drops the fields `dropped` tells it from others, with names for ids.

    Lists keep their order: two ports or networks in another order renew tasks as well.
    """
    form: JsonObject = _stored(template or {}, dropped)
    form["Runtime"] = form.get("Runtime") or "container"
    if "RestartPolicy" in form:
        form["RestartPolicy"]["Condition"] = form["RestartPolicy"].get("Condition") or "any"
    container = form.setdefault("ContainerSpec", {})
    if container.get("Isolation") not in ("process", "hyperv"):
        container.pop("Isolation", None)
    for mount in container.get("Mounts", ()):
        mount.pop("Consistency", None)  # no engine stores it
    for field, noun, kind in REFERENCES:
        for reference in container.get(field, ()):
            _name_reference(reference, noun, names.get(kind, {}))
    credential = dig(container, "Privileges", "CredentialSpec") or {}
    if "Config" in credential:
        credential["Config"] = names.get(Kind.CONFIG, {}).get(credential["Config"], credential["Config"])
    for attachment in form.get("Networks", ()):
        target = attachment.get("Target", "")
        attachment["Target"] = names.get(Kind.NETWORK, {}).get(target, target)
    return form


def _name_reference(reference: JsonObject, noun: str, names: Mapping[str, str]) -> None:
    object_id = reference.pop(f"{noun}ID", None)
    if object_id:
        name = names.get(object_id)
        reference[f"{noun}Name"] = name if name is not None else f"(deleted, id {object_id})"


def stored_endpoint(endpoint: JsonValue) -> JsonObject | None:
    """Return an EndpointSpec as an engine tells it apart from others; none at all differs from an empty one."""
    if endpoint is None:
        return None
    form: JsonObject = _stored(endpoint, frozenset())
    form["Mode"] = form.get("Mode") or "vip"
    for port in form.get("Ports", ()):
        port["Protocol"] = str(port.get("Protocol") or "tcp").lower()
        port["PublishMode"] = str(port.get("PublishMode") or "ingress").lower()
    return form


def _stored(value: JsonObject, dropped: frozenset[str]) -> JsonObject:
    """Return a copy of an object without what an engine drops or takes for absent."""
    kept: JsonObject = {}
    for key, item in value.items():
        if key in dropped:
            continue
        if isinstance(item, dict):
            form = dict(item) if key in MAPS_OF_USERS else _stored(item, dropped)
            if form or key in BLOCKS:
                kept[key] = form
        elif isinstance(item, list):
            if item:
                kept[key] = [_stored(one, dropped) if isinstance(one, dict) else one for one in item]
        elif item or (item is not None and key in OPTIONAL_VALUES):
            kept[key] = item
    return kept
