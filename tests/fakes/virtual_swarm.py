"""An embedded swarm without processes, in virtual time: the real store and brain, with nodes that obey at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from reconciler.agent.machine import Instruction, ending, next_instruction
from reconciler.model.commands import (
    AddNode,
    Applied,
    Command,
    CreateService,
    DescribeNode,
    InitCluster,
    Outcome,
    RemoveNode,
    ReportTask,
    SetNodeState,
    UpdateNode,
    UpdateService,
)
from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeRecord, NodeState
from reconciler.model.tables import JoinTokens, ServiceRecord, Tables, TaskRecord, TaskStatus
from reconciler.model.tasks import TaskState
from reconciler.orchestration.brain import Brain
from reconciler.store.apply import apply_noting

SECOND = 1_000_000_000
START = datetime(2030, 1, 1, tzinfo=UTC)
ROUNDS_MAX = 500
GIB = 1 << 30

ExitOf = Callable[[TaskRecord], int | None]
"""Says how a task that has just started ends at once (its exit code), or None if it goes on running."""

_REACHED = {
    Instruction.ACCEPT: (TaskState.ACCEPTED, "accepted"),
    Instruction.PREPARE: (TaskState.READY, "prepared"),
    Instruction.START: (TaskState.RUNNING, "started"),
    Instruction.STOP: (TaskState.SHUTDOWN, "shutdown"),
}


def service_spec(name: str = "web", *, replicas: int | None = 1, image: str = "app:1", **fields: Any) -> JsonObject:
    """Return a service's spec; `replicas` None makes it global. `task` fields go into its TaskTemplate."""
    task = fields.pop("task", {})
    mode: JsonObject = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    template = {"ContainerSpec": {"Image": image, "Command": ["run"]}, **task}
    return {"Name": name, "TaskTemplate": template, "Mode": mode, **fields}


