"""What keeps tasks that are processes within their limits, on this host and on others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.process_runtime import ControlGroups, Escapees, LoopbackAddresses, ProcessRuntime, RuntimeParts
from reconciler.adapters.process_runtime.environment import DEFAULT_SEARCH_PATH
from reconciler.adapters.process_runtime.limits import Limited, limits_of
from reconciler.model.assignments import Assignment
from reconciler.model.errors import SwarmctlError
from reconciler.model.tasks import TaskState

MIB = 1 << 20
ALLOWANCE = {"MemoryBytes": 64 * MIB, "NanoCPUs": 500_000_000, "Pids": 50}


def assignment(*command: str, limits: dict[str, int] | None = None, **container: Any) -> Assignment:
    spec = {
        "ContainerSpec": {"Image": "none:1", "Command": list(command), **container},
        "Resources": {"Limits": limits or {}},
    }
    return Assignment("limited-t1", "s1", "web", {}, 1, "n1", "node1", TaskState.RUNNING, spec)


def a_runtime(folder: Path, groups: ControlGroups) -> ProcessRuntime:
    parts = RuntimeParts(LoopbackAddresses(str(folder)), Escapees(), DEFAULT_SEARCH_PATH, groups)
    return ProcessRuntime(folder, parts)


async def output_of(folder: Path, task: Assignment, groups: ControlGroups) -> tuple[int, str]:
    """Return how a task has ended, and what it has printed."""
    runtime = a_runtime(folder, groups)
    await runtime.recover([], [])
    await runtime.prepare(task)
    await runtime.start(task)
    code = await runtime.wait(task.task_id)
    printed = "\n".join(line.words for line in await runtime.output(task.task_id, 100))
    await runtime.forget(task.task_id)
    return code, printed


def a_v2_host(root: Path) -> ControlGroups:
    (root / "cgroup.controllers").write_text("cpu memory pids")
    return ControlGroups(root)


def test_a_group_of_version_2_has_the_limits_and_the_process(tmp_path: Path) -> None:
    groups = a_v2_host(tmp_path)
    groups.put("t1", 4711, limits_of(assignment("true", limits=ALLOWANCE)))
    found = {path.name: path.read_text() for path in (tmp_path / "swarmctl" / "t1").iterdir()}
    assert found == {
        "memory.max": str(64 * MIB),
        "cpu.max": "50000 100000",
        "pids.max": "50",
        "cgroup.procs": "4711",
    }
    told = groups.told()
    assert (told["CgroupVersion"], told["MemoryLimit"], told["PidsLimit"]) == ("2", True, True)
    assert not [text for text in told["Warnings"] if "limit support" in text]


def test_a_host_without_groups_says_so(tmp_path: Path) -> None:
    told = ControlGroups(tmp_path / "nothing").told()
    assert (told["MemoryLimit"], told["CpuCfsQuota"], told["PidsLimit"], told["CgroupDriver"]) == (
        False,
        False,
        False,
        "none",
    )
    assert [text.split(":")[0] for text in told["Warnings"]] == ["WARNING"] * 4


async def test_without_groups_each_process_is_limited_before_it_runs(tmp_path: Path) -> None:
    task = assignment(
        "sh",
        "-c",
        "ulimit -d; ulimit -n; ulimit -Hn",
        limits=ALLOWANCE,
        Ulimits=[{"Name": "nofile", "Soft": 100, "Hard": 200}],
    )
    code, printed = await output_of(tmp_path / "node", task, ControlGroups(tmp_path))
    assert (code, printed.split()) == (0, [str(64 * 1024), "100", "200"])


async def test_this_hosts_own_groups_limit_a_task_and_go_with_it(tmp_path: Path) -> None:
    groups = ControlGroups()
    if not groups.told()["PidsLimit"]:
        pytest.skip("this host lets nobody limit processes")
    task = assignment("sh", "-c", "grep -c swarmctl/limited-t1 /proc/self/cgroup", limits=ALLOWANCE)
    code, printed = await output_of(tmp_path, task, groups)
    assert code == 0
    assert int(printed) >= 1
    assert not os.path.exists("/sys/fs/cgroup/pids/swarmctl/limited-t1")  # noqa: ASYNC240 - a look
    assert not os.path.exists("/sys/fs/cgroup/swarmctl/limited-t1")  # noqa: ASYNC240 - a look


async def test_limits_that_cant_be_had_refuse_the_task(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path / "node", ControlGroups(tmp_path))
    task = assignment("sleep", "1000", Ulimits=[{"Name": "nofile", "Soft": 200, "Hard": 100}])
    await runtime.recover([], [])
    await runtime.prepare(task)
    with pytest.raises(SwarmctlError, match="its limits can't be set"):
        await runtime.start(task)
    await runtime.forget(task.task_id)
    with pytest.raises(SwarmctlError, match="invalid ulimit type: dreams"):
        limits_of(assignment("true", Ulimits=[{"Name": "dreams", "Soft": 1, "Hard": 1}]))


def test_no_limit_is_none() -> None:
    assert not limits_of(assignment("true", limits={"MemoryBytes": 0, "Pids": -1}))
    assert limits_of(assignment("true", limits=ALLOWANCE)).amounts[Limited.CPU] == 500_000_000


def test_groups_of_version_1_that_another_user_has_made_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "memory" / "swarmctl"
    ours.mkdir(parents=True)
    (tmp_path / "memory" / "cgroup.procs").touch()
    assert ControlGroups(tmp_path).told()["MemoryLimit"] is True
    # Root may write everywhere, and so a test that runs as root must be told that it may not.
    monkeypatch.setattr(os, "access", lambda path, _mode: path != ours)
    assert ControlGroups(tmp_path).told()["MemoryLimit"] is False
