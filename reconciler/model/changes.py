"""What an entry of the log changed, for whoever watches the replicated state."""

from __future__ import annotations

import enum

import msgspec

from reconciler.model.commands import ObjectChange, Outcome


class TableKind(enum.StrEnum):
    """Which table an object is in. The values are stored in snapshots and travel in entries: never rename one."""

    CLUSTER = "cluster"
    LEADERSHIP = "leadership"
    NODE = "node"
    NETWORK = "network"
    SECRET = "secret"
    CONFIG = "config"
    SERVICE = "service"
    TASK = "task"
    RECORD = "record"


class ChangeAction(enum.StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"


class Change(msgspec.Struct, frozen=True, gc=False):
    """One object that the entry at `index` wrote or removed. `id` of a record is `namespace/key`.

    It tells that there is something new, never what: a watcher reads the table.
    """

    index: int
    kind: TableKind
    id: str
    action: ChangeAction


class EntryOutcome(msgspec.Struct, frozen=True, gc=False):
    """What came of one entry: one Outcome for each of its transactions, in their order.

    An entry that can't be read at all has a single Rejected, however many transactions were meant. `changes` are those
    of every object, tasks and records included; `events` are those that the Engine API tells of. A transaction that was
    seen before gives its stored Outcome again and neither of the two.
    """

    index: int
    outcomes: tuple[Outcome, ...]
    changes: tuple[Change, ...] = ()
    events: tuple[ObjectChange, ...] = ()
