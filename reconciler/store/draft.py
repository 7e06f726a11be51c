"""What one transaction is about to change: read like the Tables, written without touching them.

Handlers work on a Draft. Committed, all of it enters the Tables at once; dropped, none of it does. So a transaction
that is refused at its last command, or fails half-way in a way nobody thought of, leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Generic, TypeVar, overload

from reconciler.model.changes import Change, ChangeAction, TableKind
from reconciler.model.tables import (
    ClusterRecord,
    ConfigRecord,
    KeyValueRecord,
    Leadership,
    NetworkRecord,
    NodeRecord,
    SecretRecord,
    ServiceRecord,
    Tables,
    TaskRecord,
)
from reconciler.store.indexes import NAME_INDEXES, UPDATERS

Record = TypeVar("Record")
Fallback = TypeVar("Fallback")


class TableDraft(Generic[Record]):
    """One table with the writes of a transaction on top; iterates in the order that the table will have.

    As in a dict, an object that is written again keeps its place; one that is removed and added anew goes to the end.
    """

    __slots__ = ("base", "gone", "written")

    def __init__(self, base: dict[str, Record]) -> None:
        self.base = base
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
        self.written[key] = record

    def __delitem__(self, key: str) -> None:
        """Remove an object that is there."""
        self.written.pop(key, None)
        if key in self.base:
            self.gone[key] = None


_KINDS = {
    "nodes": TableKind.NODE,
    "networks": TableKind.NETWORK,
    "secrets": TableKind.SECRET,
    "configs": TableKind.CONFIG,
    "services": TableKind.SERVICE,
    "tasks": TableKind.TASK,
    "records": TableKind.RECORD,
}


def _table(name: str) -> Any:
    """Return the property of a Draft for one table, laid out when it is first asked for: most transactions need one."""

    def laid_out(draft: Draft) -> TableDraft[Any]:
        table = draft.tables.get(name)
        if table is None:
            table = draft.tables[name] = TableDraft(getattr(draft.base, name))
        return table

    return property(laid_out)


class Draft:
    """The Tables as a transaction sees them. `tables` are those that were asked for so far."""

    __slots__ = ("base", "cluster", "index", "leadership", "pools", "tables")

    nodes: TableDraft[NodeRecord] = _table("nodes")
    networks: TableDraft[NetworkRecord] = _table("networks")
    secrets: TableDraft[SecretRecord] = _table("secrets")
    configs: TableDraft[ConfigRecord] = _table("configs")
    services: TableDraft[ServiceRecord] = _table("services")
    tasks: TableDraft[TaskRecord] = _table("tasks")
    records: TableDraft[KeyValueRecord] = _table("records")

    def __init__(self, base: Tables) -> None:
        self.base = base
        self.tables: dict[str, TableDraft[Any]] = {}
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

    def commit(self) -> list[Change]:
        """Put everything into the Tables, their indexes included, and return what changed. Can't fail half-way.

        The draft is then one of the next transaction of the same entry.
        """
        changes: list[Change] = []
        base, index = self.base, self.index
        if self.cluster is not base.cluster:
            action = ChangeAction.UPDATE if base.cluster else ChangeAction.CREATE
            changes.append(Change(index, TableKind.CLUSTER, "", action))
            base.cluster = self.cluster
        if self.leadership is not base.leadership:
            changes.append(Change(index, TableKind.LEADERSHIP, "", ChangeAction.UPDATE))
            base.leadership = self.leadership
        for name, table in self.tables.items():
            if table.written or table.gone:
                changes += _commit_table(base, name, table, index)
                table.written = {}
                table.gone = {}
        if self.pools:
            self.pools = {}
        return changes


def _commit_table(tables: Tables, name: str, draft: TableDraft[Any], index: int) -> list[Change]:
    kind, base = _KINDS[name], draft.base
    update_index = UPDATERS.get(kind)
    changes: list[Change] = []
    for key in draft.gone:
        old = base.pop(key)
        if update_index is not None:
            update_index(tables.indexes, old, None)
        if key not in draft.written:
            changes.append(Change(index, kind, key, ChangeAction.REMOVE))
    for key, record in draft.written.items():
        old = base.get(key)
        base[key] = record
        if update_index is not None:
            update_index(tables.indexes, old, record)
        is_update = old is not None or key in draft.gone
        changes.append(Change(index, kind, key, ChangeAction.UPDATE if is_update else ChangeAction.CREATE))
    return changes
