"""Tasks in the store: states that only grow."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.model.commands import (
    AssignTask,
    CreateService,
    CreateTask,
    RemoveTask,
    ReportTask,
    SetDesiredState,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.tables import TaskRecord, TaskStatus
from reconciler.model.tasks import TaskState
from tests.unit.store.conftest import NOW, Store


@pytest.fixture
def task(store: Store) -> str:
    spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "app:1"}}}
    store.do(CreateService(at=NOW, id="s1", spec=spec))
    return new_task(store, "t1")


def new_task(store: Store, task_id: str, **fields: Any) -> str:
    version = store.tables.services["s1"].spec_version
    wanted: dict[str, Any] = {"slot": 1, "node_id": "", "desired_state": TaskState.RUNNING, "spec_version": version}
    return store.do(CreateTask(at=NOW, id=task_id, service_id="s1", **(wanted | fields)))


def seen(store: Store, task_id: str) -> TaskRecord:
    return store.tables.tasks[task_id]


def report(task_id: str, state: TaskState, node_id: str = "n1") -> ReportTask:
    return ReportTask(at=NOW, task_id=task_id, node_id=node_id, status=TaskStatus(state, "m", "", NOW, pid=7))


def assign(task_id: str, node_id: str = "n1") -> AssignTask:
    return AssignTask(at=NOW, task_id=task_id, node_id=node_id, message="scheduler assigned task to node")


def test_a_task_is_assigned_once(store: Store, task: str) -> None:
    store.do(assign(task))
    assert (seen(store, task).node_id, seen(store, task).state) == ("n1", TaskState.ASSIGNED)
    code, _ = store.refuse(assign(task))
    assert code is ErrorCode.STALE_VERSION


def test_a_late_report_of_a_lower_state_changes_nothing(store: Store, task: str) -> None:
    store.do(assign(task))
    store.do(report(task, TaskState.RUNNING))
    before = seen(store, task)
    store.do(report(task, TaskState.PREPARING))
    assert seen(store, task) == before
    assert before.running_at == NOW


def test_a_node_reports_its_own_tasks_only(store: Store, task: str) -> None:
    store.do(assign(task))
    _, text = store.refuse(report(task, TaskState.RUNNING, node_id="n2"))
    assert text == "rpc error: code = PermissionDenied desc = cannot update a task not assigned this node"


def test_a_desired_state_never_falls(store: Store, task: str) -> None:
    store.do(SetDesiredState(at=NOW, task_id=task, desired_state=TaskState.REMOVE))
    store.do(SetDesiredState(at=NOW, task_id=task, desired_state=TaskState.RUNNING))
    assert seen(store, task).desired_state is TaskState.REMOVE


def test_a_task_without_a_node_is_over_as_soon_as_nobody_wants_it(store: Store, task: str) -> None:
    store.do(SetDesiredState(at=NOW, task_id=task, desired_state=TaskState.SHUTDOWN))
    assert seen(store, task).state is TaskState.SHUTDOWN
    code, _ = store.refuse(assign(task))
    assert code is ErrorCode.STALE_VERSION


def test_a_replacement_and_the_end_of_the_replaced_are_one_step(store: Store, task: str) -> None:
    new_task(store, "t2", shut_down=(task,), replaces=task)
    assert seen(store, task).desired_state is TaskState.SHUTDOWN
    assert seen(store, "t2").replaces == task


def test_a_task_of_an_outdated_template_is_refused(store: Store, task: str) -> None:
    service = store.tables.services["s1"]
    command = CreateTask(
        at=NOW,
        id="t2",
        service_id="s1",
        spec_version=service.spec_version - 1,
        slot=2,
        node_id="",
        desired_state=TaskState.RUNNING,
    )
    assert store.refuse(command)[0] is ErrorCode.STALE_VERSION
    assert store.refuse(replace(command, service_id="gone"))[0] is ErrorCode.OBJECT_NOT_FOUND


def test_a_removed_task_is_gone(store: Store, task: str) -> None:
    store.do(RemoveTask(at=NOW, task_id=task))
    assert store.tables.tasks == {}
    assert store.refuse(report(task, TaskState.RUNNING))[0] is ErrorCode.OBJECT_NOT_FOUND
