"""A few machines in one process, each with its own API socket, whose tasks only look as if they ran.

The store, the brain and the API are the real ones. Joining and leaving are the least that the CLI's steps need: one
set of tables, and a node in it for each machine that joined.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from reconciler.adapters.clock import RandomIds, SystemClock
from reconciler.agent.machine import Instruction, ending, next_instruction
from reconciler.api import serve_node
from reconciler.api.faults import Refused
from reconciler.api.ports import LocalState, Standing
from reconciler.manager.chronicle import Chronicle
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.manager.shapes import network_object
from reconciler.manager.subscribers import Subscribers
from reconciler.model.commands import AddNode, Applied, Command, InitCluster, Outcome, ReportTask, SetNodeState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeState
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.output import STDOUT, LogLine
from reconciler.model.replication import Backup
from reconciler.model.tables import (
    DEFAULT_ADDRESS_POOL,
    DEFAULT_DATA_PATH_PORT,
    DEFAULT_SUBNET_SIZE,
    JoinTokens,
    Tables,
    TaskRecord,
)
from reconciler.model.tasks import TaskState
from reconciler.model.transactions import Transaction
from reconciler.orchestration.brain import Brain
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.machine import State, apply

IMAGES = frozenset({"busybox:latest", "busybox:v2", "alpine:latest", "nginx:latest", "nginx:new", "nginx:alpine"})
TEST_IMAGES = frozenset({"swarmctl-test:1", "swarmctl-test:2"})
PLUGINS = [("Log", "json-file"), ("Network", "bridge"), ("Network", "overlay"), ("Volume", "local")]
UNHEARD = "heartbeat failure"
LEAVING = "You are attempting to leave the swarm on a node that is participating as a manager. "
LAST = "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. "
ONLY_WAY = (
    "The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. "
    "Use `--force` to suppress this message."
)
_REACHED = {
    Instruction.ACCEPT: (TaskState.ACCEPTED, "accepted"),
    Instruction.PREPARE: (TaskState.READY, "prepared"),
    Instruction.START: (TaskState.RUNNING, "started"),
    Instruction.STOP: (TaskState.SHUTDOWN, "shutdown"),
}


class Swarm:
    """Tables, brain and pretended nodes; what EmbeddedCluster needs of a manager."""

    def __init__(self) -> None:
        self._state = State()
        self._brain = Brain(self._state.tables)
        self._sequence = 0
        self._chronicle = Chronicle()
        self._changed = asyncio.Event()
        self._ends: dict[str, tuple[float, int]] = {}
        self.clock, self.ids = SystemClock(), RandomIds()
        self.subscribers = Subscribers(lambda: self.tables.index)

    @property
    def tables(self) -> Tables:
        return self._state.tables

    async def propose(self, *commands: Command) -> Outcome:
        return self.commit(*commands)

    async def task_output(self, task_id: str, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        words = shlex.split(" ".join(_words(self.tables.tasks[task_id])))
        at_ns = int(self.clock.now().timestamp()) * 10**9
        printed = LogLine(STDOUT, at_ns, " ".join(words[1:]).encode())
        return (printed,) if words[:1] == ["echo"] and tail_lines and at_ns > since_ns else ()

    def commit(self, *commands: Command) -> Outcome:
        self._sequence += 1
        encoded = encode_transaction(Transaction("stand-in", self._sequence, commands))
        result = apply(self._state, self._state.index + 1, encode_entry([encoded]))
        self._brain.note(result.changes)
        if isinstance(result.outcomes[0], Applied):
            self._changed.set()
        for event in result.events:
            attributes = self._chronicle.attributes(event, self.tables)
            at = commands[0].at.timestamp()
            told = ClusterEvent(str(event.kind), event.action, event.object_id, event.name, at, attributes)
            self.subscribers.publish(told, self.tables.index)
        return result.outcomes[0]

    def must(self, command: Command) -> None:
        outcome = self.commit(command)
        if not isinstance(outcome, Applied):
            raise SwarmctlError(ErrorCode.REQUEST_REFUSED, "refused", why=outcome.message)

    async def run(self) -> None:
        while True:
            self._changed.clear()
            wake_at = self._settle()
            ends = [at for at, _ in self._ends.values()]
            if wake_at is not None:
                ends.append((wake_at - self.clock.now()).total_seconds() + self.clock.monotonic_s())
            delay_s = max(min(ends) - self.clock.monotonic_s(), 0.0) if ends else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), delay_s)

    def _settle(self) -> Any:
        for _ in range(500):
            decision = self._brain.decide(self.clock.now(), self.ids.new_id)
            outcomes = [self.commit(command) for command in decision.commands]
            moved = [self._obey(task) for task in list(self.tables.tasks.values())]
            if not any(moved) and not any(isinstance(outcome, Applied) for outcome in outcomes):
                return decision.wake_at
        return self.clock.now() + timedelta(seconds=1)

    def _obey(self, task: TaskRecord) -> bool:
        node = self.tables.nodes.get(task.node_id)
        if node is None or node.state is not NodeState.READY or task.state < TaskState.ASSIGNED:
            return False
        if task.id in self._ends and self._ends[task.id][0] <= self.clock.monotonic_s():
            _, code = self._ends.pop(task.id)
            if task.state is TaskState.RUNNING:
                result = ending(code)
                self._report(task, state=result.state, message=result.message, err=result.err, exit_code=code)
                return True
        instruction = next_instruction(task.state, task.desired_state)
        image = _tagged(str(task.spec["ContainerSpec"]["Image"]))
        if instruction is Instruction.PREPARE and image not in IMAGES | TEST_IMAGES:
            self._report(task, state=TaskState.REJECTED, message="preparing", err=f"No such image: {image}")
            return True
        reached = _REACHED.get(instruction)
        if reached is None:
            return False
        self._report(task, state=reached[0], message=reached[1], pid=4321)
        if reached[0] is TaskState.RUNNING and (end := _end(_words(task))) is not None:
            self._ends[task.id] = (self.clock.monotonic_s() + end[0], end[1])
        return True

    def _report(self, task: TaskRecord, **fields: Any) -> None:
        status = replace(task.status, timestamp=self.clock.now(), **fields)
        self.commit(ReportTask(at=self.clock.now(), task_id=task.id, node_id=task.node_id, status=status))


def _words(task: TaskRecord) -> list[str]:
    container = task.spec["ContainerSpec"]
    return [*(container.get("Command") or ()), *(container.get("Args") or ())]


def _end(words: list[str]) -> tuple[float, int] | None:
    """Return after how many seconds a command ends, and with which code; None if it goes on."""
    if words[:2] == ["sh", "-c"]:
        words = words[2].split(";")[-1].split()
    match words:
        case ["true"] | ["echo", *_]:
            return 0.0, 0
        case ["false"]:
            return 0.0, 1
        case ["exit", code]:
            return 0.0, int(code)
        case ["sleep", seconds] if float(seconds) < 60:
            return float(seconds), 0
    return None


def _tagged(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


@dataclass
class Machine:
    """One machine, in a swarm or not: a LocalNode."""

    world: World
    number: int
    address: str
    hostname: str
    host: str = ""
    swarm: Swarm | None = None
    node_id: str = ""
    engine_host: str | None = field(default=None)

    async def do(self, verb: str) -> None:
        """Let the swarm hear no more of this node, or hear of it again; its tasks are as dead as the daemon was."""
        assert self.swarm is not None
        swarm, node_id = self.swarm, self.node_id
        if verb in ("stop", "kill", "restart"):
            swarm.must(SetNodeState(at=swarm.clock.now(), id=node_id, state=NodeState.DOWN, message=UNHEARD))
        if verb in ("start", "restart") and node_id in swarm.tables.nodes:
            swarm.must(SetNodeState(at=swarm.clock.now(), id=node_id, state=NodeState.READY, message=""))

    def standing(self) -> Standing:
        node = self.swarm.tables.nodes.get(self.node_id) if self.swarm else None
        if self.swarm is None or node is None:
            return Standing(LocalState.INACTIVE)
        managers = [one for one in self.swarm.tables.nodes.values() if one.role is NodeRole.MANAGER]
        return Standing(
            LocalState.ACTIVE,
            EmbeddedCluster(self.swarm, "stand-in") if node.role is NodeRole.MANAGER else None,  # type: ignore[arg-type]
            self.node_id,
            self.address,
            "",
            {one.id: f"{one.address}:2377" for one in managers},
            self.description()["TLSInfo"],
            node_networks=self._networks(),
        )

    def _networks(self) -> tuple[ObservedObject, ...]:
        """Return the swarm's networks that a worker knows."""
        assert self.swarm is not None
        tables = self.swarm.tables
        tasks = [task for task in tables.tasks.values() if task.node_id == self.node_id and not task.has_ended]
        wanted = {network_id for task in tasks for network_id, _ in task.attachments}
        found = [one for one in tables.networks.values() if one.spec.get("Ingress") or one.id in wanted]
        return tuple(network_object(one) for one in found if not one.is_predefined)

    def description(self) -> JsonObject:
        tls = {"TrustRoot": "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"}
        return {
            "Hostname": self.hostname,
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 8_000_000_000},
            "Engine": {"EngineVersion": "20.10.24", "Plugins": [{"Type": t, "Name": n} for t, n in PLUGINS]},
            "TLSInfo": {**tls, "CertIssuerSubject": "MBMx", "CertIssuerPublicKey": "MFkw"},
        }

    async def init(self, request: JsonObject) -> str:
        swarm = Swarm()
        ids = swarm.ids
        tokens = JoinTokens(ids.new_join_token(), ids.new_join_token())
        asked = request.get("DefaultAddrPool")
        swarm.must(
            InitCluster(
                at=swarm.clock.now(),
                id=ids.new_id(),
                spec=request.get("Spec") or {},
                join_tokens=tokens,
                network_ids=(ids.new_id(), ids.new_id(), ids.new_id()),
                default_addr_pool=DEFAULT_ADDRESS_POOL if asked is None else tuple(asked),
                subnet_size=request.get("SubnetSize") or DEFAULT_SUBNET_SIZE,
                data_path_port=request.get("DataPathPort") or DEFAULT_DATA_PATH_PORT,
            )
        )
        self._enter(swarm, NodeRole.MANAGER, request)
        self.world.start(swarm)
        return self.node_id

    def _enter(self, swarm: Swarm, role: NodeRole, request: JsonObject) -> None:
        spec: JsonObject = {"Role": str(role), "Availability": request.get("Availability") or "active", "Labels": {}}
        node_id = swarm.ids.new_id()
        told = self.description()
        swarm.must(AddNode(at=swarm.clock.now(), id=node_id, spec=spec, description=told, address=self.address))
        self.swarm, self.node_id = swarm, node_id

    async def join(self, request: JsonObject) -> None:
        token, remote = request.get("JoinToken"), str(request["RemoteAddrs"][0]).rpartition(":")[0]
        other = next((one for one in self.world.machines if one.address == remote), None)
        if str(token).count("-") != 3 or len(str(token)) != 85:
            raise SwarmctlError(ErrorCode.REQUEST_REFUSED, "no token", why="invalid join token")
        if other is None or other.standing().cluster is None:
            text = f"dial tcp {request['RemoteAddrs'][0]}: connect: connection refused"
            why = (
                f'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing {text}"'
            )
            raise SwarmctlError(ErrorCode.REQUEST_REFUSED, "nobody there", why=why)
        assert other.swarm is not None
        assert other.swarm.tables.cluster is not None
        tokens = other.swarm.tables.cluster.join_tokens
        roles = {tokens.worker: NodeRole.WORKER, tokens.manager: NodeRole.MANAGER}
        if token not in roles:
            why = "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster"
            raise SwarmctlError(ErrorCode.REQUEST_REFUSED, "wrong token", why=why)
        self._enter(other.swarm, roles[token], request)

    async def leave(self, *, force: bool) -> None:
        assert self.swarm is not None
        standing = self.standing()
        if standing.cluster is not None and not force:
            why = LEAVING + (LAST if len(standing.remote_managers) == 1 else ONLY_WAY)
            raise Refused(503, why)
        swarm, node_id = self.swarm, self.node_id
        self.swarm, self.node_id = None, ""
        if len(standing.remote_managers) == 1 and standing.cluster is not None:
            self.world.end(swarm)
        else:
            swarm.must(SetNodeState(at=swarm.clock.now(), id=node_id, state=NodeState.DOWN, message=UNHEARD))

    async def unlock(self, key: str) -> None:
        raise AssertionError("it is never locked")

    async def unlock_key(self) -> str:
        return ""

    def backup(self) -> contextlib.AbstractAsyncContextManager[Backup]:
        raise AssertionError("no scenario asks for one")

    async def update_swarm(
        self, version: int, spec: JsonObject, *, rotate: Collection[NodeRole] = (), rotate_unlock_key: bool = False
    ) -> None:
        cluster = self.standing().cluster
        assert cluster is not None
        await cluster.update(Kind.SWARM, "", version, spec, rotate=rotate)


class World:
    """`machines` of the numbers 1 to 5."""

    def __init__(self, machines: int) -> None:
        names = ("node1", "node2", "node3", "node4" if machines > 4 else "outsider", "node5")  # as in the lab
        self.machines = [Machine(self, n, f"10.220.0.{n}", names[n - 1]) for n in range(1, machines + 1)]
        self._running: dict[int, asyncio.Task[None]] = {}

    def start(self, swarm: Swarm) -> None:
        self._running[id(swarm)] = asyncio.get_running_loop().create_task(swarm.run())

    def end(self, swarm: Swarm) -> None:
        self._running.pop(id(swarm)).cancel()
        swarm.subscribers.close()

    def end_all(self) -> None:
        for running in self._running.values():
            running.cancel()


@contextlib.asynccontextmanager
async def a_world(folder: Path, machines: int = 5) -> AsyncIterator[World]:
    """Serve fresh machines on sockets in `folder`."""
    world = World(machines)
    async with contextlib.AsyncExitStack() as stack:
        for machine in world.machines:
            server = await stack.enter_async_context(serve_node(machine, f"unix://{folder}/{machine.number}.sock"))
            machine.host = server.host
        try:
            yield world
        finally:
            world.end_all()
