"""Records that the store keeps without reading them, and who leads."""

from __future__ import annotations

import re
from functools import lru_cache

from reconciler.model.commands import Applied, Claim, DeleteRecord, PutRecord
from reconciler.model.tables import KeyValueRecord, Leadership
from reconciler.store.draft import DirectRecords, Draft
from reconciler.store.refusal import invalid, not_found, out_of_sequence

KEY_LENGTH_MAX = 512
"""Characters of a record's key."""

VALUE_BYTES_MAX = 1_024_000
"""Bytes of a record's value: as much as a config may hold."""

_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")


@lru_cache(maxsize=256)
def _namespace(text: str) -> tuple[str, str]:
    """Return a namespace, and what the ids of its records begin with: the same objects for all of them."""
    if not _NAMESPACE.fullmatch(text):
        raise invalid("namespace must be 1 to 63 characters of [a-z0-9.-]", rpc="")
    return text, f"{text}/"


def _id_of(prefix: str, key: str) -> str:
    """Return the id of a record; refuse what would make `namespace/key` mean two of them."""
    if not 0 < len(key) <= KEY_LENGTH_MAX:
        raise invalid(f"key must be 1 to {KEY_LENGTH_MAX} characters", rpc="")
    return prefix + key


def put(draft: Draft | DirectRecords, command: PutRecord) -> Applied:
    namespace, prefix = _namespace(command.namespace)
    record_id, index, records = _id_of(prefix, command.key), draft.index, draft.records
    if len(command.value) > VALUE_BYTES_MAX:
        raise invalid(f"value must be at most {VALUE_BYTES_MAX} bytes", rpc="")
    if command.version is not None:
        present = records.get(record_id)
        if command.version != (present.version if present else 0):
            raise out_of_sequence()
    records[record_id] = KeyValueRecord(namespace, command.key, command.value, index)
    return Applied(index, record_id)


def delete(draft: Draft | DirectRecords, command: DeleteRecord) -> Applied:
    record_id = _id_of(_namespace(command.namespace)[1], command.key)
    present = draft.records.get(record_id)
    if present is None:
        raise not_found("record", record_id)
    if command.version is not None and command.version != present.version:
        raise out_of_sequence()
    del draft.records[record_id]
    return Applied(draft.index, record_id)


def claim(draft: Draft, command: Claim) -> Applied:
    """Let `command.leader` lead from here on: this entry's index is the epoch, and every older one is over."""
    draft.leadership = Leadership(epoch=draft.index, leader=command.leader)
    return Applied(draft.index, command.leader)
