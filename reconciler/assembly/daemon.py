"""One node as a daemon: outside any swarm at first, then the manager of one, and again after each of its restarts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from reconciler.adapters.clock import RandomIds, SystemClock
from reconciler.adapters.process_runtime.environment import DEFAULT_SEARCH_PATH
from reconciler.adapters.raft.hard_state import Owner
from reconciler.api import faults
from reconciler.api.faults import Refused
from reconciler.api.ports import LocalState, Standing
from reconciler.assembly import init_request, node_state
from reconciler.assembly.folder import absolute, clear, locked
from reconciler.assembly.init_request import InitRequest
from reconciler.assembly.manager import (
    Manager,
    ManagerSettings,
    failed,
    force_new_group,
    found_manager,
    open_manager,
)
from reconciler.assembly.node_state import NodeState
from reconciler.assembly.runtimes import NodeRuntime, RuntimeKind, choose
from reconciler.assembly.trust import Trust, new_trust, rotated, rotation_asked, stored
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.commands import AddNode, Command, DescribeNode, InitCluster, PutRecord
from reconciler.model.errors import SwarmctlError
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import NodeRole
from reconciler.model.replication import Address

KEY_PREFIX = "SWMKEY-1-"
KEY_BYTES = 32
SECRETS_NAMESPACE = "swarm"
UNLOCK_KEY = "unlock-key"

LOCK_RETRY_S = 0.1
"""Seconds until the swarm's settings are looked at again after their changes were not told."""

LEAVING = "You are attempting to leave the swarm on a node that is participating as a manager. "
LAST = "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. "
LOCKED_LEAVE = "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """`data_dir` keeps all that the node knows, and belongs to this daemon alone. `endpoint` is what people call it.

    `search_path` is the PATH on which tasks that are processes find programs.
    """

    data_dir: str
    hostname: str
    endpoint: str
    search_path: str = DEFAULT_SEARCH_PATH
    runtime: RuntimeKind = RuntimeKind.PROCESS
    docker_host: str | None = None
    """The node's Docker Engine: unix:///PATH. None: the usual place, where the runtime asks for one."""


