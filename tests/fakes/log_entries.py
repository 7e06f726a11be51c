"""Makes entries for the store's log: sensible ones, refused ones, repeated ones, stale ones, and garbage.

All chance comes from the `Random` that is handed in, so that one seed is one log, in any process.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from reconciler.model.changes import TableKind
from reconciler.model.commands import (
    AddNode,
    AllocateTasks,
    AssignTask,
    AssignTasks,
    Claim,
    Command,
    CreateConfig,
    CreateNetwork,
    CreateSecret,
    CreateService,
    CreateTask,
    CreateTasks,
    DeleteRecord,
    DescribeNode,
    ExplainTask,
    ExplainTasks,
    InitCluster,
    PutRecord,
    RemoveConfig,
    RemoveNetwork,
    RemoveNode,
    RemoveSecret,
    RemoveService,
    RemoveTask,
    RemoveTasks,
    ReportTask,
    RollBackService,
    RotateJoinToken,
    SetDesiredState,
    SetDesiredStates,
    SetNodeState,
    SetUpdateStatus,
    UpdateCluster,
    UpdateConfig,
    UpdateNode,
    UpdateSecret,
    UpdateService,
)
from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeState
from reconciler.model.objects import NodeRole
from reconciler.model.tables import JoinTokens, TaskStatus, UpdateState
from reconciler.model.tasks import TaskState
from reconciler.model.transactions import Expectation, Transaction
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.machine import State

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MARK = "hunter2-never-shown"
"""Is in every secret's Data and every join token, and must be in no outcome."""

_TABLES = ("nodes", "networks", "secrets", "configs", "services", "tasks", "records")


