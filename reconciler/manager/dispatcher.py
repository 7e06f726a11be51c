"""Turns the tables into what each node shall run and which ports lead where. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.model.assignments import Assignment, AssignmentSet, AttachedNetwork, MountedFile, Route
from reconciler.model.json import JsonObject
from reconciler.model.tables import ConfigRecord, SecretRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState

DEFAULT_FILE_MODE = 0o444

REGISTRY_AUTH_NAMESPACE = "registry-auth"
"""The records that hold, by service, what its image is pulled with: secrets, and in no spec, which anybody may read."""


def assignments_by_node(tables: Tables, handed_out: Mapping[str, Assignment]) -> dict[str, AssignmentSet]:
    """Return {node id: its complete assignment set} for every node.

    `handed_out` are the assignments made before, by task id: a task's files stay those it was first given, also
    when its service has gone meanwhile.
    """
    wanted: dict[str, dict[str, Assignment]] = {node_id: {} for node_id in tables.nodes}
    kept: dict[str, list[str]] = {node_id: [] for node_id in tables.nodes}
    for task in tables.tasks.values():
        if task.node_id not in wanted or task.state < TaskState.ASSIGNED:
            continue
        if task.has_ended:
            kept[task.node_id].append(task.id)
            continue
        known = handed_out.get(task.id)
        made = _desiring(known, task.desired_state) if known else _assignment(tables, task)
        wanted[task.node_id][task.id] = made
    return {node_id: AssignmentSet(wanted[node_id], frozenset(kept[node_id])) for node_id in wanted}


def _desiring(assignment: Assignment, desired: TaskState) -> Assignment:
    if assignment.desired_state >= desired:
        return assignment
    return replace(assignment, desired_state=desired)


def _assignment(tables: Tables, task: TaskRecord) -> Assignment:
    service = tables.services.get(task.service_id)
    node = tables.nodes[task.node_id]
    container = task.spec.get("ContainerSpec") or {}
    return Assignment(
        task_id=task.id,
        service_id=task.service_id,
        service_name=service.name if service else task.service_id,
        service_labels=dict(service.spec.get("Labels") or {}) if service else {},
        slot=task.slot,
        node_id=node.id,
        hostname=node.hostname,
        desired_state=task.desired_state,
        spec=task.spec,
        secrets=_files(container.get("Secrets") or (), "Secret", tables.secrets),
        configs=_files(container.get("Configs") or (), "Config", tables.configs),
        state=task.state,
        networks=_networks(tables, task),
        ports=tuple(task.endpoint_spec.get("Ports") or ()),
        registry_auth=_registry_auth(tables, task.service_id),
    )


def _registry_auth(tables: Tables, service_id: str) -> str:
    record = tables.records.get(f"{REGISTRY_AUTH_NAMESPACE}/{service_id}")
    return record.value.decode("ascii", "replace") if record else ""


def _networks(tables: Tables, task: TaskRecord) -> tuple[AttachedNetwork, ...]:
    found = []
    for network_id, address in task.attachments:
        network = tables.networks.get(network_id)
        if network is None:
            continue
        found.append(
            AttachedNetwork(
                network_id,
                network.name,
                str(network.spec.get("Driver") or "overlay"),
                network.subnets[0] if network.subnets else "",
                address.partition("/")[0],
                internal=bool(network.spec.get("Internal")),
                ingress=bool(network.spec.get("Ingress")),
            )
        )
    return tuple(found)


def _files(
    references: Iterable[JsonObject], kind: str, records: Mapping[str, SecretRecord] | Mapping[str, ConfigRecord]
) -> tuple[MountedFile, ...]:
    files: list[MountedFile] = []
    for reference in references:
        record = records.get(reference.get(f"{kind}ID", ""))
        file = reference.get("File")
        if record is None or file is None:
            continue
        mode = file.get("Mode")
        files.append(
            MountedFile(
                name=record.name,
                target=file.get("Name") or record.name,
                mode=DEFAULT_FILE_MODE if mode is None else mode,
                content=base64.b64decode(record.spec.get("Data") or ""),
                templated=bool(record.spec.get("Templating")),
                uid=_number(file.get("UID")),
                gid=_number(file.get("GID")),
            )
        )
    return tuple(files)


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else 0


def routes(tables: Tables) -> tuple[Route, ...]:
    """Return the TCP and UDP ports that services publish, in either mode, with the running tasks behind each."""
    found: list[Route] = []
    addresses: dict[str, list[str]] = {}
    for task in tables.tasks.values():
        if task.state is TaskState.RUNNING and task.is_live and task.status.address:
            addresses.setdefault(task.service_id, []).append(task.status.address)
    for service in tables.services.values():
        for port in service.ports:
            protocol, published = port["Protocol"], port.get("PublishedPort")
            if protocol not in ("tcp", "udp") or not published:
                continue
            targets = tuple((address, port["TargetPort"]) for address in addresses.get(service.id, ()))
            in_host_mode = port.get("PublishMode") == "host"
            found.append(Route(service.id, service.name, published, targets, protocol, in_host_mode))
    return tuple(found)
