"""Turns the tables into what each node shall run and which ports lead where. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from reconciler.model.assignments import Assignment, AssignmentSet, AttachedNetwork, MountedFile, Route
from reconciler.model.changes import Change, TableKind
from reconciler.model.json import JsonObject, dig
from reconciler.model.tables import ConfigRecord, SecretRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState

DEFAULT_FILE_MODE = 0o444

REGISTRY_AUTH_NAMESPACE = "registry-auth"
"""The records that hold, by service, what its image is pulled with: secrets, and in no spec, which anybody may read."""


class Dispatcher:
    """Knows what each node was told to run, so that a change of a task costs a look at its node and no other."""

    def __init__(self) -> None:
        self._told: dict[str, AssignmentSet] = {}
        self._node_ids: dict[str, str] = {}
        self._stale: dict[str, None] | None = None

    def look_everywhere(self) -> None:
        """Take it that anything may have changed."""
        self._stale = None

    def note(self, tables: Tables, changes: Iterable[Change]) -> None:
        """Take in what entries of the log have changed; `tables` may be ahead of them."""
        if self._stale is None:
            return
        for change in changes:
            if change.kind is TableKind.NODE:
                self._stale[change.id] = None
            elif change.kind is TableKind.TASK:
                task = tables.tasks.get(change.id)
                node_id = task.node_id if task is not None else self._node_ids.get(change.id)
                if node_id:
                    self._stale[node_id] = None

    def take(self, tables: Tables) -> dict[str, AssignmentSet]:
        """Return {node id: its complete assignment set} for the nodes on which something has changed since last time.

        A task's files stay those it was first given, also when its service has gone meanwhile.
        """
        stale, self._stale = self._stale, {}
        found: dict[str, AssignmentSet] = {}
        for node_id in [*self._told, *tables.nodes] if stale is None else stale:
            self._forget(before := self._told.pop(node_id, _NOTHING))
            if node_id in tables.nodes:
                found[node_id] = self._told[node_id] = self._set_of(tables, node_id, before)
        return found

    def _forget(self, told: AssignmentSet) -> None:
        for task_id in (*told.wanted, *told.kept):
            self._node_ids.pop(task_id, None)

    def _set_of(self, tables: Tables, node_id: str, before: AssignmentSet) -> AssignmentSet:
        wanted: dict[str, Assignment] = {}
        kept: list[str] = []
        for task in tables.tasks_on_node(node_id):
            if task.state < TaskState.ASSIGNED:
                continue
            self._node_ids[task.id] = node_id
            if task.has_ended:
                kept.append(task.id)
                continue
            known = before.wanted.get(task.id)
            wanted[task.id] = _desiring(known, task.desired_state) if known else _assignment(tables, task)
        return AssignmentSet(wanted, frozenset(kept))


_NOTHING = AssignmentSet({})


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
        architecture=str(dig(node.description, "Platform", "Architecture") or ""),
        generic_resources=task.generic_resources,
        lacking=_lacking(tables, container),
    )


def _lacking(tables: Tables, container: JsonObject) -> str:
    """Return which secret or config is gone: a service may be rolled back to one that was removed since."""
    kinds: tuple[tuple[str, Mapping[str, object]], ...] = (("Secret", tables.secrets), ("Config", tables.configs))
    for kind, records in kinds:
        for reference in container.get(f"{kind}s") or ():
            if (wanted := reference.get(f"{kind}ID", "")) not in records:
                word = kind.lower()
                return f"unable to get {word} from {word} store: {word} {wanted} not found"
    return ""


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
    for service in tables.services.values():
        addresses = _addresses(tables, service.id) if service.ports else []
        for port in service.ports:
            protocol, published = port["Protocol"], port.get("PublishedPort")
            if protocol not in ("tcp", "udp") or not published:
                continue
            targets = tuple((address, port["TargetPort"]) for address in addresses)
            in_host_mode = port.get("PublishMode") == "host"
            found.append(Route(service.id, service.name, published, targets, protocol, in_host_mode))
    return tuple(found)


def _addresses(tables: Tables, service_id: str) -> list[str]:
    """Return where a service's tasks listen that run and shall run."""
    tasks = tables.tasks_of_service(service_id)
    running = (task for task in tasks if task.state is TaskState.RUNNING and task.is_live)
    return [task.status.address for task in running if task.status.address]
