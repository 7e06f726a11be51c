"""The node that answers for a swarm of many nodes in one process: whichever leads it now."""

from __future__ import annotations

from collections.abc import Collection

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.swarm_ca.external import Introduction
from reconciler.api.node import FixedNode
from reconciler.api.ports import LocalState, Standing
from reconciler.assembly.external_ca import check_external
from reconciler.assembly.manager import Manager
from reconciler.assembly.settings_change import SettingsChange, commands_for, unlock_key
from reconciler.assembly.trust import Trust, stored
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.commands import Command, DescribeNode
from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeRecord
from reconciler.model.objects import NodeRole
from reconciler.model.tables import Tables


class InProcessNode(FixedNode):
    """Implements api.ports.LocalNode. Its nodes have no certificates, and say which root they trust."""

    def __init__(self, manager: Manager, cluster: EmbeddedCluster) -> None:
        super().__init__(Standing(LocalState.ACTIVE, cluster), {})
        self._manager = manager
        self._cluster = cluster
        self._clock = SystemClock()

    @property
    def _tables(self) -> Tables:
        return self._manager.store.tables

    def _leader(self) -> NodeRecord | None:
        return next((node for node in self._tables.nodes.values() if node.is_leader), None)

    def standing(self) -> Standing:
        """Return where the leader stands now: promoting and demoting moves it."""
        leader = self._leader()
        if leader is None:
            return super().standing()
        managers = [node for node in self._tables.nodes.values() if node.role is NodeRole.MANAGER]
        port = self._manager.settings.address.port
        return Standing(
            LocalState.ACTIVE,
            self._cluster,
            node_id=leader.id,
            address=leader.address,
            remote_managers={node.id: f"{node.address}:{port}" for node in managers},
            tls_info=leader.description.get("TLSInfo") or {},
        )

    def description(self) -> JsonObject:
        """Return what the leader tells of itself."""
        leader = self._leader()
        return leader.description if leader is not None else {}

    async def unlock_key(self) -> str:
        """Return the key that would unlock managers, "" while they don't lock. None of this process is ever locked."""
        return unlock_key(self._tables)

    async def update_swarm(
        self, version: int, spec: JsonObject, *, rotate: Collection[NodeRole] = (), rotate_unlock_key: bool = False
    ) -> None:
        """Change the swarm's settings, and with them its root, its join tokens and its key."""
        now, current = self._clock.now(), stored(self._tables)
        if current is not None:
            await check_external(spec, current.root, Introduction(current.root.certificate, "", ""), now)
        change = SettingsChange(version, spec, rotate, rotate_unlock_key)
        await self._manager.carry_out(commands_for(self._tables, change, now))
        renewed = stored(self._tables)
        if renewed is not None and renewed != current:
            await self._manager.carry_out(self._trusting(renewed))

    def _trusting(self, trust: Trust) -> tuple[Command, ...]:
        """Return the commands by which every node trusts a root."""
        now, told = self._clock.now(), {"TLSInfo": trust.tls_info()}
        return tuple(
            DescribeNode(at=now, id=node.id, description={**node.description, **told}, address=node.address)
            for node in self._tables.nodes.values()
        )
