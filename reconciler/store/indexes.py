"""Keeps the Indexes of the Tables true: one updater for each kind, called with the record before and after."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.model.addresses import number
from reconciler.model.changes import TableKind
from reconciler.model.tables import (
    Indexes,
    KeyValueRecord,
    NetworkAddress,
    NetworkRecord,
    ServiceRecord,
    Tables,
    TaskRecord,
)

Updater = Callable[[Indexes, Any, Any], None]
"""Takes the record as it was and as it is; None where there is none."""

Held = tuple[NetworkAddress, ...]

NAME_INDEXES: Mapping[TableKind, tuple[str, str]] = MappingProxyType(
    {
        TableKind.NETWORK: ("networks", "network_ids_by_name"),
        TableKind.SECRET: ("secrets", "secret_ids_by_name"),
        TableKind.CONFIG: ("configs", "config_ids_by_name"),
        TableKind.SERVICE: ("services", "service_ids_by_name"),
    }
)
"""Kinds whose names are unique: the table, and the index from name to id. Case makes no difference, as in swarmkit."""


def _update_addresses(indexes: Indexes, before: Held, after: Held) -> None:
    """Note that somebody held the addresses in `before` and holds those in `after`."""
    for network_id, address in before:
        if address:
            used = indexes.addresses_by_network[network_id]
            del used[number(address)]
            if not used:
                del indexes.addresses_by_network[network_id]
    for network_id, address in after:
        if address:
            indexes.addresses_by_network.setdefault(network_id, {})[number(address)] = None


def _held_by_task(task: TaskRecord | None) -> Held:
    return task.attachments if task is not None and task.attachments and task.holds_addresses else ()


def _update_networks(indexes: Indexes, old: NetworkRecord | None, new: NetworkRecord | None) -> None:
    _update_network_names(indexes, old, new)
    before, after = old.node_addresses if old else {}, new.node_addresses if new else {}
    if before is after:
        return
    network_id = (new or old).id  # type: ignore[union-attr]  # one of them is there
    used = indexes.addresses_by_network.setdefault(network_id, {})
    for node_id, address in before.items():
        if after.get(node_id) != address:
            del used[address]
    used.update((address, None) for node_id, address in after.items() if before.get(node_id) != address)
    if not used:
        del indexes.addresses_by_network[network_id]


def _update_services(indexes: Indexes, old: ServiceRecord | None, new: ServiceRecord | None) -> None:
    _update_service_names(indexes, old, new)
    before, after = old.virtual_ips if old else (), new.virtual_ips if new else ()
    if before != after:
        _update_addresses(indexes, before, after)


def _update_tasks(indexes: Indexes, old: TaskRecord | None, new: TaskRecord | None) -> None:
    held_before, held_after = _held_by_task(old), _held_by_task(new)
    if held_before != held_after:
        _update_addresses(indexes, held_before, held_after)
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
        before, after = old.name.lower() if old else None, new.name.lower() if new else None
        if before == after:
            return
        if before is not None and ids.get(before) == old.id:
            del ids[before]
        if after is not None:
            ids[after] = new.id

    return update


def update_records(indexes: Indexes, old: KeyValueRecord | None, new: KeyValueRecord | None) -> None:
    """Keep the ids in order: the Updater of records."""
    if old is None and new is not None:
        insort(indexes.record_ids, new.id)
    elif old is not None and new is None:
        del indexes.record_ids[bisect_left(indexes.record_ids, old.id)]


_update_service_names = _name_updater("service_ids_by_name")
_update_network_names = _name_updater("network_ids_by_name")

UPDATERS: Mapping[TableKind, Updater] = MappingProxyType(
    {
        TableKind.TASK: _update_tasks,
        TableKind.RECORD: update_records,
        **{kind: _name_updater(index_name) for kind, (_, index_name) in NAME_INDEXES.items()},
        TableKind.SERVICE: _update_services,
        TableKind.NETWORK: _update_networks,
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
