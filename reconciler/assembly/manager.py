"""A running manager: a member of the replicated store, and the embedded swarm on top of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.docker_runtime import DockerRuntime, NodeEngine
from reconciler.adapters.ingress import PortIngress
from reconciler.adapters.lone_transport import LoneTransport
from reconciler.adapters.process_runtime import Escapees, LoopbackAddresses, ProcessRuntime, RuntimeParts
from reconciler.adapters.raft import boot
from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.sealing import DataSeal
from reconciler.adapters.swarm_ca import TrustedIds
from reconciler.agent.ports import TaskRuntime
from reconciler.agent.runner import Agent
from reconciler.assembly.folder import LOG_FOLDER, NODES_FOLDER
from reconciler.assembly.trust import stored
from reconciler.manager.embedded_swarm import EmbeddedSwarm, SwarmParts
from reconciler.manager.ports import NodeAgent, ReportSink
from reconciler.model.commands import Command, Rejected
from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address, Backup

_log = logging.getLogger(__name__)

STOP_WAIT_S = 5.0
"""Seconds for the member of the store to end, which hands leadership on and closes its log."""


class ManagerSettings(Discreet, frozen=True):
    """Where a manager keeps what it knows, who it is, and what its tasks find programs on (a PATH).

    Neither name of `owner` is ever given twice. `engine_host` is the Docker Engine that runs the tasks as containers,
    None to run them as processes. The last of `data_keys` seals what it keeps of the swarm; without any
    nothing is sealed.
    """

    UNSHOWN = frozenset({"data_keys"})

    folder: Path
    owner: Owner
    address: Address
    search_path: str
    engine_host: str | None = None
    data_keys: tuple[bytes, ...] = ()


class _Clock:
    """The member's clock, which can be put forward: the lone voter need not wait before it leads, since there is
    nobody whom it could have promised anything to."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return boot_clock() + self._ahead_s

    def put_forward(self, seconds: float) -> None:
        self._ahead_s += seconds


class Manager:
    """A manager that runs. Made by `found_manager` and `open_manager`."""

    def __init__(self, settings: ManagerSettings, store: RaftNode, seal: DataSeal | None) -> None:
        self.settings = settings
        self.store = store
        self._seal = seal
        self.clock = SystemClock()
        self.ids = TrustedIds(self._root_certificate)
        self._engine = NodeEngine(settings.engine_host) if settings.engine_host else None
        self._ingress = PortIngress(engine_publishes=self._engine is not None)
        nodes_folder = settings.folder / NODES_FOLDER
        parts = RuntimeParts(LoopbackAddresses(str(nodes_folder)), Escapees(), settings.search_path)

        def new_agent(node_id: str, report: ReportSink) -> NodeAgent:
            runtime: TaskRuntime = (
                DockerRuntime(node_id, self._engine)
                if self._engine is not None
                else ProcessRuntime(nodes_folder / node_id, parts)
            )
            return Agent(node_id, runtime, self.clock, report)

        self.swarm = EmbeddedSwarm(store, SwarmParts(self.clock, self.ids, self._ingress, new_agent))
        self._member = asyncio.get_running_loop().create_task(store.run(), name="member of the store")
        self._serving: asyncio.Task[None] | None = None

    def _root_certificate(self) -> str:
        trust = stored(self.store.tables)
        return trust.root.certificate if trust else ""

    def serve(self) -> None:
        """Begin to lead, to run tasks and to serve published ports."""
        self._serving = asyncio.get_running_loop().create_task(self.swarm.run(), name="embedded swarm")

    def seal_with(self, key: bytes) -> None:
        """Seal what is written from now on with another data key, which is in the node's folder already."""
        assert self._seal is not None, "it began with a data key"
        self._seal.add(key)

    def backup(self) -> AbstractAsyncContextManager[Backup]:
        """Offer a copy of all that is applied here, for an `async with`, sealed with the newest data key."""
        return self.store.backup(_disk(self._seal))

    async def carry_out(self, commands: Sequence[Command]) -> None:
        """Carry out commands together. Raises SwarmctlError with the refusal's text as `why`."""
        outcome = await self.store.propose(commands)
        if isinstance(outcome, Rejected):
            raise SwarmctlError(outcome.code, "The embedded swarm refuses it.", why=outcome.message)

    async def wait_failed(self) -> None:
        """Wait as long as it serves; raises what it ends by, when that is an error of its own."""
        tasks = {task for task in (self._member, self._serving) if task is not None}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def stop(self, *, let_go: bool) -> BaseException | None:
        """End; `let_go` leaves the tasks running. Returns the error that it had ended by before."""
        if let_go:
            self.swarm.let_go()
        errors = []
        try:
            errors.append(await _ended(self._serving))
            await self._ingress.close()
        finally:
            self.swarm.close()
            errors.append(await _ended(self._member))
            if self._engine is not None:
                await self._engine.close()
        return next((error for error in errors if error is not None), None)


