"""Tasks of an embedded swarm are real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from reconciler.adapters.process_runtime.output import last_lines
from reconciler.model.objects import Kind
from reconciler.model.tasks import TaskState
from tests.simulation.live import SECOND, Live, b64, is_alive, pid_of, script, spec


def all_files(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


def secret_files(folder: Path) -> list[Path]:
    return list(folder.glob("nodes/*/tasks/*/run/secrets/*"))


def exists(path: str) -> bool:
    return Path(path).exists()


async def test_three_nodes_run_a_service(live: Live) -> None:
    web = await live.create(spec("web", "sleep", "1000", replicas=6))
    tasks = await live.running(web, 6)
    assert len({task.node_id for task in tasks}) == 3
    assert all(is_alive(pid_of(task)) for task in tasks)


async def test_a_killed_task_is_replaced_in_its_slot(live: Live) -> None:
    web = await live.create(spec("web", "sleep", "1000", replicas=2))
    first = await live.running(web, 2)
    os.kill(pid_of(first[0]), signal.SIGKILL)
    failed = await live.ended(web, TaskState.FAILED)
    assert (failed.id, failed.exit_code, failed.error) == (first[0].id, 137, "task: non-zero exit (137)")
    second = await live.running(web, 2)
    assert second[0].slot == first[0].slot
    assert second[0].id != first[0].id
    assert second[1].id == first[1].id


@pytest.mark.parametrize(
    ("code", "state", "error"),
    [(0, TaskState.COMPLETE, ""), (7, TaskState.FAILED, "task: non-zero exit (7)")],
)
async def test_a_task_that_ends_shows_its_exit_code(live: Live, code: int, state: TaskState, error: str) -> None:
    never = {"RestartPolicy": {"Condition": "none"}}
    once = await live.create(script("once", f"echo bye; exit {code}", task=never))
    task = await live.ended(once, state)
    assert (task.exit_code, task.error) == (code, error)
    assert await live.log_with(task, "bye") == ("bye",)


async def test_environment_templates_and_working_directory(live: Live) -> None:
    text = 'echo "$NAME $HOSTNAME $SWARM_TASK_IP"; pwd; echo "$HOME"; env | grep -c ^SECRET_OF_THE_HOST; sleep 1000'
    container = {"Env": ["NAME={{.Service.Name}}.{{.Task.Slot}} on {{.Node.Hostname}}"], "Dir": "/work"}
    web = await live.create(script("web", text, container=container))
    (task,) = await live.running(web, 1)
    folder = live.task_folder(task)
    address = live.cluster.tables.tasks[task.id].status.address
    hostname = live.cluster.tables.nodes[task.node_id].hostname
    lines = await live.log_with(task, "0")
    assert lines == (f"web.1 on {hostname} {task.id[:12]} {address}", f"{folder}/work", str(folder), "0")
    assert address.startswith("127.")


async def test_secrets_and_configs_are_files_and_secrets_vanish_at_the_end(live: Live) -> None:
    secret_id = await live.cluster.create(Kind.SECRET, {"Name": "key", "Data": b64(b"hush")})
    config_id = await live.cluster.create(Kind.CONFIG, {"Name": "conf", "Data": b64(b"open")})
    container = {
        "Secrets": [
            {"SecretID": secret_id, "SecretName": "key", "File": {"Name": "key", "Mode": 0o444}},
            {"SecretID": secret_id, "SecretName": "key", "File": {"Name": "/etc/deep/key", "Mode": 0o444}},
        ],
        "Configs": [{"ConfigID": config_id, "ConfigName": "conf", "File": {"Name": "/etc/conf", "Mode": 0o640}}],
    }
    text = 'cat "$SWARM_TASK_DIR/run/secrets/key" "$SWARM_TASK_DIR/etc/conf"; echo; sleep 1000'
    web = await live.create(script("web", text, container=container))
    (task,) = await live.running(web, 1)
    assert await live.log_with(task, "hushopen") == ("hushopen",)
    folder = live.task_folder(task)
    secrets = [folder / "run/secrets/key", folder / "etc/deep/key"]
    assert [oct(path.stat().st_mode & 0o777) for path in secrets] == ["0o400", "0o400"]
    assert oct((folder / "etc/conf").stat().st_mode & 0o777) == "0o640"
    assert oct((folder / "run/secrets").stat().st_mode & 0o777) == "0o700"

    os.kill(pid_of(task), signal.SIGKILL)
    await live.ended(web, TaskState.FAILED)
    assert not any(path.exists() for path in secrets)
    assert (folder / "etc/conf").exists()


@pytest.mark.parametrize("end", ["reject", "drop"])
async def test_a_task_that_never_runs_leaves_no_secret_behind(live: Live, end: str) -> None:
    secret_id = await live.cluster.create(Kind.SECRET, {"Name": "key", "Data": b64(b"hush")})
    file = {"Name": "key", "Mode": 0o444}
    container = {"Secrets": [{"SecretID": secret_id, "SecretName": "key", "File": file}]}
    never = {"RestartPolicy": {"Condition": "none"}}
    if end == "reject":
        web = await live.create(spec("web", "no-such-program", container=container, task=never))
        await live.ended(web, TaskState.REJECTED)
    else:
        web = await live.create(
            script("web", "exit 1", container=container, task={"RestartPolicy": {"Delay": 60 * SECOND}})
        )
        await live.until(
            "a replacement is ready",
            lambda actual: any(task.state is TaskState.READY for task in actual.tasks_of(web)),
        )
        assert len(secret_files(live.folder)) == 1
        await live.update(web, script("web", "exit 1", replicas=0))
        await live.until("the replacement is gone", lambda actual: not list(actual.tasks_of(web)))
    assert secret_files(live.folder) == []


async def test_a_task_that_bends_its_folder_ends_like_any_other(live: Live, tmp_path: Path) -> None:
    secret_id = await live.cluster.create(Kind.SECRET, {"Name": "key", "Data": b64(b"hush")})
    file = {"Name": "key", "Mode": 0o444}
    container = {"Secrets": [{"SecretID": secret_id, "SecretName": "key", "File": file}]}
    never = {"RestartPolicy": {"Condition": "none"}}
    outside = tmp_path / "key"
    outside.write_text("mine")
    for name, bend in (("loop", "ln -s secrets run/secrets"), ("away", f"ln -s {tmp_path} run/secrets")):
        web = await live.create(script(name, f"rm -rf run/secrets; {bend}", container=container, task=never))
        assert (await live.ended(web, TaskState.COMPLETE)).error == ""
    assert outside.read_text() == "mine"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ((), "no command: the process runtime pulls no image (none:1); give the service a command or an entrypoint"),
        (("no-such-program",), 'exec: "no-such-program": executable file not found in $PATH'),
        (("/no/such/program",), 'exec: "/no/such/program": executable file not found in $PATH'),
        (("/dev/null",), 'exec: "/dev/null": executable file not found in $PATH'),
    ],
)
async def test_what_cannot_run_is_rejected_with_its_reason(live: Live, command: tuple[str, ...], error: str) -> None:
    web = await live.create(spec("web", *command, task={"RestartPolicy": {"Condition": "none"}}))
    task = await live.ended(web, TaskState.REJECTED)
    assert task.error == error


async def test_a_config_cannot_be_written_outside_of_the_tasks_folder(live: Live, tmp_path: Path) -> None:
    config_id = await live.cluster.create(Kind.CONFIG, {"Name": "conf", "Data": b64(b"open")})
    file = {"Name": "../../../../../escaped", "Mode": 0o444}
    container = {"Configs": [{"ConfigID": config_id, "ConfigName": "conf", "File": file}]}
    never = {"RestartPolicy": {"Condition": "none"}}
    web = await live.create(spec("web", "sleep", "1000", container=container, task=never))
    task = await live.ended(web, TaskState.REJECTED)
    assert "leaves the task's folder" in task.error
    assert "escaped" not in [path.name for path in all_files(tmp_path)]


async def test_a_task_that_prints_without_end_never_blocks_and_keeps_little(live: Live) -> None:
    web = await live.create(script("web", "yes 0123456789 | head -c 8000000; echo; echo printed; sleep 1000"))
    (task,) = await live.running(web, 1)
    lines = await live.log_with(task, "printed")
    assert len(lines) == 50
    kept = sum(path.stat().st_size for path in live.folder.glob("nodes/*/output/*"))
    assert kept < 11 * 1024 * 1024, "of some 25 MB, with the time of each line"


async def test_a_stop_signal_and_grace_period_are_respected(live: Live) -> None:
    text = 'trap "echo caught; exit 0" INT; echo up; while :; do sleep 0.05; done'
    container = {"StopSignal": "SIGINT", "StopGracePeriod": 10 * SECOND}
    web = await live.create(script("web", text, container=container))
    (task,) = await live.running(web, 1)
    await live.log_with(task, "up")
    await live.update(web, script("web", text, container=container, task={"ForceUpdate": 1}))
    stopped = await live.ended(web, TaskState.SHUTDOWN)
    assert await live.log_with(stopped, "caught") == ("up", "caught")


async def test_who_ignores_its_stop_signal_is_killed_with_its_whole_group(live: Live) -> None:
    text = 'trap "" TERM; sleep 1000 & sh -c \'trap "" TERM; echo $$; sleep 1000\' & echo $$; wait; sleep 1000'
    web = await live.create(script("web", text, container={"StopGracePeriod": SECOND // 10}))
    (task,) = await live.running(web, 1)
    await live.until("both shells run", lambda _: len(_pids(live, task.id)) == 2)
    pids = _pids(live, task.id)
    await live.cluster.remove(Kind.SERVICE, web)
    await live.until("the task is gone", lambda actual: not actual.tasks)
    assert not any(is_alive(pid) for pid in pids)


def _pids(live: Live, task_id: str) -> list[int]:
    (path,) = live.folder.glob(f"nodes/*/output/{task_id}.log")
    return [int(line.text) for line in last_lines(path, 100)]


async def test_who_leaves_its_process_group_is_ended_all_the_same(live: Live) -> None:
    web = await live.create(script("web", "setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000"))
    (task,) = await live.running(web, 1)
    await live.until("the escaped process runs", lambda _: _pids(live, task.id))
    (escaped,) = _pids(live, task.id)
    os.kill(pid_of(task), signal.SIGKILL)
    await live.ended(web, TaskState.FAILED)
    assert not is_alive(escaped)


async def test_what_a_task_left_in_the_background_ends_with_it(live: Live) -> None:
    never = {"RestartPolicy": {"Condition": "none"}}
    web = await live.create(script("web", "env -i sleep 1000 & echo $!; exit 0", task=never))
    task = await live.ended(web, TaskState.COMPLETE)
    (background,) = _pids(live, task.id)
    assert not is_alive(background)


async def test_no_zombie_and_no_folder_is_left_of_a_forgotten_task(live: Live) -> None:
    web = await live.create(script("web", "mkdir -p a/b; chmod 000 a; ln -s / root; sleep 1000"))
    (task,) = await live.running(web, 1)
    folder = live.task_folder(task)
    await live.until("the task has made its mess", lambda _: (folder / "root").is_symlink())
    await live.cluster.remove(Kind.SERVICE, web)
    await live.until("the folder is gone", lambda actual: not actual.tasks and not folder.exists())
    assert not exists(f"/proc/{pid_of(task)}")
    assert exists("/etc")


async def test_an_idle_swarm_uses_no_processor(live: Live) -> None:
    web = await live.create(spec("web", "sleep", "1000", replicas=3))
    await live.running(web, 3)
    before = time.process_time()
    await asyncio.sleep(1)
    assert time.process_time() - before < 0.02


async def test_a_crash_loop_does_not_eat_the_machine(live: Live) -> None:
    web = await live.create(script("web", "exit 1"))
    await live.ended(web, TaskState.FAILED)
    before = time.process_time()
    await asyncio.sleep(1)
    assert time.process_time() - before < 0.5
    assert len(list((await live.cluster.observe()).tasks_of(web))) <= 6
