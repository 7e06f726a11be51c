"""How tasks and sessions are written into a snapshot."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import TypeAlias

import msgspec

from reconciler.model.commands import Applied, ObjectChange, Outcome, Rejected
from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.tables import NetworkAddress, TaskRecord, TaskStatus
from reconciler.model.tasks import TaskState
from reconciler.store.sessions import Session, Sessions


class SpecNumbers:
    """Numbers the specs that tasks have, so that each is written once.

    Equal content has the same number, whether or not it is one object here: another manager may have read it from a
    snapshot. The identity is only a short cut; whoever numbers holds on to the specs meanwhile.
    """

    def __init__(self, encoder: msgspec.msgpack.Encoder) -> None:
        self._encoder = encoder
        self._by_identity: dict[int, int] = {}
        self._by_content: dict[bytes, int] = {}
        self._new: list[bytes] = []
        self.new_bytes = 0

    def number(self, spec: JsonObject) -> int:
        known = self._by_identity.get(id(spec))
        if known is not None:
            return known
        content = self._encoder.encode(spec)
        number = self._by_content.get(content)
        if number is None:
            number = self._by_content[content] = len(self._by_content)
            self._new.append(content)
            self.new_bytes += len(content)
        self._by_identity[id(spec)] = number
        return number

    def take_new(self) -> list[bytes]:
        """Return the specs that were numbered since the last time, encoded, in the order of their numbers."""
        new, self._new, self.new_bytes = self._new, [], 0
        return new


class TaskRow(msgspec.Struct, array_like=True, frozen=True):
    """A TaskRecord with numbers in place of its specs."""

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    created_index: int
    service_id: str
    slot: int
    node_id: str
    spec: int
    endpoint_spec: int
    spec_version: int
    desired_state: TaskState
    status: TaskStatus
    replaces: str
    start_after: datetime | None
    is_restart: bool
    update_epoch: int
    running_at: datetime | None
    job_iteration: int
    generic_resources: tuple[tuple[str, str | int], ...] = ()
    attachments: tuple[NetworkAddress, ...] = ()

    @classmethod
    def of(cls, task: TaskRecord, specs: SpecNumbers) -> TaskRow:
        return cls(
            task.id,
            task.version,
            task.created_at,
            task.updated_at,
            task.created_index,
            task.service_id,
            task.slot,
            task.node_id,
            specs.number(task.spec),
            specs.number(task.endpoint_spec),
            task.spec_version,
            task.desired_state,
            task.status,
            task.replaces,
            task.start_after,
            task.is_restart,
            task.update_epoch,
            task.running_at,
            task.job_iteration,
            task.generic_resources,
            task.attachments,
        )

    def task(self, specs: list[JsonObject]) -> TaskRecord:
        """Return the task; raises IndexError for a spec that did not come before it."""
        return TaskRecord(
            self.id,
            self.version,
            self.created_at,
            self.updated_at,
            self.created_index,
            self.service_id,
            self.slot,
            self.node_id,
            specs[self.spec],
            specs[self.endpoint_spec],
            self.spec_version,
            self.desired_state,
            self.status,
            self.replaces,
            self.start_after,
            self.is_restart,
            self.update_epoch,
            self.running_at,
            self.job_iteration,
            self.generic_resources,
            self.attachments,
        )


class AppliedRow(msgspec.Struct, array_like=True, frozen=True, tag=0):
    sequence: int
    index: int
    id: str
    changes: list[tuple[Kind, str, str, str]]


class RejectedRow(msgspec.Struct, array_like=True, frozen=True, tag=1):
    sequence: int
    code: ErrorCode
    message: str
    position: int | None


OutcomeRow: TypeAlias = AppliedRow | RejectedRow


def _outcome_row(sequence: int, outcome: Outcome) -> OutcomeRow:
    if isinstance(outcome, Rejected):
        return RejectedRow(sequence, outcome.code, outcome.message, outcome.position)
    changes = [(one.kind, one.action, one.object_id, one.name) for one in outcome.changes]
    return AppliedRow(sequence, outcome.index, outcome.id, changes)


def _outcome(row: OutcomeRow) -> Outcome:
    if isinstance(row, RejectedRow):
        return Rejected(row.code, row.message, row.position)
    return Applied(row.index, row.id, tuple(ObjectChange(*change) for change in row.changes))


class SessionRow(msgspec.Struct, array_like=True, frozen=True):
    """A Session with its client. The order of its outcomes counts: the oldest are forgotten first."""

    client: str
    floor: int
    last_use: int
    outcomes: list[OutcomeRow]

    def put_into(self, sessions: Sessions) -> None:
        outcomes = {row.sequence: _outcome(row) for row in self.outcomes}
        sessions.by_client[self.client] = Session(self.floor, self.last_use, outcomes, deque(outcomes))
        sessions.count += len(outcomes)


def session_row(client: str, floor: int, last_use: int, outcomes: dict[int, Outcome]) -> SessionRow:
    return SessionRow(client, floor, last_use, [_outcome_row(sequence, one) for sequence, one in outcomes.items()])
