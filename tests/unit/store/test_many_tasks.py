"""Commands about many tasks: what can't be done to one of them keeps nobody else from it."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.commands import (
    AllocateTasks,
    AssignTask,
    AssignTasks,
    CreateNetwork,
    CreateService,
    CreateTask,
    CreateTasks,
    DescribeNode,
    ExplainTasks,
    RemoveTasks,
    SetDesiredState,
    SetDesiredStates,
    SetNodeState,
    UpdateService,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.nodes import NodeState
from reconciler.model.tasks import TaskState
from reconciler.store import snapshot
from tests.unit.store.conftest import NOW, Store
from tests.unit.store.replica import Replica


@pytest.fixture
def tasks(store: Store) -> tuple[str, ...]:
    template = {"ContainerSpec": {"Image": "app:1"}}
    store.do(CreateService(at=NOW, id="s1", spec={"Name": "web", "TaskTemplate": template}))
    version = store.tables.services["s1"].spec_version
    made = (("a", 1, ""), ("b", 2, ""), ("c", 3, ""))
    wanted = TaskState.RUNNING
    store.do(CreateTasks(at=NOW, service_id="s1", spec_version=version, desired_state=wanted, tasks=made))
    return ("a", "b", "c")


def test_tasks_are_created_alike_but_for_their_slots(store: Store, tasks: tuple[str, ...]) -> None:
    made = [store.tables.tasks[task_id] for task_id in tasks]
    assert [(task.slot, task.state, task.status.message) for task in made] == [
        (slot, TaskState.PENDING, "pending task scheduling") for slot in (1, 2, 3)
    ]
    assert len({(task.created_index, task.spec_version, task.service_id) for task in made}) == 1


@pytest.mark.parametrize(
    ("service_id", "version", "made", "code"),
    [
        ("nobody", 0, (("x", 1, ""),), ErrorCode.OBJECT_NOT_FOUND),
        ("s1", 99, (("x", 1, ""),), ErrorCode.STALE_VERSION),
        ("s1", 0, (("x", 1, ""), ("a", 2, "")), ErrorCode.NAME_CONFLICT),
    ],
)
@pytest.mark.usefixtures("tasks")
def test_creation_is_all_or_nothing(
    store: Store, service_id: str, version: int, made: tuple[tuple[str, int, str], ...], code: ErrorCode
) -> None:
    command = CreateTasks(
        at=NOW,
        service_id=service_id,
        spec_version=version or store.tables.services["s1"].spec_version,
        desired_state=TaskState.RUNNING,
        tasks=made,
    )
    assert store.refuse(command)[0] is code


def test_what_has_changed_meanwhile_is_not_placed_and_the_rest_is(store: Store, tasks: tuple[str, ...]) -> None:
    store.do(SetDesiredState(at=NOW, task_id="b", desired_state=TaskState.SHUTDOWN))
    places = (("a", "n1"), ("b", "n1"), ("c", "nowhere"), ("gone", "n1"))
    store.do(AssignTasks(at=NOW, message="placed", places=places))
    found = [(store.tables.tasks[one].node_id, store.tables.tasks[one].state) for one in tasks]
    assert found == [("n1", TaskState.ASSIGNED), ("", TaskState.SHUTDOWN), ("", TaskState.PENDING)]


def test_a_reason_is_told_to_those_that_wait(store: Store, tasks: tuple[str, ...]) -> None:
    store.do(AssignTask(at=NOW, task_id="a", node_id="n1", message="placed", resources=(("gpu", "x"), ("ssd", 2))))
    store.do(ExplainTasks(at=NOW, task_ids=(*tasks, "gone"), err="no suitable node"))
    assert [store.tables.tasks[one].status.err for one in tasks] == ["", *["no suitable node"] * 2]
    assert store.tables.tasks["a"].generic_resources == (("gpu", "x"), ("ssd", 2))


def test_desired_states_only_rise_and_tasks_are_forgotten_once(store: Store, tasks: tuple[str, ...]) -> None:
    store.do(SetDesiredState(at=NOW, task_id="a", desired_state=TaskState.REMOVE))
    store.do(SetDesiredStates(at=NOW, task_ids=(*tasks, "gone"), desired_state=TaskState.SHUTDOWN))
    desired = [store.tables.tasks[one].desired_state for one in tasks]
    assert desired == [TaskState.REMOVE, TaskState.SHUTDOWN, TaskState.SHUTDOWN]
    store.do(RemoveTasks(at=NOW, task_ids=("a", "gone", "a")))
    assert list(store.tables.tasks) == ["b", "c"]


def test_only_new_tasks_are_given_addresses(store: Store, tasks: tuple[str, ...]) -> None:
    before = dict(store.tables.tasks)
    store.do(AllocateTasks(at=NOW, task_ids=(*tasks, "gone")))
    assert store.tables.tasks == before


def test_what_a_node_tells_is_written_when_it_is_news(store: Store) -> None:
    node = store.tables.nodes["n1"]
    store.do(DescribeNode(at=NOW, id="n1", description=node.description, address=node.address))
    assert store.tables.nodes["n1"] == node
    store.do(DescribeNode(at=NOW, id="n1", description={"Hostname": "other"}, address="10.0.0.9"))
    changed = store.tables.nodes["n1"]
    assert (changed.hostname, changed.address, changed.version) == ("other", "10.0.0.9", store.tables.index)
    assert store.refuse(DescribeNode(at=NOW, id="nobody", description={}, address=""))[0] is ErrorCode.OBJECT_NOT_FOUND


def test_a_node_is_down_since_it_went_down(store: Store) -> None:
    for message in ("heartbeat failure", "told again"):
        later = NOW.replace(hour=5 if message == "told again" else 3)
        store.do(SetNodeState(at=later, id="n1", state=NodeState.DOWN, message=message))
    assert store.tables.nodes["n1"].state_since == NOW.replace(hour=3)


def test_addresses_and_resources_come_back_from_a_snapshot(store: Store, replica: Replica) -> None:
    replica.state.tables = store.tables
    store.do(CreateNetwork(at=NOW, id="net", spec={"Name": "net"}))
    template = {"ContainerSpec": {"Image": "app:1"}, "Networks": [{"Target": "net"}]}
    store.do(CreateService(at=NOW, id="s2", spec={"Name": "db", "TaskTemplate": template}))
    version = store.tables.services["s2"].spec_version
    made = (("t", 1, ""),)
    wanted = TaskState.RUNNING
    store.do(CreateTasks(at=NOW, service_id="s2", spec_version=version, desired_state=wanted, tasks=made))
    store.do(AssignTask(at=NOW, task_id="t", node_id="n1", message="placed", resources=(("gpu", "x"), ("ssd", 2))))
    again = snapshot.decode(snapshot.encode(replica.state)).tables
    assert again == store.tables
    assert again.indexes == store.tables.indexes
    assert again.tasks["t"].attachments == (("net", "10.0.1.3/24"),)


def test_the_same_decision_twice_in_the_log_counts_once(store: Store, tasks: tuple[str, ...]) -> None:
    version, wanted = store.tables.services["s1"].spec_version, TaskState.RUNNING
    again = (("d", 3, ""), ("e", 4, ""), ("f", 4, ""))
    store.do(CreateTasks(at=NOW, service_id="s1", spec_version=version, desired_state=wanted, tasks=again))
    assert list(store.tables.tasks) == [*tasks, "e"]
    plain: dict[str, Any] = {
        "at": NOW,
        "service_id": "s1",
        "spec_version": version,
        "node_id": "",
        "desired_state": wanted,
    }
    assert store.refuse(CreateTask(id="g", slot=1, **plain))[0] is ErrorCode.STALE_VERSION
    replacing = {**plain, "slot": 1, "shut_down": ("a",), "replaces": "a", "is_restart": True}
    store.do(CreateTask(id="h", **replacing))
    assert store.refuse(CreateTask(id="i", **replacing))[0] is ErrorCode.STALE_VERSION


def test_an_update_may_start_a_task_beside_the_old_one_and_only_one(store: Store, tasks: tuple[str, ...]) -> None:
    template = {"ContainerSpec": {"Image": "app:2"}}
    service = store.tables.services["s1"]
    store.do(UpdateService(at=NOW, id="s1", version=service.version, spec={"Name": "web", "TaskTemplate": template}))
    head: dict[str, Any] = {
        "at": NOW,
        "service_id": "s1",
        "spec_version": store.tables.services["s1"].spec_version,
        "node_id": "",
    }
    beside = {**head, "slot": 1, "desired_state": TaskState.RUNNING, "update_epoch": 7}
    store.do(CreateTask(id="new", **beside))
    assert store.refuse(CreateTask(id="newer", **beside))[0] is ErrorCode.STALE_VERSION
    assert store.tables.tasks[tasks[0]].is_live
