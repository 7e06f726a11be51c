"""Secrets and configs: immutable but for their labels, and kept while a service uses them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, TypeVar

from msgspec.structs import replace

from reconciler.model.changes import TableKind
from reconciler.model.commands import (
    Applied,
    CreateConfig,
    CreateSecret,
    ObjectChange,
    RemoveConfig,
    RemoveSecret,
    UpdateConfig,
    UpdateSecret,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind
from reconciler.model.tables import ConfigRecord, SecretRecord
from reconciler.store.draft import Draft, TableDraft
from reconciler.store.names import checked_labels
from reconciler.store.refusal import Refusal, check_new, invalid, not_found, out_of_sequence

SECRET_BYTES_MAX = 512_000
CONFIG_BYTES_MAX = 1_024_000
_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-_.]{0,62}[a-zA-Z0-9])?")

Sealed = TypeVar("Sealed", SecretRecord, ConfigRecord)


def create_secret(draft: Draft, command: CreateSecret) -> Applied:
    check_new(draft.secrets, command.id)
    spec = _checked(draft, Kind.SECRET, command.spec, SECRET_BYTES_MAX)
    draft.secrets[command.id] = SecretRecord(command.id, draft.index, command.at, command.at, spec)
    return _applied(draft, Kind.SECRET, "create", command.id, spec["Name"])


def create_config(draft: Draft, command: CreateConfig) -> Applied:
    check_new(draft.configs, command.id)
    spec = _checked(draft, Kind.CONFIG, command.spec, CONFIG_BYTES_MAX)
    draft.configs[command.id] = ConfigRecord(command.id, draft.index, command.at, command.at, spec)
    return _applied(draft, Kind.CONFIG, "create", command.id, spec["Name"])


def update_secret(draft: Draft, command: UpdateSecret) -> Applied:
    changed = _relabelled(draft, draft.secrets, command, Kind.SECRET)
    draft.secrets[command.id] = changed
    return _applied(draft, Kind.SECRET, "update", changed.id, changed.name)


def update_config(draft: Draft, command: UpdateConfig) -> Applied:
    changed = _relabelled(draft, draft.configs, command, Kind.CONFIG)
    draft.configs[command.id] = changed
    return _applied(draft, Kind.CONFIG, "update", changed.id, changed.name)


def remove_secret(draft: Draft, command: RemoveSecret) -> Applied:
    return _removed(draft, draft.secrets, command.id, Kind.SECRET)


def remove_config(draft: Draft, command: RemoveConfig) -> Applied:
    return _removed(draft, draft.configs, command.id, Kind.CONFIG)


def _applied(draft: Draft, kind: Kind, action: str, object_id: str, name: str) -> Applied:
    return Applied(draft.index, object_id, (ObjectChange(kind, action, object_id, name),))


def _checked(draft: Draft, kind: Kind, spec: JsonObject, bytes_max: int) -> JsonObject:
    name = spec.get("Name", "")
    if not name:
        raise invalid("name must be provided")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, "
            "and the start and end character must be [a-zA-Z0-9]"
        )
    if draft.id_of(TableKind(kind), name) is not None:
        raise Refusal(ErrorCode.NAME_CONFLICT, f"{kind} {name} already exists", rpc="AlreadyExists")
    if driver := dig(spec, "Driver", "Name"):
        raise Refusal(ErrorCode.REQUEST_REFUSED, f'plugin "{driver}" not found', rpc="Unknown")
    try:
        size = len(base64.b64decode(spec.get("Data") or "", validate=True))
    except (binascii.Error, TypeError):
        raise invalid("invalid JSON: Data is not base64", rpc="") from None
    if not spec.get("Driver") and not 0 < size < bytes_max:
        raise invalid(f"{kind} data must be larger than 0 and less than {bytes_max} bytes")
    return {**spec, "Labels": checked_labels(spec)}


def _relabelled(draft: Draft, present: TableDraft[Sealed], command: Any, kind: Kind) -> Sealed:
    record = present.get(command.id)
    if record is None:
        raise not_found(kind, command.id)
    if record.version != command.version:
        raise out_of_sequence()
    old, new = record.spec, command.spec
    same_data = new.get("Data") in (None, "", old.get("Data"))
    if not same_data or new.get("Name") != old.get("Name"):  # of all else, labels are taken and nothing is told
        raise invalid("only updates to Labels are allowed")
    spec = {**old, "Labels": checked_labels(new)}
    return replace(record, version=draft.index, updated_at=command.at, spec=spec)


def _removed(draft: Draft, present: TableDraft[Sealed], object_id: str, kind: Kind) -> Applied:
    record = present.get(object_id)
    if record is None:
        raise not_found(kind, object_id)
    users = [service.name for service in draft.services.values() if object_id in used_ids(service.task_spec, kind)]
    if users:
        plural = "services" if len(users) > 1 else "service"
        text = f"{kind} '{record.name}' is in use by the following {plural}: {', '.join(users)}"
        raise Refusal(ErrorCode.OBJECT_IN_USE, text)
    del present[object_id]
    return _applied(draft, kind, "remove", object_id, record.name)


def used_ids(task_spec: JsonObject, kind: Kind) -> list[str]:
    """Return the ids of the secrets or configs that a task template refers to."""
    field, key = ("Secrets", "SecretID") if kind is Kind.SECRET else ("Configs", "ConfigID")
    return [str(reference.get(key, "")) for reference in dig(task_spec, "ContainerSpec", field) or ()]
