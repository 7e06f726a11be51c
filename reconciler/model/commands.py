"""What is proposed to the log: the only way that the embedded swarm's tables change, and what came of it.

A Command is a value that holds everything its effect depends on: times, ids and tokens are stamped by whoever
proposes it, so that every manager that applies the same entries holds the same tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import msgspec

from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.tables import (
    DEFAULT_ADDRESS_POOL,
    DEFAULT_DATA_PATH_PORT,
    DEFAULT_SUBNET_SIZE,
    JoinTokens,
    NodeState,
    TaskStatus,
    UpdateState,
)
from reconciler.model.tasks import TaskState


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that an entry created, updated or removed, as an event tells it."""

    kind: Kind
    action: str
    object_id: str
    name: str


class Applied(msgspec.Struct, frozen=True):
    """The entry took effect. `id` is that of the object written, "" when there is no single one."""

    index: int
    id: str
    changes: tuple[ObjectChange, ...] = ()


class Rejected(msgspec.Struct, frozen=True):
    """The entry changed nothing. `message` is the text that a Docker Swarm manager answers with.

    `position` is which command of the transaction was refused, from 0; None when it was the transaction as a whole.
    """

    code: ErrorCode
    message: str
    position: int | None = None


Outcome: TypeAlias = Applied | Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`at` is the proposer's clock, aware UTC."""

    at: datetime


# --- cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class InitCluster(Command):
    """Begin an empty swarm. `network_ids` are those of ingress, bridge and host, in this order.

    Networks without a subnet get one of `subnet_size` bits from `default_addr_pool`, IPv4 CIDR blocks in this order.
    """

    id: str
    spec: JsonObject
    join_tokens: JoinTokens = field(repr=False)
    network_ids: tuple[str, str, str]
    default_addr_pool: tuple[str, ...] = DEFAULT_ADDRESS_POOL
    subnet_size: int = DEFAULT_SUBNET_SIZE
    data_path_port: int = DEFAULT_DATA_PATH_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCluster(Command):
    version: int
    spec: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateJoinToken(Command):
    role: NodeRole
    token: str = field(repr=False)


# --- nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNode(Command):
    """Let a node in, ready. The first manager becomes the leader."""

    id: str
    spec: JsonObject
    description: JsonObject
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNode(Command):
    id: str
    version: int
    spec: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNodeState(Command):
    id: str
    state: NodeState
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeNode(Command):
    """Take over what a node tells of itself: its description, and the address it is reached at."""

    id: str
    description: JsonObject
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNode(Command):
    id: str
    force: bool


# --- networks, secrets, configs


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork(Command):
    id: str
    spec: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNetwork(Command):
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSecret(Command):
    id: str
    spec: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSecret(Command):
    """Put other labels on a secret; `spec` may be without Data."""

    id: str
    version: int
    spec: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveSecret(Command):
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateConfig(Command):
    id: str
    spec: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateConfig(Command):
    id: str
    version: int
    spec: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveConfig(Command):
    id: str


# --- services


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateService(Command):
    id: str
    spec: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateService(Command):
    id: str
    version: int
    spec: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBackService(Command):
    """Put the previous spec back and start a rollback.

    Asked for by a person (`by_hand`), spec and previous spec change places; by the updater, the failed spec is gone.
    """

    id: str
    version: int
    message: str
    by_hand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpdateStatus(Command):
    """Move a rolling update on. Refused as stale when the service's template is no longer `spec_version`."""

    service_id: str
    spec_version: int
    state: UpdateState
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveService(Command):
    id: str


# --- tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTask(Command):
    """Add a task of the service's present template (refused as stale if that is no longer `spec_version`).

    In the same step the tasks named in `shut_down` get the desired state shutdown: a replacement and the end of what
    it replaces are never seen apart. Other fields are those of TaskRecord.

    Refused as stale, too, when the slot has its task already: one that ends others, when all of these are ended; any
    other, when a wanted task of the same template is there. So the same decision twice in the log counts once.
    """

    id: str
    service_id: str
    spec_version: int
    slot: int
    node_id: str
    desired_state: TaskState
    shut_down: tuple[str, ...] = ()
    replaces: str = ""
    start_after: datetime | None = None
    is_restart: bool = False
    update_epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTasks(Command):
    """Add tasks that take nobody's place: (id, slot, node id or "") of each.

    Refused as a whole when the service has another template by now; a slot that has its task already is left out.
    """

    service_id: str
    spec_version: int
    desired_state: TaskState
    tasks: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocateTasks(Command):
    """Give new tasks the addresses that they wait for, as far as there are any now; the others go on waiting."""

    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignTask(Command):
    """Place a pending task; refused as stale when it is no longer pending, or not wanted any more.

    `resources` are the generic resources it gets: the kind, and the name of one (text) or how many (number).
    """

    task_id: str
    node_id: str
    message: str
    resources: tuple[tuple[str, str | int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignTasks(Command):
    """Place many: (task id, node id) of each. What AssignTask would refuse is left out."""

    message: str
    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainTask(Command):
    """Say why a pending task has no node."""

    task_id: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainTasks(Command):
    """Say why pending tasks have no node. Those that are no longer pending are left out."""

    task_ids: tuple[str, ...]
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDesiredState(Command):
    """Raise a task's desired state; it never falls."""

    task_id: str
    desired_state: TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDesiredStates(Command):
    """Raise many tasks' desired state. Those that are gone are left out."""

    task_ids: tuple[str, ...]
    desired_state: TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTask(Command):
    """What was seen of a task. `node_id` is who saw it, "" for the manager itself. A lower state is ignored."""

    task_id: str
    node_id: str
    status: TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveTask(Command):
    """Forget a task; its node ends what may still run."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveTasks(Command):
    """Forget many tasks. Those that are gone already are left out."""

    task_ids: tuple[str, ...]


# --- records that the store does not read, and leadership


@dataclass(frozen=True, slots=True, kw_only=True)
class PutRecord(Command):
    """Write one record. `version` is the one to replace, 0 for a new record, None for whichever there is."""

    namespace: str
    key: str
    value: bytes = field(repr=False)
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRecord(Command):
    """Forget one record. `version` as in PutRecord."""

    namespace: str
    key: str
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Command):
    """Begin to lead. The log index of this entry is the new epoch; what carries another one is refused from now on."""

    leader: str
