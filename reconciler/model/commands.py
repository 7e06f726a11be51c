"""What is proposed to the log: the only way that the embedded swarm's tables change, and what came of it.

A Command is a value that holds everything its effect depends on: times, ids and tokens are stamped by whoever
proposes it, so that every manager that applies the same entries holds the same tables.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, TypeAlias

import msgspec

from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeState
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.tables import (
    DEFAULT_ADDRESS_POOL,
    DEFAULT_DATA_PATH_PORT,
    DEFAULT_SUBNET_SIZE,
    JoinTokens,
    TaskStatus,
    UpdateState,
)
from reconciler.model.tasks import TaskState


class ObjectChange(msgspec.Struct, frozen=True):
    """One object that an entry created, updated or removed, as an event tells it."""

    kind: Kind
    action: str
    object_id: str
    name: str


class Applied(msgspec.Struct, frozen=True, gc=False):
    """The entry took effect. `id` is that of the object written, "" when there is no single one."""

    index: int
    id: str
    changes: tuple[ObjectChange, ...] = ()


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """The entry changed nothing. `message` is the text that a Docker Swarm manager answers with.

    `position` is which command of the transaction was refused, from 0; None when it was the transaction as a whole.
    """

    code: ErrorCode
    message: str
    position: int | None = None


Outcome: TypeAlias = Applied | Rejected


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """`at` is the proposer's clock, aware UTC."""

    untold: ClassVar[frozenset[str]] = frozenset()
    """Fields that may hold a secret: no log or error shows their values."""

    at: datetime

    def __repr__(self) -> str:
        told = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in self.untold)
        return f"{type(self).__name__}({', '.join(told)})"


# --- cluster


class InitCluster(Command, frozen=True, kw_only=True):
    """Begin an empty swarm. `network_ids` are those of ingress, bridge and host, in this order.

    Networks without a subnet get one of `subnet_size` bits from `default_addr_pool`, IPv4 CIDR blocks in this order.
    """

    untold = frozenset(("join_tokens",))

    id: str
    spec: JsonObject
    join_tokens: JoinTokens
    network_ids: tuple[str, str, str]
    default_addr_pool: tuple[str, ...] = DEFAULT_ADDRESS_POOL
    subnet_size: int = DEFAULT_SUBNET_SIZE
    data_path_port: int = DEFAULT_DATA_PATH_PORT


class UpdateCluster(Command, frozen=True, kw_only=True):
    version: int
    spec: JsonObject


class RotateJoinToken(Command, frozen=True, kw_only=True):
    untold = frozenset(("token",))

    role: NodeRole
    token: str


# --- nodes


class AddNode(Command, frozen=True, kw_only=True):
    """Let a node in, ready. The first manager becomes the leader."""

    id: str
    spec: JsonObject
    description: JsonObject
    address: str


class UpdateNode(Command, frozen=True, kw_only=True):
    id: str
    version: int
    spec: JsonObject


class SetNodeState(Command, frozen=True, kw_only=True):
    id: str
    state: NodeState
    message: str


class DescribeNode(Command, frozen=True, kw_only=True):
    """Take over what a node tells of itself: its description, and the address it is reached at."""

    id: str
    description: JsonObject
    address: str


class RemoveNode(Command, frozen=True, kw_only=True):
    id: str
    force: bool


# --- networks, secrets, configs


class CreateNetwork(Command, frozen=True, kw_only=True):
    id: str
    spec: JsonObject


class RemoveNetwork(Command, frozen=True, kw_only=True):
    id: str


class CreateSecret(Command, frozen=True, kw_only=True):
    untold = frozenset(("spec",))

    id: str
    spec: JsonObject


class UpdateSecret(Command, frozen=True, kw_only=True):
    """Put other labels on a secret; `spec` may be without Data."""

    untold = frozenset(("spec",))

    id: str
    version: int
    spec: JsonObject


class RemoveSecret(Command, frozen=True, kw_only=True):
    id: str


class CreateConfig(Command, frozen=True, kw_only=True):
    untold = frozenset(("spec",))

    id: str
    spec: JsonObject


