"""One node as a daemon: outside any swarm at first, then the manager of one, and again after each of its restarts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TextIO

import msgspec
from msgspec.structs import replace

from reconciler.adapters.clock import RandomIds, SystemClock
from reconciler.adapters.process_runtime import ControlGroups
from reconciler.adapters.process_runtime.environment import DEFAULT_SEARCH_PATH
from reconciler.adapters.raft.addresses import address_command
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.sealing import new_unlock_key, unlock_key_of
from reconciler.api import faults
from reconciler.api.faults import Refused
from reconciler.api.ports import LocalState, Standing
from reconciler.assembly import init_request, join_request, node_keys, node_state, swarm_settings
from reconciler.assembly.backup import offered
from reconciler.assembly.credentials import Credentials
from reconciler.assembly.external_ca import NOBODY, UPDATING, check_new
from reconciler.assembly.folder import absolute, clear, locked, remove_leftovers
from reconciler.assembly.founding import first_commands
from reconciler.assembly.init_request import InitRequest
from reconciler.assembly.left_behind import LeftBehind
from reconciler.assembly.local_addresses import check_listen
from reconciler.assembly.manager import (
    Manager,
    ManagerSettings,
    failed,
    force_new_group,
    found_manager,
    open_manager,
)
from reconciler.assembly.node_keys import SealedKeys
from reconciler.assembly.node_state import NodeState
from reconciler.assembly.runtimes import NodeRuntime, RuntimeKind, choose
from reconciler.assembly.settings_change import SettingsChange, commands_for, remembered_key, unlock_key
from reconciler.assembly.trust import first_trust
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.manager.subscribers import RECENT_MAX
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole
from reconciler.model.replication import Address, Backup

AGAIN_S = 5.0
"""Seconds until a manager that could not begin tries it again."""

PASSING = frozenset(
    {
        ErrorCode.RAFT_NO_LEADER,
        ErrorCode.RAFT_OUTCOME_UNKNOWN,
        ErrorCode.RAFT_OVERLOADED,
        ErrorCode.RAFT_DISK_FULL,
    }
)
"""What keeps a manager from beginning, and may pass."""

WAITS = "The swarm's log can't be written now: its disk may be full or slow. The daemon tries again; its log says more."
LEAVING = "You are attempting to leave the swarm on a node that is participating as a manager. "
LAST = "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. "
LOCKED_LEAVE = "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message."

_log = logging.getLogger(__name__)


class DaemonSettings(msgspec.Struct, frozen=True):
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
        self._limits = {} if runtime.runs_containers else ControlGroups().told()
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
        self._has_restarted = False
        self._past_events: tuple[ClusterEvent, ...] = ()
        self._credentials = Credentials(folder, runtime.description, self._clock.now)
        self._left = LeftBehind(folder, runtime.engine_host if runtime.runs_containers else None)
        self._sealed: SealedKeys | None = None
        self._guard: asyncio.Task[None] | None = None

    # --- what the API asks

    def standing(self) -> Standing:
        """Return where the node stands now."""
        return replace(
            self._standing(),
            limits=self._limits,
            past_events=self._past_events,
            has_restarted=self._has_restarted,
        )

    def _standing(self) -> Standing:
        node = self._node
        if node is None:
            return Standing(self._state, error=self._error)
        if self._state is LocalState.LOCKED:
            return Standing(self._state, address=node.address, error=faults.LOCKED)
        managers = {node.node_id: f"{node.address}:{node.port}"}
        certifier = self._credentials.certifier
        root, rotates = certifier.trusted, certifier.rotates
        known = (self._cluster, node.node_id, node.address, self._error, managers, root)
        return Standing(self._state, *known, root_rotates=rotates)

    def description(self) -> JsonObject:
        """Return what the node tells of itself."""
        return self._credentials.description()

    @property
    def engine_host(self) -> str | None:
        """Where the node's own Docker Engine answers, None if it has none."""
        return self._runtime.engine_host

    async def init(self, request: JsonObject) -> str:
        """Begin a swarm, or go on alone with the one there is (ForceNewCluster); return this node's id."""
        wanted = await asyncio.to_thread(init_request.parse, request)
        async with self._changing:
            if wanted.force_new_cluster and self._node is not None:
                if self._state is LocalState.LOCKED:
                    raise Refused(503, faults.NOT_A_MANAGER)
                await asyncio.to_thread(check_listen, wanted.listen, wanted.listen_port)
                return await self._force_new_cluster(self._node, wanted)
            if self._state is not LocalState.INACTIVE:
                raise Refused(503, faults.ALREADY_IN_A_SWARM)
            await asyncio.to_thread(check_listen, wanted.listen, wanted.listen_port)
            self._state = LocalState.PENDING
            try:
                return await self._begin(wanted)
            except BaseException:
                if self._cluster is None:
                    self._state = LocalState.INACTIVE
                    await asyncio.to_thread(clear, self._folder)
                raise

    async def _begin(self, wanted: InitRequest) -> str:
        await check_new(wanted.asked, self._clock.now())
        await asyncio.to_thread(clear, self._folder)
        key = new_unlock_key() if wanted.autolock else ""
        node = NodeState(
            self._ids.new_id(), self._ids.new_id(), wanted.advertise, wanted.port, self._runtime.kind.value
        )
        trust = await asyncio.to_thread(first_trust, wanted.asked, self._clock.now())
        await self._credentials.begin(node, key, trust)
        commands = first_commands(node, wanted, self.description(), trust, self._ids, self._clock.now())
        if key:
            commands.append(remembered_key(key, self._clock.now()))
        manager = await found_manager(self._manager_settings(node), commands)
        try:
            # From here on there is a swarm, also after a crash: whoever asked has not been answered yet.
            await asyncio.to_thread(node_state.save, self._folder, node)
            if await self._credentials.certify(manager, node) is None:
                raise swarm_settings.refused(UPDATING + NOBODY.format("desired"))
        except BaseException:
            await manager.stop(let_go=False)
            await asyncio.to_thread(node_state.forget, self._folder)
            raise
        self._has_restarted = False
        self._go(node, manager)
        return node.node_id

    async def _force_new_cluster(self, node: NodeState, wanted: InitRequest) -> str:
        await self._end(let_go=True)
        renewed = replace(node, address=wanted.advertise, port=wanted.port)
        try:
            await asyncio.to_thread(force_new_group, self._manager_settings(node))
            await asyncio.to_thread(node_state.save, self._folder, renewed)
        finally:
            await self._go_on(renewed)
        tables = self._manager.store.tables if self._manager else None
        if self._manager is not None and tables is not None and tables.cluster is not None:
            # The store writes down by itself where it is, soon; who is told to join there must not be told sooner.
            at_address = Address(renewed.address, renewed.port)
            await self._manager.store.propose([address_command(node.node_id, at_address, self._clock.now())])
            given = swarm_settings.merged(tables.cluster.spec, wanted.asked)
            await self._change(self._manager, renewed, SettingsChange(tables.cluster.version, given))
        return node.node_id

    async def join(self, request: JsonObject) -> None:
        """Refuse, as an engine does where it can't be, and else because a swarm has one daemon in this version."""
        await join_request.attempt(await asyncio.to_thread(join_request.parse, request))

    async def leave(self, *, force: bool) -> None:
        """End the swarm, whose last manager this is, with all its tasks."""
        async with self._changing:
            if self._state is LocalState.INACTIVE:
                raise Refused(503, faults.NOT_PART_OF_A_SWARM)
            if not force:
                raise Refused(503, LOCKED_LEAVE if self._state is LocalState.LOCKED else LEAVING + LAST)
            if self._node is not None:
                await self._left.note(self._node.node_id)
            # From here on there is no swarm, also after a crash.
            await asyncio.to_thread(node_state.forget, self._folder)
            await self._end(let_go=False)
            await self._left.end()
            await asyncio.to_thread(clear, self._folder)
            self._node, self._state, self._error = None, LocalState.INACTIVE, ""
            self._credentials.forget()
            self._sealed = None

    async def unlock(self, key: str) -> None:
        """Go on after a start that found the swarm locked."""
        async with self._changing:
            node = self._node
            if node is None or self._sealed is None:
                raise Refused(409, faults.NOT_LOCKED)
            unlock_key = unlock_key_of(key)
            if unlock_key is None:
                raise Refused(400, "invalid key string")
            keys = self._sealed.open(node, unlock_key)
            if keys is None:
                raise Refused(401, "swarm could not be unlocked: invalid key provided")
            self._credentials.keys, self._sealed = keys, None
            await self._go_on(node)

    async def update_swarm(
        self, version: int, spec: JsonObject, *, rotate: Collection[NodeRole] = (), rotate_unlock_key: bool = False
    ) -> None:
        """Change the swarm's settings, and with them its root, its join tokens and its key."""
        change = SettingsChange(version, spec, rotate, rotate_unlock_key)
        async with self._changing:
            manager = self._manager
            if manager is None or self._node is None:
                raise Refused(503, faults.NOT_IN_A_SWARM)
            await self._change(manager, self._node, change)

    async def _change(self, manager: Manager, node: NodeState, change: SettingsChange) -> None:
        await self._credentials.check(manager.store.tables, change.spec)
        await manager.carry_out(commands_for(manager.store.tables, change, self._clock.now()))
        await self._credentials.keep_in_step(manager, node)

    async def unlock_key(self) -> str:
        """Return the key that unlocks this manager, "" while it does not lock."""
        if self._manager is None:
            raise Refused(503, faults.NOT_IN_A_SWARM)
        return unlock_key(self._manager.store.tables)

    @asynccontextmanager
    async def backup(self) -> AsyncIterator[Backup]:
        """Offer a copy of all that `assembly.backup.restore` needs."""
        async with AsyncExitStack() as held:
            async with self._changing:  # nobody leaves, locks or begins between its parts
                if self._manager is None or self._node is None:
                    raise Refused(503, faults.LOCKED if self._sealed else faults.NOT_IN_A_SWARM)
                found = await held.enter_async_context(offered(self._manager, self._folder, self._node))
            yield found

    # --- the life of the daemon

    async def resume(self) -> None:
        """Go on where a predecessor in this folder has ended, however it has ended."""
        node = await asyncio.to_thread(node_state.load, self._folder)
        if node is not None:
            await self._left.keep(node.node_id)
        await self._left.end()
        if node is None:
            await asyncio.to_thread(clear, self._folder)
            return
        await asyncio.to_thread(remove_leftovers, self._folder)
        if node.runtime != (kind := self._runtime.kind.value):
            node = replace(node, runtime=kind)
            await asyncio.to_thread(node_state.save, self._folder, node)
        self._node = node
        kept = await asyncio.to_thread(node_keys.load, self._folder)
        if isinstance(kept, SealedKeys):
            self._sealed, self._state = kept, LocalState.LOCKED
            return
        self._credentials.keys = kept
        if kept is None:
            await self._credentials.begin(node, "")
        await self._go_on(node)

    async def _go_on(self, node: NodeState) -> None:
        """Start the manager of the swarm that is on disk; what keeps it from that is told in the node's standing."""
        self._node, self._state, self._error = node, LocalState.PENDING, ""
        try:
            manager = await open_manager(self._manager_settings(node))
            try:
                await manager.store.read_barrier()
                await self._credentials.keep_in_step(manager, node)
            except BaseException:
                await manager.stop(let_go=True)
                raise
        except SwarmctlError as error:
            self._fail(error)
            if error.code in PASSING:
                self._error = WAITS
                self._guard = asyncio.get_running_loop().create_task(self._go_on_later(node), name="another try")
            return
        self._has_restarted = True
        manager.swarm.pass_over_the_past()
        self._go(node, manager)

    async def _go_on_later(self, node: NodeState) -> None:
        """Try it again: a full disk gets room, a slow one gets time."""
        await asyncio.sleep(AGAIN_S)
        async with self._changing:  # who lets the node leave, or ends it, cancels this before
            self._guard = None
            await self._go_on(node)

    def _go(self, node: NodeState, manager: Manager) -> None:
        manager.serve()
        self._node, self._manager, self._state = node, manager, LocalState.ACTIVE
        self._cluster = EmbeddedCluster(manager.swarm, self._settings.endpoint)
        self._guard = asyncio.get_running_loop().create_task(self._watch(manager, node), name="guard of the manager")

    async def _watch(self, manager: Manager, node: NodeState) -> None:
        """Renew the node's certificate in time; tell when the manager ends by an error."""
        renewing = asyncio.ensure_future(self._credentials.renew(manager, node, self._changing))
        try:
            await manager.wait_failed()
        except Exception as error:  # noqa: BLE001 - whatever it is, the daemon goes on and says so
            self._cluster = None
            self._fail(failed(error))
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})

    def _fail(self, error: SwarmctlError) -> None:
        problem = error.problems[0]
        self._state, self._error = LocalState.ERROR, f"{problem.what} {problem.why}".strip()
        _log.error("The manager has ended: %s", self._error)

    async def _end(self, *, let_go: bool) -> None:
        guard, self._guard = self._guard, None
        if self._cluster is not None:
            self._past_events = (*self._past_events, *self._cluster.recent_events())[-RECENT_MAX:]
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
                await self._left.close()
                await self._end(let_go=True)
            finally:
                self._lock.close()

    def _manager_settings(self, node: NodeState) -> ManagerSettings:
        owner = Owner(node.cluster_id, node.node_id)
        address = Address(node.address, node.port)
        engine_host = self._runtime.engine_host if self._runtime.runs_containers else None
        data_keys = self._credentials.keys.data if self._credentials.keys else ()
        return ManagerSettings(self._folder, owner, address, self._settings.search_path, engine_host, data_keys)


async def start_daemon(settings: DaemonSettings) -> DaemonNode:
    """Start a node in its folder; a swarm that it was in goes on. Raises embedded-already-running,
    embedded-failed, engine-unreachable, bad-setting."""
    folder = absolute(settings.data_dir)
    lock = locked(folder)
    try:
        known = await asyncio.to_thread(node_state.load, folder)
        wanted = settings.runtime.unless_it_was(known.runtime if known else "")
        runtime = await choose(wanted, settings.docker_host, settings.hostname)
        node = DaemonNode(settings, runtime, folder, lock)
        await node.resume()
    except BaseException:
        with suppress(OSError):
            lock.close()
        raise
    return node
