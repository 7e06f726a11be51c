"""A node's keys and certificate: kept in its folder, and in step with what the swarm's settings ask of them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from reconciler.adapters.sealing import unlock_key_of
from reconciler.assembly import node_keys
from reconciler.assembly.certifying import Certifier
from reconciler.assembly.external_ca import check_external
from reconciler.assembly.manager import Manager
from reconciler.assembly.node_certificate import Certified, Chance
from reconciler.assembly.node_keys import NodeKeys
from reconciler.assembly.node_state import NodeState
from reconciler.assembly.settings_change import unlock_key
from reconciler.assembly.trust import Trust, stored
from reconciler.model.commands import DescribeNode
from reconciler.model.json import JsonObject
from reconciler.model.tables import Tables

RENEWAL_LOOK_S = 60.0
"""Seconds between looks at whether the node's certificate is to be renewed; the shortest lives an hour."""

_log = logging.getLogger(__name__)


class Credentials:
    """What one node proves itself with, and seals its log with. `keys` is None outside a swarm, and while it is locked.

    What the manager is called with is one swarm's, in which this node is.
    """

    def __init__(self, folder: Path, description: JsonObject, now: Callable[[], datetime]) -> None:
        """`description` is what the node tells of itself beside its certificate."""
        self._folder = folder
        self._description = description
        self._now = now
        self._renewal_part = random.random()  # noqa: S311 -- only spreads the load
        self.certifier = Certifier(folder)
        self.keys: NodeKeys | None = None

    def description(self) -> JsonObject:
        """Return what the node tells of itself."""
        certified = {"TLSInfo": self.certifier.issued_by} if self.certifier.issued_by else {}
        return {**self._description, **certified}

    async def begin(self, node: NodeState, key: str, trust: Trust | None = None) -> None:
        """Make the node's keys, sealed with the operator's, before anything is written that they seal.

        `trust` is that of a swarm that is about to begin.
        """
        if trust is not None:
            self.certifier.trusted = self.certifier.issued_by = trust.tls_info()
        keys = node_keys.new_keys()
        await asyncio.to_thread(node_keys.save, self._folder, node, keys, unlock_key_of(key))
        self.keys = keys

    def forget(self) -> None:
        """Forget the swarm, which this node has left."""
        self.certifier.forget()
        self.keys = None

    async def check(self, tables: Tables, spec: JsonObject) -> None:
        """Refuse settings with an external CA that does not sign for the swarm's root."""
        current = stored(tables)
        if current is not None and self.keys is not None:
            shown = await asyncio.to_thread(self.certifier.introduction, current.root.certificate, self.keys)
            await check_external(spec, current.root, shown, self._now())

    async def keep_in_step(self, manager: Manager, node: NodeState) -> None:
        """Bring what is in the folder, and what the swarm knows of this node, in step with the swarm's settings."""
        await self._keep_locked(manager, node)
        await self.certify(manager, node)
        await self._describe(manager, node)

    async def certify(self, manager: Manager, node: NodeState) -> Certified | None:
        """Have a certificate of the swarm's root; return it, None where nobody signs one now."""
        if self.keys is None:
            return None
        chance = Chance(self._now(), self._renewal_part)
        return await self.certifier.certify(node, self.keys, manager.store.tables, chance)

    async def renew(self, manager: Manager, node: NodeState, changing: asyncio.Lock) -> None:
        """Look at the certificate now and then, until cancelled: the wall's clock may be put forward."""
        while True:
            try:
                async with changing:  # who lets the node leave finds nobody writing to its folder
                    before = self.certifier.issued_by
                    await self.certify(manager, node)
                    if self.certifier.issued_by != before:
                        await self._describe(manager, node)
            except OSError as error:  # it is valid for a while still
                _log.warning("The node's certificate can't be renewed: %s.", error.strerror)
            await asyncio.sleep(RENEWAL_LOOK_S)

    async def _describe(self, manager: Manager, node: NodeState) -> None:
        now, described = self._now(), self.description()
        await manager.carry_out((DescribeNode(at=now, id=node.node_id, description=described, address=node.address),))

    async def _keep_locked(self, manager: Manager, node: NodeState) -> None:
        """Have the node's keys sealed with the operator's key as it is now, and a new data key for each new one:
        whoever could read the keys before has those, but not what is written from now on."""
        assert self.keys is not None, "a manager runs with keys"
        with_key = unlock_key_of(unlock_key(manager.store.tables))
        if await asyncio.to_thread(node_keys.is_locked_with, self._folder, node, with_key):
            return
        keys = self.keys.renewed() if with_key is not None else self.keys
        await asyncio.to_thread(node_keys.save, self._folder, node, keys, with_key)
        self.keys = keys
        manager.seal_with(keys.data[-1])
