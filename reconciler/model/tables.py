"""The embedded swarm's replicated state: what every manager holds, changed only by the Commands of commands.py.

Records are frozen and replaced whole; tasks, of which there are many and which change all the time, are msgspec's own
kind, which is several times faster to replace and to read from a snapshot. Specs are the Engine API's own JSON and are
never changed in place: whoever needs another spec makes a copy. `version` is the log index of the entry that last
wrote the record; `created_at` and `updated_at` are aware UTC, stamped by the proposer of that entry.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeRecord
from reconciler.model.tasks import TaskState

INGRESS_NETWORK = "ingress"
PREDEFINED_LABEL = "com.docker.swarm.predefined"
"""The label of networks such as "host": they can be used, and are in no list."""


class JoinTokens(Discreet, frozen=True):
    """What lets a node in. Secret: kept out of every repr, and out of what the Cluster port shows."""

    UNSHOWN = frozenset({"worker", "manager"})

    worker: str
    manager: str


DEFAULT_ADDRESS_POOL = ("10.0.0.0/8",)
DEFAULT_SUBNET_SIZE = 24
DEFAULT_DATA_PATH_PORT = 4789


class ClusterRecord(Discreet, frozen=True):
    """Overlay networks without a subnet get one of `subnet_size` bits from `default_addr_pool`."""

    UNSHOWN = frozenset({"join_tokens"})

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    spec: JsonObject
    join_tokens: JoinTokens
    default_addr_pool: tuple[str, ...] = DEFAULT_ADDRESS_POOL
    subnet_size: int = DEFAULT_SUBNET_SIZE
    data_path_port: int = DEFAULT_DATA_PATH_PORT


class NetworkRecord(msgspec.Struct, frozen=True):
    """`spec` is the body of the create request, completed with subnet, gateway and options.

    `last_address` is the number of the address that was given out last, 0 before the first: the next one comes after
    it, so that one that was given back is not used again soon. `node_addresses` are the numbers of the addresses that
    nodes have for balancing, by node id. To change either makes no new `version`.
    """

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    spec: JsonObject
    last_address: int = 0
    node_addresses: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.spec.get("Name", ""))

    @property
    def is_predefined(self) -> bool:
        return PREDEFINED_LABEL in (self.spec.get("Labels") or {})

    @property
    def subnets(self) -> tuple[str, ...]:
        ipam = self.spec.get("IPAM") or {}
        return tuple(str(pool["Subnet"]) for pool in ipam.get("Config") or () if pool.get("Subnet"))


class SecretRecord(Discreet, frozen=True):
    """`spec` holds the secret's Data, and is therefore in no repr."""

    UNSHOWN = frozenset({"spec"})

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    spec: JsonObject

    @property
    def name(self) -> str:
        return str(self.spec.get("Name", ""))


class ConfigRecord(Discreet, frozen=True):
    UNSHOWN = frozenset({"spec"})

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    spec: JsonObject

    @property
    def name(self) -> str:
        return str(self.spec.get("Name", ""))


class UpdateState(enum.StrEnum):
    """How far a rolling update is, in the API's words."""

    UPDATING = "updating"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_PAUSED = "rollback_paused"
    ROLLBACK_COMPLETED = "rollback_completed"

    @property
    def is_active(self) -> bool:
        return self in (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED)

    @property
    def is_rollback(self) -> bool:
        return self in (UpdateState.ROLLBACK_STARTED, UpdateState.ROLLBACK_PAUSED, UpdateState.ROLLBACK_COMPLETED)


class UpdateStatus(msgspec.Struct, frozen=True):
    """`epoch` is the log index at which this phase began; tasks that it creates carry it."""

    state: UpdateState
    message: str
    started_at: datetime
    completed_at: datetime | None
    epoch: int


NetworkAddress = tuple[str, str]
"""A network's id, and an address there with the bits of its subnet, as "10.0.1.2/24"; "" in a network without."""


class ServiceRecord(msgspec.Struct, frozen=True):
    """`spec_version` names the task template that tasks are compared with; it is the log index of its update.

    `ports` are the published ports as allotted, dynamic ones filled in. `job_iteration` is 0 but for jobs, where
    each update adds one and stamps `last_execution`. `virtual_ips` are its own addresses, none in mode dnsrr.
    """

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    spec: JsonObject
    spec_version: int
    previous_spec: JsonObject | None = None
    previous_spec_version: int = 0
    update: UpdateStatus | None = None
    ports: tuple[JsonObject, ...] = ()
    job_iteration: int = 0
    last_execution: datetime | None = None
    virtual_ips: tuple[NetworkAddress, ...] = ()

    @property
    def name(self) -> str:
        return str(self.spec.get("Name", ""))

    @property
    def task_spec(self) -> JsonObject:
        """The template, with the networks that a client of before API 1.25 has put beside it."""
        template: JsonObject = self.spec.get("TaskTemplate") or {}
        older = self.spec.get("Networks")
        return {**template, "Networks": older} if older and not template.get("Networks") else template

    @property
    def endpoint_spec(self) -> JsonObject:
        return self.spec.get("EndpointSpec") or {}

    @property
    def is_job(self) -> bool:
        mode = self.spec.get("Mode") or {}
        return "ReplicatedJob" in mode or "GlobalJob" in mode

    @property
    def is_global(self) -> bool:
        """Whether it has one task a node (global and global-job) instead of numbered slots."""
        mode = self.spec.get("Mode") or {}
        return "Global" in mode or "GlobalJob" in mode


PublishedPort: TypeAlias = tuple[str, int, int]
"""A port that a node publishes for one task: the protocol, the task's port, the node's."""


