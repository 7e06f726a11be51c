"""One Action as calls on the Cluster port: compare-and-swap, bounded retries, nothing chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from reconciler.controller.ports import Cluster
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType

STALE_RETRIES_MAX = 5
"""Times that an update is sent again because only the version moved: the swarm itself writes to its objects."""

IN_USE_WAIT_S = 30.0
"""Seconds to wait until the last task lets go of what is to be removed. Swarm stops tasks within 10 s by default."""

IN_USE_POLL_S = 0.5

Ids = dict[tuple[Kind, str], str]
"""{(kind, name): id} of what exists."""


async def carry_out(action: Action, cluster: Cluster, ids: Ids) -> None:
    """Do one action; remember in `ids` what came to exist. Raises SwarmctlError, having changed nothing more."""
    if action.type is ActionType.CREATE:
        await _create(action, cluster, ids)
    elif action.type is ActionType.UPDATE:
        await _update(action, cluster, ids)
    elif action.type is ActionType.DELETE:
        await _remove(action, cluster)
    else:
        await _remove(action, cluster)
        await _create(action, cluster, ids)


async def _create(action: Action, cluster: Cluster, ids: Ids) -> None:
    assert action.spec is not None
    ids[action.kind, action.name] = await cluster.create(action.kind, with_ids(action.spec, ids))


async def _update(action: Action, cluster: Cluster, ids: Ids) -> None:
    assert action.spec is not None
    assert action.object_id is not None
    spec, version = with_ids(action.spec, ids), action.version
    for attempt in range(STALE_RETRIES_MAX + 1):
        try:
            await cluster.update(action.kind, action.object_id, version, spec)
        except SwarmctlError as error:
            if error.code is not ErrorCode.STALE_VERSION or attempt == STALE_RETRIES_MAX:
                raise
            version = await _version_if_unchanged(action, cluster)
        else:
            return


async def _version_if_unchanged(action: Action, cluster: Cluster) -> int:
    """Return the object's version now, if its spec is still the one that the plan read."""
    assert action.object_id is not None
    now = await cluster.get(action.kind, action.object_id)
    if now.spec != action.read_spec:
        raise SwarmctlError(
            ErrorCode.STALE_VERSION,
            f"{action.kind.capitalize()} {action.name} was changed by someone else since the plan was made.",
            why=f"The plan read version {action.version}, and its spec has another content in version {now.version}.",
            hint="Run the command again: it plans with what the swarm is now.",
            place=action.place,
        )
    return now.version


async def _remove(action: Action, cluster: Cluster) -> None:
    assert action.object_id is not None
    waited_s = 0.0
    while True:
        try:
            await cluster.remove(action.kind, action.object_id)
        except SwarmctlError as error:
            if error.code is ErrorCode.OBJECT_NOT_FOUND:
                return  # gone already, which is what was asked for
            if error.code is not ErrorCode.OBJECT_IN_USE or waited_s >= IN_USE_WAIT_S:
                raise
        else:
            return
        await asyncio.sleep(IN_USE_POLL_S)
        waited_s += IN_USE_POLL_S


def with_ids(spec: JsonObject, ids: Mapping[tuple[Kind, str], str]) -> JsonObject:
    """Return `spec` with the ids of the secrets and configs that its tasks refer to by name.

    Networks stay named: the daemon looks those up itself. An unknown name stays without an id, and the daemon
    says so.
    """
    container = (spec.get("TaskTemplate") or {}).get("ContainerSpec")
    if not container:
        return spec
    filled = dict(container)
    for list_key, noun, kind in (("Secrets", "Secret", Kind.SECRET), ("Configs", "Config", Kind.CONFIG)):
        if references := container.get(list_key):
            filled[list_key] = [
                _with_id(item, noun, ids.get((kind, item.get(f"{noun}Name", "")))) for item in references
            ]
    privileges: JsonValue = container.get("Privileges") or {}
    credential = privileges.get("CredentialSpec") or {}
    if name := credential.get("Config"):
        config_id = ids.get((Kind.CONFIG, name), name)
        filled["Privileges"] = {**privileges, "CredentialSpec": {**credential, "Config": config_id}}
    return {**spec, "TaskTemplate": {**spec["TaskTemplate"], "ContainerSpec": filled}}


def _with_id(reference: JsonObject, noun: str, object_id: str | None) -> JsonObject:
    return reference if object_id is None else {**reference, f"{noun}ID": object_id}
