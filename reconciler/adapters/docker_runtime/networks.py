"""The bridges that stand for overlay networks on one engine: made for the first task, removed with the last."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from reconciler.adapters.docker_runtime import container
from reconciler.adapters.docker_runtime.engine import CONFLICT, NOT_FOUND, EngineRefused, NodeEngine
from reconciler.model.assignments import Assignment, AttachedNetwork
from reconciler.model.json import JsonObject, dig

_log = logging.getLogger(__name__)

REMOVALS_MAX: Final = 5
RETRY_S: Final = 0.2
"""An engine lets go of a container's endpoints a little after the container."""


class BridgeNetworks:
    """The bridges that the tasks of one node are on."""

    def __init__(self, engine: NodeEngine) -> None:
        self._engine = engine
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One for each name: a network that the engine hangs on holds up the tasks on it, and no others."""
        self._users: dict[str, set[str]] = {}

    async def join(self, assignment: Assignment) -> dict[str, str | None]:
        """Return the engine's networks for a task, made where they are missing: {name: its address there, or None
        for any}. Until `leave` they are there for it. Raises EngineRefused."""
        found: dict[str, str | None] = {}
        for network in assignment.networks:
            if network.driver in container.LOCAL_DRIVERS:
                found[network.driver] = None
            elif not network.ingress:
                async with self._changing[network.name]:
                    has_subnet = await self._make(network)
                    self._users.setdefault(network.name, set()).add(assignment.task_id)
                found[network.name] = network.address if has_subnet and network.address else None
        return found

    def hold(self, assignment: Assignment) -> None:
        """Count a task that a predecessor has put on its networks."""
        for network in assignment.networks:
            if network.driver not in container.LOCAL_DRIVERS and not network.ingress:
                self._users.setdefault(network.name, set()).add(assignment.task_id)

    async def leave(self, task_id: str) -> None:
        """Let go of a task's networks, whose container is gone; those that nobody needs any more are removed."""
        for name in [name for name, users in self._users.items() if task_id in users]:
            async with self._changing[name]:
                users = self._users.get(name, set())
                users.discard(task_id)
                if name in self._users and not users:
                    del self._users[name]
                    await self._remove(name)

    async def sweep(self, names: Iterable[str]) -> None:
        """Remove networks that a predecessor's containers were on, and that nobody needs any more."""
        for name in sorted(set(names)):
            async with self._changing[name]:
                if name not in self._users and await self._is_ours(name):
                    await self._remove(name)

    async def close(self, names: Iterable[str]) -> None:
        """Remove the networks of all tasks, and of `names` those that are a swarm's: no container is to be left."""
        for name in sorted({*self._users, *names}):
            async with self._changing[name]:
                self._users.pop(name, None)
                if await self._is_ours(name):
                    await self._remove(name, attempts=REMOVALS_MAX)

    async def _is_ours(self, name: str) -> bool:
        try:
            seen = await self._engine.get("networks", name)
        except EngineRefused:
            return False
        return dig(seen, "Labels", container.NETWORK_LABEL) is not None

    async def _remove(self, name: str, *, attempts: int = 1) -> None:
        for attempt in range(attempts):
            await asyncio.sleep(RETRY_S if attempt else 0)
            try:
                await self._engine.ask("DELETE", "networks", name)
            except EngineRefused as error:
                # Somebody else's container is on it, or it is gone.
                _log.debug("Network %s stays: %s", name, error.problems[0].what)
                if error.status == NOT_FOUND:
                    return
            else:
                return

    async def _clear(self, name: str, seen: JsonObject) -> None:
        """Remove a network that another swarm has left, with the endpoints of containers that are no more.

        Raises EngineRefused where containers are on it.
        """
        users = []
        for key, endpoint in (seen.get("Containers") or {}).items():
            called = str(endpoint.get("Name") or key)
            if await self._is_there(key):
                users.append(called)
            else:  # the engine would keep the network for its sake, for ever
                await self._engine.post("networks", name, "disconnect", body={"Container": called, "Force": True})
        if users:
            listed = ", ".join(sorted(users))
            raise EngineRefused(
                CONFLICT, f"network {name} is another swarm's on this engine, with containers on it: {listed}"
            )
        await self._remove(name)

    async def _is_there(self, container_id: str) -> bool:
        try:
            await self._engine.get("containers", container_id, "json")
        except EngineRefused as error:
            return error.status != NOT_FOUND
        return True

    async def _make(self, network: AttachedNetwork) -> bool:
        """Make a network's bridge, unless it is there; return whether it has the swarm's subnet."""
        try:
            seen = await self._engine.get("networks", network.name)
        except EngineRefused as error:
            if error.status != NOT_FOUND:
                raise
            return await self._new(network)
        label = dig(seen, "Labels", container.NETWORK_LABEL)
        if label is not None and label != network.id:  # of a network of this name that the swarm has no more
            await self._clear(network.name, seen)
            return await self._new(network)
        pools = dig(seen, "IPAM", "Config") or ()
        return any(pool.get("Subnet") == network.subnet for pool in pools)

    async def _new(self, network: AttachedNetwork) -> bool:
        body: JsonObject = container.network_body(network)
        try:
            await self._engine.post("networks", "create", body=body)
        except EngineRefused as error:
            if "IPAM" not in body:
                raise
            _log.warning("Network %s gets another subnet on this host: %s", network.name, error.problems[0].what)
            del body["IPAM"]
            await self._engine.post("networks", "create", body=body)
            return False
        return True
