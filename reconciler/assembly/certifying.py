"""Has this node certified in time: by the swarm's own root, or by the external CA that has the root's key."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from reconciler.adapters.swarm_ca import NodeCertificate, issue, names_it, tls_info, was_issued_by
from reconciler.adapters.swarm_ca.external import Introduction, ask, signing_request
from reconciler.assembly.external_ca import NOBODY, authorities
from reconciler.assembly.node_certificate import Certified, Chance, in_force, kept, put
from reconciler.assembly.node_keys import NodeKeys
from reconciler.assembly.node_state import NodeState
from reconciler.assembly.trust import Trust, certificates_valid, stored
from reconciler.model.errors import SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole
from reconciler.model.tables import Tables

_log = logging.getLogger(__name__)


class Certifier:
    """Keeps the certificate of one node in its folder.

    `trusted` is the swarm's root and `issued_by` the root of the certificate in force, both as a Description has them
    under TLSInfo. They differ as long as an external CA does not sign for a new root.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told = ""
        self.trusted: JsonObject = {}
        self.issued_by: JsonObject = {}

    @property
    def rotates(self) -> bool:
        """Whether the swarm's root is another one than that of the certificate in force."""
        return self.trusted != self.issued_by

    def forget(self) -> None:
        """Forget the swarm, which this node has left."""
        self._told, self.trusted, self.issued_by = "", {}, {}

    def introduction(self, root: str, keys: NodeKeys) -> Introduction:
        """Return how this node makes itself known to one who is of `root`. Blocks."""
        return Introduction(root, in_force(self._folder)[0], keys.tls)

    async def certify(self, node: NodeState, keys: NodeKeys, tables: Tables, chance: Chance) -> Certified | None:
        """Have a certificate of the swarm's root that is valid for a while, and return it.

        None where nobody signs it, which is told, and the one in force stays; and in a swarm without a root.
        """
        trust = stored(tables)
        if trust is None:
            return None
        found = await asyncio.to_thread(kept, self._folder, keys, trust.root, chance)
        if found is None and (made := await self._made(node, keys, trust, tables, chance)):
            found = await asyncio.to_thread(put, self._folder, trust.root, made, chance)
        if found is not None:
            self._told = ""
        self.trusted = await asyncio.to_thread(trust.tls_info)
        root = trust.root.certificate if found is not None else (await asyncio.to_thread(in_force, self._folder))[1]
        self.issued_by = await asyncio.to_thread(tls_info, root) if root else {}
        return found

    async def _made(self, node: NodeState, keys: NodeKeys, trust: Trust, tables: Tables, chance: Chance) -> str:
        """Return a new certificate, "" where nobody signs one."""
        valid = certificates_valid(tables.cluster)
        wanted = NodeCertificate(node.node_id, node.cluster_id, NodeRole.MANAGER, valid)
        spec = tables.cluster.spec if tables.cluster else {}
        urls = authorities(spec, trust.root.certificate, trust.root.certificate)
        is_first = not (await asyncio.to_thread(in_force, self._folder))[0]
        if trust.root.key and (is_first or not urls):  # an external CA wants to be shown one
            return await asyncio.to_thread(issue, trust.root, wanted, keys.tls, chance.now)
        if urls:
            return await self._asked_for(urls, wanted, keys, trust, chance)
        self._tell(NOBODY.format("current"))
        return ""

    async def _asked_for(
        self, urls: tuple[str, ...], wanted: NodeCertificate, keys: NodeKeys, trust: Trust, chance: Chance
    ) -> str:
        root = trust.root
        request = await asyncio.to_thread(signing_request, keys.tls, wanted)
        shown = await asyncio.to_thread(self.introduction, root.certificate, keys)
        try:
            made = await ask(urls, request, shown)
        except SwarmctlError as error:
            self._tell(error.problems[0].why)
            return ""
        if not await asyncio.to_thread(was_issued_by, root, made, keys.tls, chance.now) or not names_it(made, wanted):
            self._tell("what the external CA has signed is not of this root, not of this node's key, or names another")
            return ""
        return made

    def _tell(self, why: str) -> None:
        """Say it once until it is another reason: it is tried again every minute."""
        if why != self._told:
            self._told = why
            _log.warning("This node's certificate can't be made anew, and the one in force is kept: %s", why)
