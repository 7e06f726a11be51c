"""What `docker swarm update` and `docker swarm ca` come to: one transaction for settings, root, tokens and key."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec

from reconciler.adapters.sealing import new_unlock_key
from reconciler.adapters.swarm_ca import join_token
from reconciler.assembly import swarm_settings
from reconciler.assembly.trust import NAMESPACE, put_in_force, stored, wanted
from reconciler.model.commands import Command, DeleteRecord, PutRecord, RotateJoinToken, UpdateCluster
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole
from reconciler.model.tables import Tables

UNLOCK_KEY = "unlock-key"


class SettingsChange(msgspec.Struct, frozen=True):
    """`spec` takes the place of the settings of `version`; tokens and key of what is to be rotated are made anew."""

    version: int
    spec: JsonObject
    rotate: Collection[NodeRole] = ()
    rotate_unlock_key: bool = False


def commands_for(tables: Tables, change: SettingsChange, now: datetime) -> tuple[Command, ...]:
    """Return the commands, to be carried out together. Raises SwarmctlError with a manager's text."""
    swarm_settings.check(change.spec)
    current = stored(tables)
    renewed = wanted(current, change.spec, now) if current else None
    settings = UpdateCluster(at=now, version=change.version, spec=swarm_settings.kept(change.spec))
    found: list[Command] = [settings]
    if current is not None and renewed is not None:
        found += put_in_force(current, renewed, now)
    certificate = (renewed or current).root.certificate if current else ""
    for role in change.rotate:
        found.append(RotateJoinToken(at=now, role=role, token=join_token(certificate)))
    key = unlock_key(tables)
    if not swarm_settings.locks(change.spec):
        return (*found, DeleteRecord(at=now, namespace=NAMESPACE, key=UNLOCK_KEY)) if key else tuple(found)
    return tuple(found) if key and not change.rotate_unlock_key else (*found, remembered_key(new_unlock_key(), now))


def remembered_key(key: str, now: datetime) -> Command:
    """Return the command that puts the operator's key into the store, which shows it to operators alone."""
    return PutRecord(at=now, namespace=NAMESPACE, key=UNLOCK_KEY, value=key.encode())


def unlock_key(tables: Tables) -> str:
    """Return the operator's key, "" while managers don't lock."""
    record = tables.records.get(f"{NAMESPACE}/{UNLOCK_KEY}")
    return record.value.decode() if record else ""