class TaskStatus(msgspec.Struct, frozen=True, gc=False):
    """What was last seen of a task. `timestamp` is the reporter's clock; `pid` and `exit_code` are None until known.

    `address` is where the task listens, "" when it has no address of its own; `container_id` its container's, "" for
    none. `ports` are those that its node's engine publishes for it alone.
    """

    state: TaskState
    message: str
    err: str
    timestamp: datetime
    pid: int | None = None
    exit_code: int | None = None
    address: str = ""
    container_id: str = ""
    ports: tuple[PublishedPort, ...] = ()


class TaskRecord(msgspec.Struct, frozen=True, gc=False):
    """One task; it runs once. `created_index` orders tasks of equal age.

    `slot` is 0 for tasks of global services (and for the first of a replicated job). `replaces` is the task whose end
    it waits for, "" for none; `start_after` is when the restart delay is over, None for no delay. `is_restart` marks
    replacements made by the restart policy, `update_epoch` those made by that rolling update (0: by none).
    `running_at` is when it was first seen running. `generic_resources` are those it was given: the kind, and the name
    of one (text) or how many (number). `attachments` are its networks with its address in each, in order; they are kept
    for reading when the task is over, and its addresses are free then.
    """

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    created_index: int
    service_id: str
    slot: int
    node_id: str
    spec: JsonObject
    endpoint_spec: JsonObject
    spec_version: int
    desired_state: TaskState
    status: TaskStatus
    replaces: str = ""
    start_after: datetime | None = None
    is_restart: bool = False
    update_epoch: int = 0
    running_at: datetime | None = None
    job_iteration: int = 0
    generic_resources: tuple[tuple[str, str | int], ...] = ()
    attachments: tuple[NetworkAddress, ...] = ()

    @property
    def state(self) -> TaskState:
        return self.status.state

    @property
    def is_live(self) -> bool:
        """Whether the swarm wants it to run, now or soon."""
        return self.desired_state <= TaskState.COMPLETE

    @property
    def holds_addresses(self) -> bool:
        """Whether the addresses in `attachments` are still its own (swarmkit's taskDead)."""
        return self.desired_state <= TaskState.RUNNING or self.status.state <= TaskState.RUNNING

    @property
    def has_ended(self) -> bool:
        return self.status.state > TaskState.RUNNING


class KeyValueRecord(msgspec.Struct, frozen=True, gc=False):
    """A record that the store keeps without reading it, such as the controller's history or a member's addresses."""

    namespace: str
    key: str
    value: bytes
    version: int

    def __repr__(self) -> str:
        return f"KeyValueRecord({self.namespace!r}, {self.key!r}, version={self.version})"

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.key}"


class Leadership(msgspec.Struct, frozen=True):
    """Who claimed to lead last. `epoch` is the log index of that claim, 0 before the first."""

    epoch: int = 0
    leader: str = ""


class Indexes(msgspec.Struct):
    """Other ways into the Tables, kept by reconciler.store with every write and made anew from a snapshot.

    The inner dicts are ordered sets of ids, or of the numbers of addresses in use. Names are in small letters.
    `record_ids` is sorted.
    """

    task_ids_by_service: dict[str, dict[str, None]] = msgspec.field(default_factory=dict)
    task_ids_by_node: dict[str, dict[str, None]] = msgspec.field(default_factory=dict)
    network_ids_by_name: dict[str, str] = msgspec.field(default_factory=dict)
    secret_ids_by_name: dict[str, str] = msgspec.field(default_factory=dict)
    config_ids_by_name: dict[str, str] = msgspec.field(default_factory=dict)
    service_ids_by_name: dict[str, str] = msgspec.field(default_factory=dict)
    record_ids: list[str] = msgspec.field(default_factory=list)
    addresses_by_network: dict[str, dict[int, None]] = msgspec.field(default_factory=dict)


@dataclass(slots=True)
class Tables:
    """All records by id, in order of creation. `index` is that of the last log entry applied.

    Only reconciler.store changes them; everyone else reads. Iteration is over dicts, whose order is the log's.
    `records` are by `namespace/key`.
    """

    index: int = 0
    cluster: ClusterRecord | None = None
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    networks: dict[str, NetworkRecord] = field(default_factory=dict)
    secrets: dict[str, SecretRecord] = field(default_factory=dict)
    configs: dict[str, ConfigRecord] = field(default_factory=dict)
    services: dict[str, ServiceRecord] = field(default_factory=dict)
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    records: dict[str, KeyValueRecord] = field(default_factory=dict)
    leadership: Leadership = field(default_factory=Leadership)
    indexes: Indexes = field(default_factory=Indexes, repr=False, compare=False)

    def tasks_of_service(self, service_id: str) -> list[TaskRecord]:
        """Return a service's tasks in order of creation, without a look at all others."""
        return [self.tasks[task_id] for task_id in self.indexes.task_ids_by_service.get(service_id, ())]

    def tasks_on_node(self, node_id: str) -> list[TaskRecord]:
        """Return a node's tasks, oldest first ("" for those without a node)."""
        found = [self.tasks[task_id] for task_id in self.indexes.task_ids_by_node.get(node_id, ())]
        return sorted(found, key=lambda task: (task.created_index, task.id))

    def records_under(self, namespace: str, prefix: str = "") -> list[KeyValueRecord]:
        """Return the records of a namespace whose keys begin with `prefix`, in order of their keys."""
        start, ids = f"{namespace}/{prefix}", self.indexes.record_ids
        found: list[KeyValueRecord] = []
        for position in range(bisect_left(ids, start), len(ids)):
            if not ids[position].startswith(start):
                break
            found.append(self.records[ids[position]])
        return found