class VirtualSwarm:
    """`check` is called after every single command with the tables as they are then."""

    def __init__(self, nodes: int = 3, check: Callable[[VirtualSwarm], None] | None = None) -> None:
        self.tables = Tables()
        self.now = START
        self.exits: ExitOf = lambda _task: None
        self.deaf: list[str] = []
        """Ids of nodes that neither obey nor report."""
        self.stubborn: list[str] = []
        """Ids of tasks that don't end when told to."""
        self._check = check
        self._ids = 0
        self.brain = Brain(self.tables)
        self.do(InitCluster(at=START, id="c", spec={}, join_tokens=JoinTokens("w", "m"), network_ids=("i", "b", "h")))
        for number in range(1, nodes + 1):
            self.add_node(f"node{number}", role="manager" if number == 1 else "worker")

    def new_id(self) -> str:
        self._ids += 1
        return f"id{self._ids:05}"

    def try_(self, command: Command) -> Outcome:
        outcome, changes = apply_noting(self.tables, command)
        self.brain.note(changes)
        if self._check is not None:
            self._check(self)
        return outcome

    def do(self, command: Command) -> str:
        outcome = self.try_(command)
        assert isinstance(outcome, Applied), outcome
        return outcome.id

    # --- nodes

    def add_node(self, hostname: str, role: str = "worker", **labels: str) -> str:
        spec = {"Role": role, "Availability": "active", "Labels": labels}
        gpus = [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}]
        resources = {"NanoCPUs": 4 * SECOND, "MemoryBytes": 8 * GIB, "GenericResources": gpus}
        description = {"Hostname": hostname, "Platform": {"OS": "linux"}, "Resources": resources}
        return self.do(AddNode(at=self.now, id=hostname, spec=spec, description=description, address="10.1.1.1"))

    def node(self, hostname: str) -> NodeRecord:
        return self.tables.nodes[hostname]

    def set_node(self, hostname: str, **fields: Any) -> None:
        node = self.node(hostname)
        self.do(UpdateNode(at=self.now, id=node.id, version=node.version, spec={**node.spec, **fields}))

    def describe(self, hostname: str, **fields: Any) -> None:
        node = self.node(hostname)
        description = {**node.description, **fields}
        self.do(DescribeNode(at=self.now, id=node.id, description=description, address=node.address))

    def lose_node(self, hostname: str) -> None:
        self.deaf.append(hostname)
        self.do(SetNodeState(at=self.now, id=hostname, state=NodeState.DOWN, message="heartbeat failure"))

    def find_node(self, hostname: str) -> None:
        self.deaf.remove(hostname)
        self.do(SetNodeState(at=self.now, id=hostname, state=NodeState.READY, message=""))

    def remove_node(self, hostname: str) -> None:
        self.do(RemoveNode(at=self.now, id=hostname, force=True))

    # --- services

    def create(self, spec: JsonObject) -> str:
        return self.do(CreateService(at=self.now, id=self.new_id(), spec=spec))

    def update(self, service_id: str, spec: JsonObject) -> None:
        version = self.tables.services[service_id].version
        self.do(UpdateService(at=self.now, id=service_id, version=version, spec=spec))

    def service(self, service_id: str) -> ServiceRecord:
        return self.tables.services[service_id]

    # --- tasks

    def tasks(self, service_id: str | None = None) -> list[TaskRecord]:
        return [task for task in self.tables.tasks.values() if service_id in (None, task.service_id)]

    def live(self, service_id: str | None = None) -> list[TaskRecord]:
        return [task for task in self.tasks(service_id) if task.is_live]

    def running(self, service_id: str | None = None) -> list[TaskRecord]:
        return [task for task in self.live(service_id) if task.state is TaskState.RUNNING]

    def exit(self, task: TaskRecord, exit_code: int = 1) -> None:
        result = ending(exit_code)
        self._report(task, TaskStatus(result.state, result.message, result.err, self.now, 1, exit_code))

    def _report(self, task: TaskRecord, status: TaskStatus) -> None:
        self.do(ReportTask(at=self.now, task_id=task.id, node_id=task.node_id, status=status))

    # --- time

    def settle(self) -> datetime | None:
        """Let brain and nodes work until nothing changes any more; return when the brain wants to go on."""
        for _ in range(ROUNDS_MAX):
            decision = self.brain.decide(self.now, self.new_id)
            outcomes = [self.try_(command) for command in decision.commands]
            moved = any(isinstance(outcome, Applied) for outcome in outcomes)
            if not (self._obey() or moved):
                return decision.wake_at
        raise AssertionError("the swarm does not come to rest")

    def advance(self, seconds: float) -> None:
        """Let virtual time pass, with a stop at each moment the brain asks for."""
        until = self.now + timedelta(seconds=seconds)
        for _ in range(ROUNDS_MAX):
            wake_at = self.settle()
            if wake_at is None or wake_at > until:
                self.now = until
                self.settle()
                return
            assert wake_at > self.now
            self.now = wake_at
        raise AssertionError("the brain wakes too often")

    def rest(self) -> None:
        """Let time pass until the brain asks for no more of it."""
        for _ in range(ROUNDS_MAX):
            wake_at = self.settle()
            if wake_at is None:
                return
            self.now = wake_at
        raise AssertionError("the swarm does not come to rest")

    def _obey(self) -> bool:
        moved = False
        for task in list(self.tables.tasks.values()):
            if not task.node_id or task.node_id in self.deaf or task.node_id not in self.tables.nodes:
                continue
            if task.state < TaskState.ASSIGNED or task.id in self.stubborn:
                continue
            moved = self._obey_one(task) or moved
        return moved

    def _obey_one(self, task: TaskRecord) -> bool:
        reached = _REACHED.get(next_instruction(task.state, task.desired_state))
        if reached is None:
            return False
        state, message = reached
        status = replace(task.status, state=state, message=message, timestamp=self.now)
        self._report(task, status)
        if state is TaskState.RUNNING and (code := self.exits(task)) is not None:
            self.exit(self.tables.tasks[task.id], code)
        return True