async def _ended(task: asyncio.Task[None] | None) -> BaseException | None:
    if task is None:
        return None
    task.cancel()
    await asyncio.wait((task,))
    return None if task.cancelled() else task.exception()


async def found_manager(settings: ManagerSettings, first: Sequence[Command]) -> Manager:
    """Begin a new group of one, carry out the `first` commands, and return the manager, which does not serve yet.

    Raises SwarmctlError: what the store raises (raft-...), and what the first commands are refused with.
    """
    member = _member_settings(settings)
    await asyncio.to_thread(boot.found, member, {settings.owner.node: settings.address}, _disk(_seal(settings)))
    manager = await open_manager(settings)
    try:
        await manager.carry_out(first)
    except BaseException:
        await manager.stop(let_go=False)
        raise
    return manager


async def open_manager(settings: ManagerSettings) -> Manager:
    """Go on with what the folder holds; return the manager, which does not serve yet.

    Raises SwarmctlError (raft-...).
    """
    clock = _Clock()
    member = _member_settings(settings)
    seal = _seal(settings)
    store = await open_node(member, LoneTransport(), clock=clock, disk=_disk(seal))
    if [one.id for one in store.members()] == [settings.owner.node]:
        clock.put_forward(member.consensus.election_max_s)
    return Manager(settings, store, seal)


async def end_containers(node_id: str, engine_host: str) -> bool:
    """Remove the containers that a node's tasks have left on its engine, and their networks; return whether it could
    be asked."""
    engine = NodeEngine(engine_host)
    try:
        runtime = DockerRuntime(node_id, engine)
        await runtime.recover((), ())
        await runtime.close()
    except SwarmctlError as error:
        _log.warning("What the tasks have left can't be removed: %s", error.problems[0].what)
        return False
    finally:
        await engine.close()
    return True


def force_new_group(settings: ManagerSettings) -> None:
    """Let a stopped manager go on alone. Blocks. Raises SwarmctlError (raft-...)."""
    boot.force_new_group(_member_settings(settings), _disk(_seal(settings)))


def _seal(settings: ManagerSettings) -> DataSeal | None:
    return DataSeal(settings.data_keys) if settings.data_keys else None


def _disk(seal: DataSeal | None) -> Disk:
    disk = Disk()
    disk.seal = seal
    return disk


def _member_settings(settings: ManagerSettings) -> MemberSettings:
    return MemberSettings(str(settings.folder / LOG_FOLDER), settings.owner, address=settings.address)


def failed(error: BaseException) -> SwarmctlError:
    """Return how a swarm is reported that has ended by an error of its own."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, SwarmctlError):
        return error
    return SwarmctlError(
        ErrorCode.EMBEDDED_FAILED,
        "The embedded swarm has ended by an error of its own.",
        why=f"{type(error).__name__}.",
        hint="This is a bug. Its log has the story.",
    )
