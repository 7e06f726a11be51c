"""What one transaction is about to change: read like the Tables, written without touching them.

Handlers work on a Draft. Committed, all of it enters the Tables at once; dropped, none of it does. So a transaction
that is refused at its last command, or fails half-way in a way nobody thought of, leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Generic, TypeVar, overload

from reconciler.model.changes import Change, ChangeAction, TableKind
from reconciler.model.nodes import NodeRecord
from reconciler.model.tables import (
    ClusterRecord,
    ConfigRecord,
    KeyValueRecord,
    Leadership,
    NetworkRecord,
    SecretRecord,
    ServiceRecord,
    Tables,
    TaskRecord,
)
from reconciler.store.indexes import NAME_INDEXES, UPDATERS, Updater, update_records

Record = TypeVar("Record")
Fallback = TypeVar("Fallback")


class TableDraft(Generic[Record]):
    """One table with the writes of a transaction on top; iterates in the order that the table will have.

    As in a dict, an object that is written again keeps its place; one that is removed and added anew goes to the end.
    """

    __slots__ = ("base", "gone", "kind", "touched", "update_index", "written")

    def __init__(
        self, role: tuple[TableKind, Updater | None], base: dict[str, Record], touched: list[TableDraft[Any]]
    ) -> None:
        """`touched` is told of this one when it is written to."""
        self.kind, self.update_index = role
        self.base = base
        self.touched = touched
        self.written: dict[str, Record] = {}
        self.gone: dict[str, None] = {}

    @overload
    def get(self, key: str) -> Record | None: ...
    @overload
    def get(self, key: str, default: Fallback) -> Record | Fallback: ...
    def get(self, key: str, default: Any = None) -> Any:
        if key in self.written:
            return self.written[key]
        return default if key in self.gone else self.base.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self.written or (key in self.base and key not in self.gone)

    def values(self) -> Iterable[Record]:
        if not self.written and not self.gone:
            return self.base.values()
        kept = (self.written.get(key, record) for key, record in self.base.items() if key not in self.gone)
        return chain(kept, (record for key, record in self.written.items() if self._is_new(key)))

    def _is_new(self, key: str) -> bool:
        return key not in self.base or key in self.gone

    def __setitem__(self, key: str, record: Record) -> None:
        if not self.written:
            self.touched.append(self)
        self.written[key] = record

    def __delitem__(self, key: str) -> None:
        """Remove an object that is there."""
        self.written.pop(key, None)
        if key in self.base:
            self.touched.append(self)
            self.gone[key] = None


# A look into an enum, or for one in a dict, is slow, and these are for each entry or transaction.
_CREATE, _UPDATE, _RECORD = ChangeAction.CREATE, ChangeAction.UPDATE, TableKind.RECORD
_NODES, _NETWORKS, _SECRETS, _CONFIGS, _SERVICES, _TASKS, _RECORDS = (
    (kind, UPDATERS.get(kind))
    for kind in (
        TableKind.NODE, TableKind.NETWORK, TableKind.SECRET, TableKind.CONFIG, TableKind.SERVICE, TableKind.TASK,
        TableKind.RECORD,
    )
)  # fmt: skip


class DirectRecords:
    """The table of records, written to at once: for a transaction whose only command checks all and then writes one.

    Nothing is left half done by that, so that it needs no Draft. Offers of one what such a command uses.
    """

    __slots__ = ("base", "changes", "index", "indexes", "records")

    def __init__(self, base: Tables, changes: list[Change]) -> None:
        """`changes` is told what has changed."""
        self.base = base.records
        self.indexes = base.indexes
        self.index = base.index
        self.changes = changes
        self.records = self

    def get(self, key: str) -> KeyValueRecord | None:
        return self.base.get(key)

    def __setitem__(self, key: str, record: KeyValueRecord) -> None:
        base = self.base
        if key in base:
            action = _UPDATE
        else:
            action = _CREATE
            update_records(self.indexes, None, record)
        base[key] = record
        self.changes.append(Change(self.index, _RECORD, key, action))

    def __delitem__(self, key: str) -> None:
        """Remove a record that is there."""
        update_records(self.indexes, self.base.pop(key), None)
        self.changes.append(Change(self.index, _RECORD, key, ChangeAction.REMOVE))


class Draft:
    """The Tables as a transaction sees them. `touched` are those tables that it has written to, some more than once."""

    __slots__ = (
        "base", "cluster", "configs", "index", "leadership", "networks", "nodes", "pools", "records", "secrets",
        "services", "tasks", "touched",
    )  # fmt: skip

    def __init__(self, base: Tables) -> None:
        self.base = base
        touched: list[TableDraft[Any]] = []
        self.touched = touched
        self.nodes: TableDraft[NodeRecord] = TableDraft(_NODES, base.nodes, touched)
        self.networks: TableDraft[NetworkRecord] = TableDraft(_NETWORKS, base.networks, touched)
        self.secrets: TableDraft[SecretRecord] = TableDraft(_SECRETS, base.secrets, touched)
        self.configs: TableDraft[ConfigRecord] = TableDraft(_CONFIGS, base.configs, touched)
        self.services: TableDraft[ServiceRecord] = TableDraft(_SERVICES, base.services, touched)
        self.tasks: TableDraft[TaskRecord] = TableDraft(_TASKS, base.tasks, touched)
        self.records: TableDraft[KeyValueRecord] = TableDraft(_RECORDS, base.records, touched)
        self.index: int = base.index
        self.cluster: ClusterRecord | None = base.cluster
        self.leadership: Leadership = base.leadership
        self.pools: dict[str, Any] = {}
        """What reconciler.store.addresses has given out of each network, by its id."""

    def id_of(self, kind: TableKind, name: str) -> str | None:
        """Return the id of the network, secret, config or service of that name, in capitals or not."""
        name = name.lower()
        table_name, index_name = NAME_INDEXES[kind]
        table: TableDraft[Any] = getattr(self, table_name)
        for key, record in table.written.items():
            if record.name.lower() == name:
                return key
        ids: dict[str, str] = getattr(self.base.indexes, index_name)
        found = ids.get(name)
        return None if found in table.written or found in table.gone else found

    def addresses_in_use(self, network_id: str) -> Mapping[int, None]:
        """Return the addresses in use before this transaction, as numbers."""
        return self.base.indexes.addresses_by_network.get(network_id, {})

    def tasks_of_service(self, service_id: str) -> list[TaskRecord]:
        """Return a service's tasks, oldest first."""
        known = self.base.indexes.task_ids_by_service.get(service_id, {})
        return self._oldest_first(known, lambda task: task.service_id == service_id)

    def tasks_on_node(self, node_id: str) -> list[TaskRecord]:
        """Return a node's tasks, oldest first."""
        known = self.base.indexes.task_ids_by_node.get(node_id, {})
        return self._oldest_first(known, lambda task: task.node_id == node_id)

    def _oldest_first(self, known: dict[str, None], belongs: Any) -> list[TaskRecord]:
        here = (self.tasks.get(task_id) for task_id in known)
        found = [task for task in here if task is not None and belongs(task)]
        found += [task for task in self.tasks.written.values() if task.id not in known and belongs(task)]
        return sorted(found, key=lambda task: (task.created_index, task.id))

    def commit(self, changes: list[Change]) -> None:
        """Put everything into the Tables, their indexes included, and add what changed. Can't fail half-way.

        The draft is then one of the next transaction of the same entry.
        """
        base, index = self.base, self.index
        if self.cluster is not base.cluster:
            action = ChangeAction.UPDATE if base.cluster else ChangeAction.CREATE
            changes.append(Change(index, TableKind.CLUSTER, "", action))
            base.cluster = self.cluster
        if self.leadership is not base.leadership:
            changes.append(Change(index, TableKind.LEADERSHIP, "", ChangeAction.UPDATE))
            base.leadership = self.leadership
        for table in self.touched:
            if table.gone:
                self._remove(table, changes)
            self._write(table, changes)
            table.written = {}
            if table.gone:
                table.gone = {}
        self.touched.clear()
        if self.pools:
            self.pools = {}

    def _write(self, table: TableDraft[Any], changes: list[Change]) -> None:
        base, kind, index, update_index = table.base, table.kind, self.index, table.update_index
        for key, record in table.written.items():
            old = base.get(key)
            base[key] = record
            if update_index is not None:
                update_index(self.base.indexes, old, record)
            changes.append(Change(index, kind, key, _CREATE if old is None and key not in table.gone else _UPDATE))

    def _remove(self, table: TableDraft[Any], changes: list[Change]) -> None:
        base, update_index = table.base, table.update_index
        for key in table.gone:
            old = base.pop(key)
            if update_index is not None:
                update_index(self.base.indexes, old, None)
            if key not in table.written:
                changes.append(Change(self.index, table.kind, key, ChangeAction.REMOVE))
