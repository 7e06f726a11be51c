"""Builds the embedded swarm from its parts."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TextIO

from reconciler.adapters.clock import RandomIds, SystemClock
from reconciler.adapters.ingress import TcpIngress
from reconciler.adapters.process_runtime import Escapees, LoopbackAddresses, ProcessRuntime, RuntimeParts, sweep
from reconciler.adapters.process_runtime.environment import DEFAULT_SEARCH_PATH
from reconciler.agent.runner import Agent
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.manager.embedded_swarm import EmbeddedSwarm, SwarmParts
from reconciler.manager.ports import NodeAgent, ReportSink
from reconciler.model.commands import AddNode, Command, InitCluster, Rejected
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole
from reconciler.model.tables import Availability, JoinTokens

NODE_ADDRESS = "127.0.0.1"
LOCK_FILE = "swarm.lock"
NODES_FOLDER = "nodes"


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """`data_dir` gets the tasks' folders. Nodes are called node1 to nodeN; node1 is manager and leader.

    `search_path` is the PATH that tasks find programs on. `endpoint` is what people call this swarm, None for a
    name made from the folder.
    """

    data_dir: str
    nodes: int = 3
    search_path: str = DEFAULT_SEARCH_PATH
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class _Holding:
    """What a swarm has of the file system: its nodes' folder, and the lock that makes it its own."""

    nodes_folder: Path
    lock: TextIO


class EmbeddedSwarmHandle:
    """A running embedded swarm. `stop` ends it with all its tasks; nothing of its state remains."""

    def __init__(self, swarm: EmbeddedSwarm, endpoint: str, ingress: TcpIngress, holding: _Holding) -> None:
        self.cluster = EmbeddedCluster(swarm, endpoint)
        self._swarm = swarm
        self._serving = asyncio.get_running_loop().create_task(swarm.run(), name="embedded swarm")
        self._ingress = ingress
        self._holding = holding

    async def stop(self) -> None:
        """End all tasks and let go of the folder. A second call does nothing. Raises embedded-failed if the swarm
        had ended by an error of its own before."""
        if self._holding.lock.closed:
            return
        self._serving.cancel()
        try:
            await asyncio.wait((self._serving,))
            await self._ingress.close()
        finally:
            self._swarm.close()
            await asyncio.to_thread(_clear, self._holding.nodes_folder)
            self._holding.lock.close()
        if not self._serving.cancelled() and (error := self._serving.exception()) is not None:
            raise _failed(error) from error

    async def wait_failed(self) -> None:
        """Wait as long as the swarm serves; raises embedded-failed when it ends by an error of its own."""
        await asyncio.wait((self._serving,))
        if not self._serving.cancelled() and (error := self._serving.exception()) is not None:
            raise _failed(error) from error

    async def __aenter__(self) -> EmbeddedSwarmHandle:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _failed(error: BaseException) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.EMBEDDED_FAILED,
        "The embedded swarm has ended by an error of its own.",
        why=f"{type(error).__name__}.",
        hint="This is a bug. Its log has the story.",
    )


async def start_embedded_swarm(settings: EmbeddedSettings) -> EmbeddedSwarmHandle:
    """Start a swarm of `settings.nodes` nodes in this process and return it once it takes requests.

    Its state is in memory: a stop ends all tasks and forgets everything. What a killed predecessor in the same
    folder left running is ended first. Raises embedded-already-running, embedded-failed.
    """
    folder = _folder(settings)
    lock = _lock(folder)
    try:
        nodes_folder = folder / NODES_FOLDER
        await asyncio.to_thread(_clear, nodes_folder)
        ingress = TcpIngress()
        swarm = _build(settings, nodes_folder, ingress)
        await _populate(swarm, settings)
    except BaseException:
        lock.close()
        raise
    return EmbeddedSwarmHandle(
        swarm, settings.endpoint or f"embedded://{folder}", ingress, _Holding(nodes_folder, lock)
    )


def _folder(settings: EmbeddedSettings) -> Path:
    return Path(settings.data_dir).absolute()


def _lock(folder: Path) -> TextIO:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("a+")
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            f"The embedded swarm can't use the folder {folder}.",
            why=f"{error.strerror}.",
            hint="Choose another one with --data-dir or SWARMCTL_DATA_DIR.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise SwarmctlError(
            ErrorCode.EMBEDDED_ALREADY_RUNNING,
            f"An embedded swarm is running in {folder} already.",
            why=f"It holds {LOCK_FILE}.",
            hint="Use that one, end it with `swarmctl down`, or choose another folder with --data-dir.",
        ) from error
    return lock


def _clear(nodes_folder: Path) -> None:
    """End and remove what tasks have left; without the swarm's state nothing of it can be used again."""
    sweep(nodes_folder)
    if nodes_folder.exists():
        shutil.rmtree(nodes_folder, ignore_errors=True)


def _build(settings: EmbeddedSettings, nodes_folder: Path, ingress: TcpIngress) -> EmbeddedSwarm:
    clock = SystemClock()
    parts = RuntimeParts(LoopbackAddresses(str(nodes_folder)), Escapees(), settings.search_path)

    def new_agent(node_id: str, report: ReportSink) -> NodeAgent:
        hostname = swarm.tables.nodes[node_id].hostname
        return Agent(node_id, ProcessRuntime(nodes_folder / hostname, parts), clock, report)

    swarm = EmbeddedSwarm(SwarmParts(clock, RandomIds(), ingress, new_agent))
    return swarm


async def _populate(swarm: EmbeddedSwarm, settings: EmbeddedSettings) -> None:
    ids = swarm.ids
    tokens = JoinTokens(worker=ids.new_join_token(), manager=ids.new_join_token())
    network_ids = (ids.new_id(), ids.new_id(), ids.new_id())
    await _must(
        swarm,
        InitCluster(at=swarm.clock.now(), id=ids.new_id(), spec={}, join_tokens=tokens, network_ids=network_ids),
    )
    for number in range(1, settings.nodes + 1):
        role = NodeRole.MANAGER if number == 1 else NodeRole.WORKER
        spec = {"Labels": {}, "Role": str(role), "Availability": str(Availability.ACTIVE)}
        description = _description(f"node{number}")
        await _must(
            swarm,
            AddNode(at=swarm.clock.now(), id=ids.new_id(), spec=spec, description=description, address=NODE_ADDRESS),
        )


async def _must(swarm: EmbeddedSwarm, command: Command) -> None:
    outcome = await swarm.propose(command)
    if isinstance(outcome, Rejected):
        raise SwarmctlError(ErrorCode.EMBEDDED_FAILED, "The embedded swarm did not start.", why=outcome.message)


def _description(hostname: str) -> JsonObject:
    """Return what a node says of itself: every node is this host."""
    return {
        "Hostname": hostname,
        "Platform": {"Architecture": platform.machine(), "OS": platform.system().lower()},
        "Resources": {"NanoCPUs": (os.cpu_count() or 1) * 1_000_000_000, "MemoryBytes": _memory_bytes()},
        "Engine": {"EngineVersion": "swarmctl-embedded"},
    }


def _memory_bytes() -> int:
    with contextlib.suppress(ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 0
