"""A whole embedded swarm in one process, for development: `swarmctl up`."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TextIO

import msgspec

from reconciler.adapters.clock import RandomIds, SystemClock
from reconciler.adapters.process_runtime.environment import DEFAULT_SEARCH_PATH
from reconciler.adapters.raft.hard_state import Owner
from reconciler.assembly.folder import absolute, clear, locked, refuse_daemons
from reconciler.assembly.in_process_node import InProcessNode
from reconciler.assembly.manager import Manager, ManagerSettings, failed, found_manager
from reconciler.assembly.runtimes import host_description
from reconciler.assembly.trust import new_trust
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.commands import AddNode, Command, InitCluster
from reconciler.model.nodes import Availability
from reconciler.model.objects import NodeRole
from reconciler.model.replication import Address

NODE_ADDRESS = "127.0.0.1"
SWARM_PORT = 2377


class EmbeddedSettings(msgspec.Struct, frozen=True):
    """`data_dir` gets the log and the tasks' folders. Nodes are called node1 to nodeN; node1 is manager and leader.

    `search_path` is the PATH that tasks find programs on. `endpoint` is what people call this swarm, None for a
    name made from the folder.
    """

    data_dir: str
    nodes: int = 3
    search_path: str = DEFAULT_SEARCH_PATH
    endpoint: str | None = None


class EmbeddedSwarmHandle:
    """A running embedded swarm. `stop` ends it with all its tasks; nothing of its state remains."""

    def __init__(self, manager: Manager, endpoint: str, lock: TextIO) -> None:
        self.cluster = EmbeddedCluster(manager.swarm, endpoint)
        self.node = InProcessNode(manager, self.cluster)
        self._manager = manager
        self._lock = lock
        manager.serve()

    async def stop(self) -> None:
        """End all tasks and let go of the folder. A second call does nothing. Raises embedded-failed if the swarm
        had ended by an error of its own before."""
        if self._lock.closed:
            return
        try:
            error = await self._manager.stop(let_go=False)
        finally:
            await asyncio.to_thread(clear, self._manager.settings.folder)
            self._lock.close()
        if error is not None:
            raise failed(error) from error

    async def wait_failed(self) -> None:
        """Wait as long as the swarm serves; raises embedded-failed when it ends by an error of its own."""
        try:
            await self._manager.wait_failed()
        except Exception as error:
            raise failed(error) from error

    async def __aenter__(self) -> EmbeddedSwarmHandle:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def start_embedded_swarm(settings: EmbeddedSettings) -> EmbeddedSwarmHandle:
    """Start a swarm of `settings.nodes` nodes in this process and return it once it takes requests.

    A stop ends all tasks and forgets everything. What a killed predecessor in the same folder left running is ended
    first. Raises embedded-already-running, embedded-failed, and what the store raises (raft-...).
    """
    folder = absolute(settings.data_dir)
    lock = locked(folder)
    try:
        refuse_daemons(folder)
        await asyncio.to_thread(clear, folder)
        ids = RandomIds()
        node_ids = tuple(ids.new_id() for _ in range(settings.nodes))
        owner = Owner(ids.new_id(), node_ids[0])
        chosen = ManagerSettings(folder, owner, Address(NODE_ADDRESS, SWARM_PORT), settings.search_path)
        manager = await found_manager(chosen, _first_commands(owner.cluster, node_ids))
    except BaseException:
        lock.close()
        raise
    return EmbeddedSwarmHandle(manager, settings.endpoint or f"embedded://{folder}", lock)


def _first_commands(cluster_id: str, node_ids: tuple[str, ...]) -> list[Command]:
    ids, now = RandomIds(), SystemClock().now()
    trust = new_trust(now)
    root = trust.tls_info()
    network_ids = (ids.new_id(), ids.new_id(), ids.new_id())
    commands: list[Command] = [
        InitCluster(at=now, id=cluster_id, spec={}, join_tokens=trust.tokens(), network_ids=network_ids)
    ]
    for number, node_id in enumerate(node_ids, start=1):
        role = NodeRole.MANAGER if number == 1 else NodeRole.WORKER
        spec = {"Labels": {}, "Role": str(role), "Availability": str(Availability.ACTIVE)}
        told = {**host_description(f"node{number}"), "TLSInfo": root}
        commands.append(AddNode(at=now, id=node_id, spec=spec, description=told, address=NODE_ADDRESS))
    return [*commands, trust.remembered(now)]