class UpdateConfig(Command, frozen=True, kw_only=True):
    untold = frozenset(("spec",))

    id: str
    version: int
    spec: JsonObject


class RemoveConfig(Command, frozen=True, kw_only=True):
    id: str


# --- services


class CreateService(Command, frozen=True, kw_only=True):
    id: str
    spec: JsonObject


class UpdateService(Command, frozen=True, kw_only=True):
    id: str
    version: int
    spec: JsonObject


class RollBackService(Command, frozen=True, kw_only=True):
    """Put the previous spec back and start a rollback.

    Asked for by a person (`by_hand`), spec and previous spec change places; by the updater, the failed spec is gone.
    """

    id: str
    version: int
    message: str
    by_hand: bool = False


class SetUpdateStatus(Command, frozen=True, kw_only=True):
    """Move a rolling update on. Refused as stale when the service's template is no longer `spec_version`."""

    service_id: str
    spec_version: int
    state: UpdateState
    message: str


class RemoveService(Command, frozen=True, kw_only=True):
    id: str


# --- tasks


class CreateTask(Command, frozen=True, kw_only=True):
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


class CreateTasks(Command, frozen=True, kw_only=True):
    """Add tasks that take nobody's place: (id, slot, node id or "") of each.

    Refused as a whole when the service has another template by now; a slot that has its task already is left out.
    """

    service_id: str
    spec_version: int
    desired_state: TaskState
    tasks: tuple[tuple[str, int, str], ...]


class AllocateTasks(Command, frozen=True, kw_only=True):
    """Give new tasks the addresses that they wait for, as far as there are any now; the others go on waiting."""

    task_ids: tuple[str, ...]


class AssignTask(Command, frozen=True, kw_only=True):
    """Place a pending task; refused as stale when it is no longer pending, or not wanted any more.

    `resources` are the generic resources it gets: the kind, and the name of one (text) or how many (number).
    """

    task_id: str
    node_id: str
    message: str
    resources: tuple[tuple[str, str | int], ...] = ()


class AssignTasks(Command, frozen=True, kw_only=True):
    """Place many: (task id, node id) of each. What AssignTask would refuse is left out."""

    message: str
    places: tuple[tuple[str, str], ...]


class ExplainTask(Command, frozen=True, kw_only=True):
    """Say why a pending task has no node."""

    task_id: str
    err: str


class ExplainTasks(Command, frozen=True, kw_only=True):
    """Say why pending tasks have no node. Those that are no longer pending are left out."""

    task_ids: tuple[str, ...]
    err: str


class SetDesiredState(Command, frozen=True, kw_only=True):
    """Raise a task's desired state; it never falls."""

    task_id: str
    desired_state: TaskState


class SetDesiredStates(Command, frozen=True, kw_only=True):
    """Raise many tasks' desired state. Those that are gone are left out."""

    task_ids: tuple[str, ...]
    desired_state: TaskState


class ReportTask(Command, frozen=True, kw_only=True):
    """What was seen of a task. `node_id` is who saw it, "" for the manager itself. A lower state is ignored."""

    task_id: str
    node_id: str
    status: TaskStatus


class RemoveTask(Command, frozen=True, kw_only=True):
    """Forget a task; its node ends what may still run."""

    task_id: str


class RemoveTasks(Command, frozen=True, kw_only=True):
    """Forget many tasks. Those that are gone already are left out."""

    task_ids: tuple[str, ...]


# --- records that the store does not read, and leadership


class PutRecord(Command, frozen=True, kw_only=True):
    """Write one record. `version` is the one to replace, 0 for a new record, None for whichever there is."""

    untold = frozenset(("value",))

    namespace: str
    key: str
    value: bytes
    version: int | None = None


class DeleteRecord(Command, frozen=True, kw_only=True):
    """Forget one record. `version` as in PutRecord."""

    namespace: str
    key: str
    version: int | None = None


class Claim(Command, frozen=True, kw_only=True):
    """Begin to lead. The log index of this entry is the new epoch; what carries another one is refused from now on."""

    leader: str