class DaemonNode:
    """Implements api.ports.LocalNode. Made by `start_daemon`."""

    def __init__(self, settings: DaemonSettings, runtime: NodeRuntime, folder: Path, lock: TextIO) -> None:
        self._settings = settings
        self._runtime = runtime
        self._folder = folder
        self._lock = lock
        self._ids = RandomIds()
        self._clock = SystemClock()
        self._changing = asyncio.Lock()
        self._state = LocalState.INACTIVE
        self._node: NodeState | None = None
        self._manager: Manager | None = None
        self._cluster: EmbeddedCluster | None = None
        self._error = ""
        self._tls_info: JsonObject = {}
        self._guard: asyncio.Task[None] | None = None

    # --- what the API asks

    def standing(self) -> Standing:
        """Return where the node stands now."""
        node = self._node
        if node is None:
            return Standing(self._state, error=self._error)
        managers = {node.node_id: f"{node.address}:{node.port}"} if self._state is not LocalState.LOCKED else {}
        return Standing(self._state, self._cluster, node.node_id, node.address, self._error, managers, self._tls_info)

    def description(self) -> JsonObject:
        """Return what the node tells of itself."""
        trusted = {"TLSInfo": self._tls_info} if self._tls_info else {}
        return {**self._runtime.description, **trusted}

    @property
    def engine_host(self) -> str | None:
        """Where the node's own Docker Engine answers, None if it has none."""
        return self._runtime.engine_host

    async def init(self, request: JsonObject) -> str:
        """Begin a swarm, or go on alone with the one there is (ForceNewCluster); return this node's id."""
        wanted = init_request.parse(request)
        async with self._changing:
            if wanted.force_new_cluster and self._node is not None:
                return await self._force_new_cluster(self._node, wanted)
            if self._state is not LocalState.INACTIVE:
                raise Refused(503, faults.ALREADY_IN_A_SWARM)
            self._state = LocalState.PENDING
            try:
                return await self._begin(wanted)
            except BaseException:
                if self._cluster is None:
                    self._state = LocalState.INACTIVE
                    await asyncio.to_thread(clear, self._folder)
                raise

    async def _begin(self, wanted: InitRequest) -> str:
        await asyncio.to_thread(clear, self._folder)
        key = _new_key() if wanted.autolock else ""
        node = NodeState(self._ids.new_id(), self._ids.new_id(), wanted.advertise, wanted.port, _digest(key))
        trust = await asyncio.to_thread(new_trust, self._clock.now())
        self._tls_info = trust.tls_info()
        manager = await found_manager(self._manager_settings(node), self._first_commands(node, wanted, trust, key))
        try:
            # From here on there is a swarm, also after a crash: whoever asked has not been answered yet.
            await asyncio.to_thread(node_state.save, self._folder, node)
        except BaseException:
            await manager.stop(let_go=False)
            raise
        self._go(node, manager)
        return node.node_id

    def _first_commands(self, node: NodeState, wanted: InitRequest, trust: Trust, key: str) -> list[Command]:
        now, ids = self._clock.now(), self._ids
        spec: JsonObject = {"Labels": {}, "Role": str(NodeRole.MANAGER), "Availability": str(wanted.availability)}
        cluster_spec = wanted.spec
        if wanted.autolock:
            cluster_spec = {**cluster_spec, "EncryptionConfig": {"AutoLockManagers": True}}
        commands: list[Command] = [
            InitCluster(
                at=now,
                id=node.cluster_id,
                spec=cluster_spec,
                join_tokens=trust.tokens(),
                network_ids=(ids.new_id(), ids.new_id(), ids.new_id()),
                default_addr_pool=wanted.pools,
                subnet_size=wanted.subnet_size,
                data_path_port=wanted.data_path_port,
            ),
            AddNode(at=now, id=node.node_id, spec=spec, description=self.description(), address=node.address),
            trust.remembered(now),
        ]
        return [*commands, self._remember_key(key)] if key else commands

    def _remember_key(self, key: str) -> Command:
        return PutRecord(at=self._clock.now(), namespace=SECRETS_NAMESPACE, key=UNLOCK_KEY, value=key.encode())

    async def _force_new_cluster(self, node: NodeState, wanted: InitRequest) -> str:
        await self._end(let_go=True)
        renewed = replace(node, address=wanted.advertise, port=wanted.port)
        try:
            await asyncio.to_thread(force_new_group, self._manager_settings(node))
            await asyncio.to_thread(node_state.save, self._folder, renewed)
        finally:
            await self._go_on(renewed)
        return node.node_id

    async def join(self, request: JsonObject) -> None:  # noqa: ARG002
        """Refuse: a swarm has one daemon in this version."""
        raise Refused(501, "joining a swarm of another daemon is not supported by this version")

    async def leave(self, *, force: bool) -> None:
        """End the swarm, whose last manager this is, with all its tasks."""
        async with self._changing:
            if self._state is LocalState.INACTIVE:
                raise Refused(503, faults.NOT_PART_OF_A_SWARM)
            if not force:
                raise Refused(503, LOCKED_LEAVE if self._state is LocalState.LOCKED else LEAVING + LAST)
            # From here on there is no swarm, also after a crash.
            await asyncio.to_thread(node_state.forget, self._folder)
            await self._end(let_go=False)
            await asyncio.to_thread(clear, self._folder)
            self._node, self._state, self._error, self._tls_info = None, LocalState.INACTIVE, "", {}

    async def unlock(self, key: str) -> None:
        """Go on after a start that found the swarm locked."""
        async with self._changing:
            node = self._node
            if node is None or self._state is not LocalState.LOCKED:
                raise Refused(409, faults.NOT_LOCKED)
            if not _is_key(key):
                raise Refused(400, "invalid key string")
            if not hmac.compare_digest(_digest(key), node.lock):
                raise Refused(401, "swarm could not be unlocked: invalid key provided")
            await self._go_on(node)

    async def unlock_key(self, *, rotate: bool = False) -> str:
        """Return the key that unlocks this manager, "" while it locks nothing. `rotate` makes another one first."""
        async with self._changing:
            if self._manager is None or self._node is None:
                raise Refused(503, faults.NOT_IN_A_SWARM)
            wants = self._autolocks()
            key = await self._stored_key()
            if wants and (rotate or not key):
                key = _new_key()
                await self._manager.carry_out((self._remember_key(key),))
            await self._remember_lock(_digest(key) if wants else "")
            return key if wants else ""

    def _autolocks(self) -> bool:
        cluster = self._manager.store.tables.cluster if self._manager else None
        return cluster is not None and bool(dig(cluster.spec, "EncryptionConfig", "AutoLockManagers"))

    async def _stored_key(self) -> str:
        tables = self._manager.store.tables if self._manager else None
        record = tables.records.get(f"{SECRETS_NAMESPACE}/{UNLOCK_KEY}") if tables else None
        return record.value.decode() if record else ""

    async def _remember_lock(self, digest: str) -> None:
        if self._node is not None and self._node.lock != digest:
            self._node = replace(self._node, lock=digest)
            await asyncio.to_thread(node_state.save, self._folder, self._node)

    # --- the life of the daemon

    async def resume(self) -> None:
        """Go on where a predecessor in this folder has ended, however it has ended."""
        node = await asyncio.to_thread(node_state.load, self._folder)
        if node is None:
            await asyncio.to_thread(clear, self._folder)
            return
        self._node = node
        if node.lock:
            self._state = LocalState.LOCKED
            return
        await self._go_on(node)

    async def _go_on(self, node: NodeState) -> None:
        """Start the manager of the swarm that is on disk; what keeps it from that is told in the node's standing."""
        self._node, self._state, self._error = node, LocalState.PENDING, ""
        try:
            manager = await open_manager(self._manager_settings(node))
            try:
                await self._describe(manager, node)
            except BaseException:
                await manager.stop(let_go=True)
                raise
        except SwarmctlError as error:
            self._fail(error)
            return
        self._go(node, manager)

    async def _describe(self, manager: Manager, node: NodeState) -> None:
        """Tell the swarm what this node is now; its name, its engine or the swarm's root may be another."""
        await manager.store.read_barrier()
        trust = stored(manager.store.tables)
        self._tls_info = await asyncio.to_thread(trust.tls_info) if trust else {}
        now, described = self._clock.now(), self.description()
        await manager.carry_out((DescribeNode(at=now, id=node.node_id, description=described, address=node.address),))

    def _go(self, node: NodeState, manager: Manager) -> None:
        manager.serve()
        self._node, self._manager, self._state = node, manager, LocalState.ACTIVE
        self._cluster = EmbeddedCluster(manager.swarm, self._settings.endpoint)
        self._guard = asyncio.get_running_loop().create_task(self._watch(manager), name="guard of the manager")

    async def _watch(self, manager: Manager) -> None:
        """Keep the lock in step with the swarm's settings; tell when the manager ends by an error."""
        keeping = asyncio.ensure_future(self._keep_settings(manager))
        try:
            await manager.wait_failed()
        except Exception as error:  # noqa: BLE001 - whatever it is, the daemon goes on and says so
            self._cluster = None
            self._fail(failed(error))
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def _keep_settings(self, manager: Manager) -> None:
        """Lock and unlock as soon as `docker swarm update --autolock` asks for it; renew the root for `swarm ca`."""
        while True:
            subscription = manager.swarm.subscribers.subscribe()
            await self._follow_settings(manager)
            try:
                async for event in subscription:
                    if event.kind == "swarm":
                        await self._follow_settings(manager)
            except SwarmctlError as error:  # too far behind: look again. The end of the swarm cancels this.
                _log.debug("The lock is looked at anew: %s", error.problems[0].why)
            await asyncio.sleep(LOCK_RETRY_S)

    async def _follow_settings(self, manager: Manager) -> None:
        await self.unlock_key()
        node, trust = self._node, stored(manager.store.tables)
        asked = rotation_asked(manager.store.tables.cluster)
        if node is not None and trust is not None and trust.rotation != asked:
            _, commands = await asyncio.to_thread(rotated, self._clock.now(), asked)
            await manager.carry_out(commands)
            await self._describe(manager, node)

    def _fail(self, error: SwarmctlError) -> None:
        problem = error.problems[0]
        self._state, self._error = LocalState.ERROR, f"{problem.what} {problem.why}".strip()
        _log.error("The manager has ended: %s", self._error)

    async def _end(self, *, let_go: bool) -> None:
        guard, self._guard = self._guard, None
        manager, self._manager, self._cluster = self._manager, None, None
        if guard is not None:
            guard.cancel()
            await asyncio.wait({guard})
        if manager is not None:
            await manager.stop(let_go=let_go)

    async def stop(self) -> None:
        """End the daemon. Its tasks run on, for the next one to adopt."""
        async with self._changing:
            try:
                await self._end(let_go=True)
            finally:
                self._lock.close()

    def _manager_settings(self, node: NodeState) -> ManagerSettings:
        owner = Owner(node.cluster_id, node.node_id)
        address = Address(node.address, node.port)
        engine_host = self._runtime.engine_host if self._runtime.runs_containers else None
        return ManagerSettings(self._folder, owner, address, self._settings.search_path, engine_host)


async def start_daemon(settings: DaemonSettings) -> DaemonNode:
    """Start a node in its folder; a swarm that it was in goes on. Raises embedded-already-running,
    embedded-failed, engine-unreachable, bad-setting."""
    folder = absolute(settings.data_dir)
    lock = locked(folder)
    try:
        runtime = await choose(settings.runtime, settings.docker_host, settings.hostname)
        node = DaemonNode(settings, runtime, folder, lock)
        await node.resume()
    except BaseException:
        with suppress(OSError):
            lock.close()
        raise
    return node


def _new_key() -> str:
    """Return a key of Swarm's form."""
    return KEY_PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")


def _is_key(text: str) -> bool:
    try:
        return text.startswith(KEY_PREFIX) and len(base64.b64decode(text[len(KEY_PREFIX) :] + "=", validate=True)) == 32
    except ValueError:
        return False


def _digest(key: str) -> str:
    """Return what tells a key, which is chance of 256 bits, without giving it away; "" for none."""
    return hashlib.sha256(key.encode()).hexdigest() if key else ""