class LogMaker:
    """Makes one entry after another for a store in the state that is given. Remembers what it made, to repeat it."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self._made: list[bytes] = []
        self._sequences: dict[str, int] = {}

    def entry(self, state: State) -> bytes:
        """Return the next entry: mostly one to five transactions, sometimes spoilt, sometimes no entry at all."""
        kind = self.chance.random()
        if kind < 0.05:
            return self.chance.randbytes(self.chance.randrange(40))
        transactions = [self._transaction(state) for _ in range(self.chance.choice((1, 1, 1, 2, 5)))]
        entry = encode_entry(transactions)
        return mutated(self.chance, entry) if kind < 0.15 else entry

    def _transaction(self, state: State) -> bytes:
        if self._made and self.chance.random() < 0.15:
            return self.chance.choice(self._made)
        client = self.chance.choice(("a", "b", "c", f"client{self.chance.randrange(50)}"))
        self._sequences[client] = self._sequences.get(client, 0) + self.chance.choice((1, 1, 1, 2))
        commands = tuple(self.command(state) for _ in range(self.chance.choice((1, 1, 1, 2, 4, 0))))
        made = encode_transaction(
            Transaction(client, self._sequences[client], commands, self._epoch(state), self._expectations(state))
        )
        if self.chance.random() < 0.03:
            made = mutated(self.chance, made)
        self._made = [*self._made[-30:], made]
        return made

    def _epoch(self, state: State) -> int | None:
        return self.chance.choice((None, None, state.epoch, state.epoch, max(state.epoch - 1, 0)))

    def _expectations(self, state: State) -> tuple[Expectation, ...]:
        if self.chance.random() < 0.8:
            return ()
        kind = self.chance.choice(tuple(TableKind))
        if kind in (TableKind.CLUSTER, TableKind.LEADERSHIP):
            return (Expectation(kind, "", self.chance.choice((0, state.epoch))),)
        known = self._id(state, f"{kind}s")
        return (Expectation(kind, known, self._version(state, f"{kind}s", known)),)

    def _id(self, state: State, table: str) -> str:
        """Return an id of the table, or one that is in none."""
        known = list(getattr(state.tables, table))
        return self.chance.choice(known) if known and self.chance.random() < 0.9 else "nobody"

    def _version(self, state: State, table: str, object_id: str) -> int:
        record = getattr(state.tables, table).get(object_id)
        version: int = record.version if record else 0
        return version if self.chance.random() < 0.8 else version + 1

    def command(self, state: State) -> Command:
        """Return a command about what is there, or about what is not."""
        made = self.chance.choice(
            (
                self._cluster,
                self._node,
                self._sealed,
                self._network,
                self._service,
                self._task,
                self._task,
                self._record,
            )
        )(state, NOON + timedelta(seconds=self.chance.randrange(10_000), microseconds=self.chance.randrange(3)))
        return self.chance.choice(made)

    def _name(self) -> str:
        return f"{self.chance.choice('abcdefgh')}{self.chance.randrange(9)}"

    def _cluster(self, state: State, at: datetime) -> tuple[Command, ...]:
        version = state.tables.cluster.version if state.tables.cluster else 0
        tokens = JoinTokens(MARK, MARK + "m")
        return (
            InitCluster(at=at, id="cluster", spec={}, join_tokens=tokens, network_ids=("ingress", "bridge", "host")),
            UpdateCluster(at=at, version=version, spec={"Labels": {self._name(): "x"}}),
            RotateJoinToken(at=at, role=self.chance.choice(tuple(NodeRole)), token=MARK + self._name()),
            Claim(at=at, leader=self._name()),
        )

    def _node(self, state: State, at: datetime) -> tuple[Command, ...]:
        node = self._id(state, "nodes")
        role, availability = self.chance.choice(("manager", "worker")), self.chance.choice(("active", "drain", "gone"))
        spec = {"Role": role, "Availability": availability, "Labels": {"zone": self._name()}}
        return (
            AddNode(at=at, id=self._name(), spec=spec, description={"Hostname": self._name()}, address="10.1.1.1"),
            UpdateNode(at=at, id=node, version=self._version(state, "nodes", node), spec=spec),
            SetNodeState(at=at, id=node, state=self.chance.choice(tuple(NodeState)), message="heard"),
            DescribeNode(at=at, id=node, description={"Hostname": self._name()}, address="10.1.1.2"),
            RemoveNode(at=at, id=node, force=self.chance.random() < 0.5),
        )

    def _sealed(self, state: State, at: datetime) -> tuple[Command, ...]:
        secret, config = self._id(state, "secrets"), self._id(state, "configs")
        data = base64.b64encode(f"{MARK}{self._name()}".encode()).decode()
        spec = {"Name": self._name(), "Data": self.chance.choice((data, data, MARK)), "Labels": {"a": self._name()}}
        labels: JsonObject = {"Name": self._name(), "Labels": {"b": "c"}}
        return (
            *[CreateSecret(at=at, id=f"s{self._name()}", spec=spec)] * 3,
            UpdateSecret(at=at, id=secret, version=self._version(state, "secrets", secret), spec=labels),
            RemoveSecret(at=at, id=secret),
            *[CreateConfig(at=at, id=f"c{self._name()}", spec=spec)] * 3,
            UpdateConfig(at=at, id=config, version=self._version(state, "configs", config), spec=labels),
            RemoveConfig(at=at, id=config),
        )

    def _network(self, state: State, at: datetime) -> tuple[Command, ...]:
        pool = {"Subnet": self.chance.choice(("10.9.0.0/24", "10.9.0.0/16", "fd00::/64", 5, "nonsense"))}
        spec: JsonObject = {"Name": self._name(), "Options": {"x": [1, 2.5, None, {"deep": True}]}}
        if self.chance.random() < 0.5:
            spec["IPAM"] = {"Config": [pool]}
        return (
            *[CreateNetwork(at=at, id=f"n{self._name()}", spec=spec)] * 3,
            RemoveNetwork(at=at, id=self._id(state, "networks")),
        )

    def service_spec(self, state: State) -> JsonObject:
        spec: JsonObject = {
            "Name": self._name(),
            "TaskTemplate": {"ContainerSpec": {"Image": f"app:{self.chance.randrange(3)}", "Env": ["A=1"]}},
            "Mode": self.chance.choice(({"Global": {}}, {"Replicated": {"Replicas": 2}}, {"ReplicatedJob": {}}, [3])),
            "Labels": {"n": self._name()},
        }
        if self.chance.random() < 0.4:
            spec["EndpointSpec"] = {"Ports": [{"TargetPort": 80, "PublishedPort": self.chance.choice((0, 8080))}]}
        if self.chance.random() < 0.3:
            spec["TaskTemplate"]["Networks"] = [{"Target": self._id(state, "networks")}]
        if self.chance.random() < 0.3:
            reference = {"SecretID": self._id(state, "secrets"), "SecretName": "x"}
            spec["TaskTemplate"]["ContainerSpec"]["Secrets"] = [reference]
        return spec

    def _service(self, state: State, at: datetime) -> tuple[Command, ...]:
        service = self._id(state, "services")
        version, known = self._version(state, "services", service), state.tables.services.get(service)
        spec = self.service_spec(state)
        if known is not None:
            spec = {**spec, "Name": known.name, "Mode": known.spec["Mode"]}
        update = self.chance.choice(tuple(UpdateState))
        return (
            *[CreateService(at=at, id=f"s{self._name()}", spec=self.service_spec(state)) for _ in range(4)],
            UpdateService(at=at, id=service, version=version, spec=spec),
            RollBackService(at=at, id=service, version=version, message="back", by_hand=self.chance.random() < 0.5),
            SetUpdateStatus(
                at=at, service_id=service, spec_version=known.spec_version if known else 1, state=update, message="m"
            ),
            RemoveService(at=at, id=service),
        )

    def _task(self, state: State, at: datetime) -> tuple[Command, ...]:
        task, service, node = (self._id(state, table) for table in ("tasks", "services", "nodes"))
        known, record = state.tables.services.get(service), state.tables.tasks.get(task)
        reached = self.chance.choice(tuple(TaskState))
        status = TaskStatus(reached, "seen", "", at, pid=self.chance.choice((None, 5)), address="127.0.0.1")
        new: dict[str, Any] = {
            "service_id": service,
            "spec_version": known.spec_version if known else 1,
            "slot": self.chance.randrange(40),
            "node_id": self.chance.choice(("", node)),
            "shut_down": self.chance.choice(((), (task,))),
            "start_after": self.chance.choice((None, at)),
        }
        create = CreateTask(at=at, id=f"t{self.chance.randrange(500)}", desired_state=TaskState.RUNNING, **new)
        resources = self.chance.choice(((), (("gpu", "a"), ("ssd", 2))))
        return (
            *[create] * 6,
            AssignTask(at=at, task_id=task, node_id=node, message="placed", resources=resources),
            ExplainTask(at=at, task_id=task, err="no node"),
            SetDesiredState(at=at, task_id=task, desired_state=reached),
            ReportTask(at=at, task_id=task, node_id=record.node_id if record else node, status=status),
            RemoveTask(at=at, task_id=task),
            self._tasks(state, at),
        )

    def _tasks(self, state: State, at: datetime) -> Command:
        """Return one of the commands about many tasks."""
        service, nodes = self._id(state, "services"), [self._id(state, "nodes") for _ in range(3)]
        ids, known = tuple(self._id(state, "tasks") for _ in range(3)), state.tables.services.get(service)
        version = known.spec_version if known else 1
        made = tuple((f"t{self.chance.randrange(500)}", self.chance.randrange(40), node) for node in nodes)
        return self.chance.choice(
            (
                CreateTasks(at=at, service_id=service, spec_version=version, desired_state=TaskState.READY, tasks=made),
                AllocateTasks(at=at, task_ids=ids),
                AssignTasks(at=at, message="placed", places=tuple(zip(ids, nodes, strict=True))),
                ExplainTasks(at=at, task_ids=ids, err="no node"),
                SetDesiredStates(at=at, task_ids=ids, desired_state=self.chance.choice(tuple(TaskState))),
                RemoveTasks(at=at, task_ids=ids[:1]),
            )
        )

    def _record(self, state: State, at: datetime) -> tuple[Command, ...]:
        namespace, key = self.chance.choice(("history", "members", "no/good")), f"{self.chance.randrange(30):03}"
        version = self.chance.choice((None, None, self._version(state, "records", f"{namespace}/{key}")))
        value = self.chance.randbytes(self.chance.randrange(100))
        return (
            PutRecord(at=at, namespace=namespace, key=key, value=value, version=version),
            PutRecord(at=at, namespace=namespace, key=key, value=value),
            DeleteRecord(at=at, namespace=namespace, key=key, version=version),
        )


def mutated(chance: Random, data: bytes) -> bytes:
    """Return `data` with a few bytes changed, cut out, doubled or put in."""
    spoilt = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        position = chance.randrange(len(spoilt) + 1)
        how = chance.randrange(5)
        if how == 0:
            spoilt[position : position + 1] = bytes((chance.randrange(256),))
        elif how == 1:
            del spoilt[position : position + chance.choice((1, 2, 30))]
        elif how == 2:
            spoilt[position:position] = chance.randbytes(chance.choice((1, 1, 4)))
        elif how == 3:
            spoilt[position:position] = spoilt[position : position + chance.randrange(40)]
        else:
            deep = chance.choice((b"\x91", b"\x81", b"\x81\xa1k")) * chance.choice((3, 70, 3000))
            spoilt[position:position] = deep
    return bytes(spoilt)


def sizes(state: State) -> tuple[int, ...]:
    """Return how many objects each table has, to see that a made log does something."""
    return tuple(len(getattr(state.tables, table)) for table in _TABLES)
