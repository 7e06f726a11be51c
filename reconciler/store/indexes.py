"""Keeps the Indexes of the Tables true: one updater for each kind, called with the record before and after."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.model.changes import TableKind
from reconciler.model.tables import Indexes, KeyValueRecord, Tables, TaskRecord

Updater = Callable[[Indexes, Any, Any], None]
"""Takes the record as it was and as it is; None where there is none."""

NAME_INDEXES: Mapping[TableKind, tuple[str, str]] = MappingProxyType(
    {
        TableKind.NETWORK: ("networks", "network_ids_by_name"),
        TableKind.SECRET: ("secrets", "secret_ids_by_name"),
        TableKind.CONFIG: ("configs", "config_ids_by_name"),
        TableKind.SERVICE: ("services", "service_ids_by_name"),
    }
)
"""Kinds whose names are unique: the table, and the index from name to id."""


def _update_tasks(indexes: Indexes, old: TaskRecord | None, new: TaskRecord | None) -> None:
    before = ("", "") if old is None else (old.service_id, old.node_id)
    after = ("", "") if new is None else (new.service_id, new.node_id)
    groups = (indexes.task_ids_by_service, indexes.task_ids_by_node)
    for by_group, left, joined in zip(groups, before, after, strict=True):
        if old is not None and new is not None and left == joined:
            continue
        if old is not None:
            _forget(by_group, left, old.id)
        if new is not None:
            by_group.setdefault(joined, {})[new.id] = None


def _forget(groups: dict[str, dict[str, None]], group: str, task_id: str) -> None:
    members = groups.get(group)
    if members is None:
        return
    members.pop(task_id, None)
    if not members:
        del groups[group]


def _name_updater(index_name: str) -> Updater:
    def update(indexes: Indexes, old: Any, new: Any) -> None:
        ids: dict[str, str] = getattr(indexes, index_name)
        if old is not None and new is not None and old.name == new.name:
            return
        if old is not None and ids.get(old.name) == old.id:
            del ids[old.name]
        if new is not None:
            ids[new.name] = new.id

    return update


def _update_records(indexes: Indexes, old: KeyValueRecord | None, new: KeyValueRecord | None) -> None:
    if old is None and new is not None:
        insort(indexes.record_ids, new.id)
    elif old is not None and new is None:
        del indexes.record_ids[bisect_left(indexes.record_ids, old.id)]


UPDATERS: Mapping[TableKind, Updater] = MappingProxyType(
    {
        TableKind.TASK: _update_tasks,
        TableKind.RECORD: _update_records,
        **{kind: _name_updater(index_name) for kind, (_, index_name) in NAME_INDEXES.items()},
    }
)


def indexes_of(tables: Tables) -> Indexes:
    """Return the Indexes of whole Tables, as for those of a snapshot."""
    indexes = Indexes()
    for task in tables.tasks.values():
        _update_tasks(indexes, None, task)
    for kind, (table_name, _) in NAME_INDEXES.items():
        for record in getattr(tables, table_name).values():
            UPDATERS[kind](indexes, None, record)
    indexes.record_ids = sorted(tables.records)
    return indexes
