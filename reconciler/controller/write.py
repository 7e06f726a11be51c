"""One Action as calls on the Cluster port: compare-and-swap, bounded retries, nothing chosen.

A write whose answer was lost may have been carried out. Before it is sent again, the cluster is asked: what is there
as it was sent counts as done; what is there otherwise is somebody else's, and is never overwritten. The same holds for
what another apply of the same manifests has written first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from msgspec.structs import replace

from reconciler.controller.patience import Patience, Tries, may_pass
from reconciler.controller.ports import Cluster
from reconciler.controller.prepare import RegistryAuth, no_registry_auth
from reconciler.controller.sent import stored_as_sent
from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType

STALE_RETRIES_MAX = 5
"""Times that an update is sent again because only the version moved: the swarm itself writes to its objects."""

IN_USE_WAIT_S = 30.0
"""Seconds to wait until the last task lets go of what is to be removed. Swarm stops tasks within 10 s by default."""

IN_USE_POLL_S = 0.5

Ids = dict[tuple[Kind, str], str]
"""{(kind, name): id} of what exists."""


class Writer(Discreet, frozen=True):
    """What every write of one apply shares. `registry_auth` gives the X-Registry-Auth header of an image, or None.

    `later` are {id of a step on a node: the steps after it on the same node}: another apply of the same manifests may
    have come to one of them already, and then the step is done.
    """

    UNSHOWN = frozenset({"registry_auth"})

    cluster: Cluster
    patience: Patience
    ids: Ids
    registry_auth: RegistryAuth = no_registry_auth
    later: Mapping[str, tuple[Action, ...]] = MappingProxyType({})

    async def carry_out(self, action: Action) -> None:
        """Do one action; remember in `ids` what came to exist. Raises SwarmctlError, having changed nothing more.

        Before it is given up because nobody answers, one last look tells whether the last try has gone through.
        """
        anew = (ActionType.DELETE, ActionType.CREATE)
        for step in anew if action.type is ActionType.REPLACE else (action.type,):
            one = replace(action, type=step)
            try:
                await self._send(one)
            except SwarmctlError as error:
                if not (may_pass(error) and await self._has_gone_through(one)):
                    raise
                self.patience.heard()

    async def _send(self, action: Action) -> None:
        if action.type is ActionType.CREATE:
            await self._create(action)
        elif action.type is ActionType.UPDATE:
            try:
                await self._update(action)
            except SwarmctlError as error:
                if error.code is not ErrorCode.OBJECT_NOT_FOUND or not self._is_removed_later(action):
                    raise
        else:
            await self._remove(action)

    async def _has_gone_through(self, action: Action) -> bool:
        """Return whether the cluster is seen to be what the action makes of it; False where it can't be seen."""
        try:
            actual = await self.cluster.observe()
        except SwarmctlError:
            return False
        there = actual.of_kind(action.kind)
        if action.type is ActionType.DELETE:
            return all(one.id != action.object_id for one in there)
        assert action.spec is not None
        if action.type is ActionType.UPDATE:
            now = next((one for one in there if one.id == action.object_id), None)
            new = now is not None and now.spec != action.read_spec
        else:
            now = next((one for one in there if one.name == action.name), None)
            new = now is not None and now.id != action.object_id
        if now is None or not new or not stored_as_sent(action.kind, with_ids(action.spec, self.ids), now.spec, actual):
            return False
        self.ids[action.kind, action.name] = now.id
        return True

    async def _create(self, action: Action) -> None:
        assert action.spec is not None
        spec, tries = with_ids(action.spec, self.ids), Tries()
        auth = await self._auth(action.kind, spec)
        while True:
            try:
                created = await self.cluster.create(action.kind, spec, registry_auth=auth)
            except SwarmctlError as error:
                if error.code is not ErrorCode.NAME_CONFLICT:
                    await self.patience.bear(error, tries)
                # Something failed on the way, or another apply of the same manifests came first: what has the name
                # now may well be what is asked for.
                found = await self._created(action, spec, error, tries)
                if found is None and error.code is ErrorCode.NAME_CONFLICT:
                    raise
                if found is None:
                    continue
                created = found.id
            else:
                self.patience.heard()
            self.ids[action.kind, action.name] = created
            return

    async def _created(
        self, action: Action, spec: JsonObject, error: SwarmctlError, tries: Tries
    ) -> ObservedObject | None:
        """Return what is there as it was sent, None when nothing is; name-conflict for anything else.

        `error` is how the create ended: as it is where no request before it may have been carried out.
        """
        actual = await self.patience.read(self.cluster.observe)
        found = actual.by_name(action.kind).get(action.name)
        if found is None or stored_as_sent(action.kind, spec, found.spec, actual):
            return found
        if not tries.failures:
            raise error
        raise SwarmctlError(
            ErrorCode.NAME_CONFLICT,
            f"{action.kind.capitalize()} {action.name} could not be created: somebody else has made one of that name.",
            why="The request was interrupted, and what is there now is not what was asked for.",
            hint="Run the command again: it plans with what the swarm is now.",
            place=action.place,
        )

    async def _update(self, action: Action) -> None:
        assert action.spec is not None
        assert action.object_id is not None
        spec, version, tries, moved = with_ids(action.spec, self.ids), action.version, Tries(), 0
        auth = await self._auth(action.kind, spec)
        while True:
            try:
                await self.cluster.update(
                    action.kind, action.object_id, version, spec, registry_auth=auth, rotate=action.rotates
                )
            except SwarmctlError as error:
                if error.code is ErrorCode.OBJECT_NOT_FOUND:
                    raise removed_meanwhile(action) from error
                stale = error.code is ErrorCode.STALE_VERSION
                moved += stale
                if moved > STALE_RETRIES_MAX:
                    raise
                if not stale:
                    await self.patience.bear(error, tries)
                again = await self._version_to_send(action, spec, version, stale=stale)
                if again is None:
                    return
                version = again
            else:
                self.patience.heard()
                return

    async def _version_to_send(self, action: Action, spec: JsonObject, version: int, *, stale: bool) -> int | None:
        """Return the version to send an update with again, or None when it was carried out; else stale-version."""
        now, ours = await self._now(action, spec)
        if now.version == version:
            return version  # nothing was written: every write moves the version
        if now.spec == action.read_spec and (stale or not ours):
            return now.version  # the swarm itself wrote to it, and not to its spec
        if ours:
            return None
        raise SwarmctlError(
            ErrorCode.STALE_VERSION,
            f"{action.kind.capitalize()} {action.name} was changed by someone else since the plan was made.",
            why=f"The plan read version {action.version}, and its spec has another content in version {now.version}.",
            hint="Run the command again: it plans with what the swarm is now.",
            place=action.place,
        )

    async def _now(self, action: Action, spec: JsonObject) -> tuple[ObservedObject, bool]:
        """Return the object that an update is about, as it is now, and whether it is what the update asks for."""
        object_id = action.object_id or ""
        try:
            now = await self.patience.read(lambda: self.cluster.get(action.kind, object_id))
        except SwarmctlError as error:
            if error.code is ErrorCode.OBJECT_NOT_FOUND:
                raise removed_meanwhile(action) from error
            raise
        if now.spec == action.read_spec and now.version == action.version:
            return now, False
        actual = await self.patience.read(self.cluster.observe)
        ours = (spec, *(one.spec for one in self.later.get(action.id, ()) if one.spec is not None))
        return now, any(stored_as_sent(action.kind, one, now.spec, actual) for one in ours)

    def _is_removed_later(self, action: Action) -> bool:
        return any(one.type is ActionType.DELETE for one in self.later.get(action.id, ()))

    async def _remove(self, action: Action) -> None:
        assert action.object_id is not None
        waited_s, tries = 0.0, Tries()
        while True:
            try:
                await self.cluster.remove(action.kind, action.object_id, force=action.force)
            except SwarmctlError as error:
                if error.code is ErrorCode.OBJECT_NOT_FOUND:
                    return  # gone already, which is what was asked for
                if error.code is not ErrorCode.OBJECT_IN_USE:
                    await self.patience.bear(error, tries)
                    continue
                if waited_s >= IN_USE_WAIT_S:
                    raise
            else:
                self.patience.heard()
                return
            await asyncio.sleep(IN_USE_POLL_S)
            waited_s += IN_USE_POLL_S

    async def _auth(self, kind: Kind, spec: JsonObject) -> str | None:
        image = dig(spec, "TaskTemplate", "ContainerSpec", "Image") if kind is Kind.SERVICE else None
        return await self.registry_auth(image) if image else None


def removed_meanwhile(action: Action) -> SwarmctlError:
    """Return the error of an update whose object is not there any more."""
    return SwarmctlError(
        ErrorCode.OBJECT_NOT_FOUND,
        f"{action.kind.capitalize()} {action.name} was removed by someone else since the plan was made.",
        why="The swarm has no object of that id any more.",
        hint="Run the command again: it plans with what the swarm is now, and creates what is missing.",
        place=action.place,
    )


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
