"""How an apply may end, each with its exit code and its reason, on both backends; and stacks that go back whole."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.controller.crashes import CRASHES_MAX
from tests.e2e.conftest import Backend

WAIT_S = 60.0
TASK: dict[str, Any] = {
    "image": "swarmctl-test:1",
    "command": ["sleep", "3600"],
    "stop_signal": "SIGKILL",
    "stop_grace_period": "1s",
}
DEPLOY: dict[str, Any] = {
    "endpoint_mode": "dnsrr",
    "restart_policy": {"delay": "100ms"},
    "update_config": {"monitor": "500ms"},
}
CRASH = ["sh", "-c", "echo the cat has the key; exit 3"]


def a_service(*, deploy: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {**TASK, **fields, "deploy": {**DEPLOY, **(deploy or {})}}


def write(folder: Path, services: dict[str, dict[str, Any]], **top: Any) -> None:
    """Write the one stack `shop`."""
    (folder / "shop.yaml").write_text(yaml.safe_dump({"version": "3.8", "services": services, **top}))


@pytest.fixture
def folder(backend: Backend, tmp_path: Path) -> Path:
    made = tmp_path / "infra"
    made.mkdir()
    backend.swarmctl.folder = made
    return made


def apply(backend: Backend, *arguments: str):
    return backend.swarmctl("apply", "--yes", "shop.yaml", *arguments)


def test_a_service_that_crashes_is_failing_and_shows_its_last_lines(backend: Backend, folder: Path):
    write(folder, {"ok": a_service(), "bad": a_service(command=CRASH)})
    ended = apply(backend)
    assert ended.code == 6, ended.text
    assert "Service shop_bad: its tasks fail, 0 of 1 tasks running. [tasks-failing]" in ended.err
    assert "non-zero exit (3)" in ended.err
    assert any(f"task 1 on {name} failed" in ended.err for name in backend.hostnames()), ended.err
    assert "log:  the cat has the key" in ended.err
    assert "1 of 2 services converged" in ended.out


def test_a_service_that_ends_well_and_should_not_says_so_and_shows_its_last_lines(backend: Backend, folder: Path):
    write(folder, {"bad": a_service(command=["sh", "-c", "echo no config found; exit 0"])})
    ended = apply(backend)
    assert ended.code == 6, ended.text
    assert "it ended with exit code 0, though the service is to stay up" in ended.err
    assert "log:  no config found" in ended.err


def test_what_needs_a_service_that_fails_is_held_by_each_apply_until_it_is_mended(backend: Backend, folder: Path):
    once = {"restart_policy": {"condition": "none"}}
    needing = a_service(depends_on=["a"])
    write(folder, {"a": a_service(command=CRASH, deploy=once), "b": needing})
    for attempt in ("the first", "the second, which writes nothing to what fails"):
        ended = apply(backend)
        assert ended.code == 6, (attempt, ended.text)
        assert "Service shop_b was left as it is" in ended.err, (attempt, ended.text)
        assert "log:  the cat has the key" in ended.err, (attempt, ended.text)
        assert [one["Spec"]["Name"] for one in backend.engine.services()] == ["shop_a"]
    write(folder, {"a": a_service(deploy=once), "b": needing})
    assert apply(backend).code == 0


def test_what_crashes_in_a_loop_is_failing_to_a_later_apply_that_finds_it_running(backend: Backend, folder: Path):
    """It runs for as long as its own monitor period is: each look by itself finds it as it should be."""
    looping = a_service(command=["sh", "-c", "sleep 1; echo the cat has the key; exit 3"])
    write(folder, {"a": looping})
    assert apply(backend, "--no-wait").code == 0
    deadline = time.monotonic() + WAIT_S
    while sum(one["Status"]["State"] == "failed" for one in backend.engine.tasks()) < CRASHES_MAX:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    while not backend.running("shop_a"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    write(folder, {"a": looping, "b": a_service(depends_on=["a"])})
    ended = apply(backend)
    assert (ended.code, "Service shop_b was left as it is" in ended.err) == (6, True), ended.text
    assert "log:  the cat has the key" in ended.err


@pytest.mark.parametrize("backend", [pytest.param("docker", marks=pytest.mark.engine)], indirect=True)
def test_an_image_that_nobody_has_is_rejected(backend: Backend, folder: Path):
    write(folder, {"bad": a_service(image="nobody-has-this:1")})
    ended = apply(backend, "--resolve-image", "never")
    assert ended.code == 6, ended.text
    assert "rejected" in ended.err
    assert "No such image" in ended.err


def test_a_constraint_that_no_node_meets_is_unschedulable_and_ends_before_the_time_is_over(
    backend: Backend, folder: Path
):
    nowhere = {"placement": {"constraints": ["node.labels.zone == moon"]}}
    write(folder, {"bad": a_service(deploy=nowhere)})
    ended = apply(backend, "--timeout", "100")
    assert ended.code == 7, ended.text
    assert "[unschedulable]" in ended.err
    assert "no suitable node (scheduling constraints not satisfied on 3 nodes)" in ended.err


def test_a_global_service_whose_nodes_have_no_room_for_it_is_unschedulable_too(backend: Backend, folder: Path):
    edge = a_service(deploy={"mode": "global"}, ports=[{"target": 80, "published": 8080, "mode": "host"}])
    write(folder, {"first": edge})
    assert apply(backend).code == 0
    write(folder, {"first": edge, "second": edge})
    ended = apply(backend, "--timeout", "100")
    assert ended.code == 7, ended.text
    assert "pending: host-mode port already in use on 1 node" in ended.err


def test_a_global_job_whose_nodes_have_no_room_for_it_is_unschedulable_too(backend: Backend, folder: Path):
    """A real swarm rejects its tasks again and again; ours leaves them pending."""
    deploy = {"mode": "global-job", "resources": {"reservations": {"cpus": "900"}}}
    write(folder, {"first": {**TASK, "command": ["true"], "deploy": deploy}})
    ended = apply(backend, "--timeout", "100")
    assert (ended.code, "[unschedulable]" in ended.err) == (7, True), ended.text


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_a_service_that_takes_too_long_has_timed_out(backend: Backend, folder: Path):
    write(folder, {"slow": a_service(deploy={"update_config": {"monitor": "100s"}})})
    ended = apply(backend, "--timeout", "2")
    assert ended.code == 3, ended.text
    assert "[timed-out]" in ended.err


def test_what_the_swarm_makes_of_failed_updates_is_told_and_the_graver_one_is_the_exit_code(
    backend: Backend, folder: Path
):
    def services(**fields: Any) -> dict[str, Any]:
        # What crashes must have done so within the monitor period, also on a busy machine.
        updates = {action: {"monitor": "5s", "failure_action": action} for action in ("pause", "rollback")}
        return {name: a_service(deploy={"update_config": update}, **fields) for name, update in updates.items()}

    write(folder, services())
    assert apply(backend).code == 0
    write(folder, services(command=CRASH))
    ended = apply(backend)
    assert ended.code == 4, ended.text
    assert "Service shop_pause: update paused, " in ended.err
    assert "Service shop_rollback: rolled back, " in ended.err
    assert ended.err.count("log:  the cat has the key") == 2
    write(folder, {**services(), "rollback": services(command=CRASH)["rollback"]})
    again = apply(backend)
    assert again.code == 5, again.text
    assert "non-zero exit (3)" in again.err


def test_a_completed_job_and_services_without_tasks_converge_and_a_job_that_fails_for_good_is_failing(
    backend: Backend, folder: Path
):
    job = {"mode": "replicated-job", "restart_policy": {"condition": "none"}}
    plain = {"endpoint_mode": "dnsrr"}
    good = {**TASK, "command": ["true"], "deploy": {**plain, **job}}
    nowhere = {"mode": "global", "placement": {"constraints": ["node.labels.zone == moon"]}}
    none = {"none": a_service(deploy={"replicas": 0}), "nowhere": a_service(deploy=nowhere)}
    write(folder, {"good": good, **none})
    assert apply(backend).code == 0
    assert "No changes." in backend.swarmctl.ok("apply", "--yes", "shop.yaml")
    bad = {**TASK, "command": CRASH, "deploy": {**plain, **job}}
    write(folder, {"good": good, "bad": bad, **none})
    ended = apply(backend)
    assert ended.code == 6, ended.text
    assert "Service shop_bad" in ended.err
    assert "log:  the cat has the key" in ended.err
    again = apply(backend)
    assert again.code == 6, again.text


def test_one_failure_puts_an_atomic_stack_back(backend: Backend, folder: Path):
    top = {"x-swarmctl": {"rollback": "stack"}, "configs": {"app": {"file": "app.ini"}}}
    uses: dict[str, Any] = {"configs": [{"source": "app", "target": "/app.ini"}]}
    (folder / "app.ini").write_text("level = 1\n")
    write(folder, {"api": a_service(environment={"V": "1"}, **uses), "old": a_service(), "db": a_service()}, **top)
    assert apply(backend).code == 0
    before = {name: backend.service(name)["Spec"] for name in ("shop_api", "shop_old", "shop_db")}
    db_tasks = {task["ID"] for task in backend.running("shop_db")}

    (folder / "app.ini").write_text("level = 2\n")
    long = {"update_config": {"monitor": "5s"}}
    changed = {
        "api": a_service(environment={"V": "2"}, **uses),
        "old": a_service(command=CRASH, deploy=long),
        "db": a_service(),
        "new": a_service(),
    }
    write(folder, changed, **top)
    ended = apply(backend)
    assert ended.code == 5, ended.text
    assert (
        "Stack shop was put back to what it was before: 2 services written again, 1 removed. [rolled-back]" in ended.err
    )
    assert "1 added, 0 changed, 0 destroyed." in ended.out, "the new config stays"
    assert "service.shop_new (put back): removed" in ended.err
    assert "Put back: shop." in ended.out
    assert "log:  the cat has the key" in ended.err
    after = {service["Spec"]["Name"]: service["Spec"] for service in backend.engine.services()}
    assert after == before
    assert len(backend.running("shop_api")) == len(backend.running("shop_old")) == 1
    assert {task["ID"] for task in backend.running("shop_db")} == db_tasks, "what was not touched is left running"

    write(folder, {"api": a_service(environment={"V": "2"}, **uses), "old": a_service(), "db": a_service()}, **top)
    assert apply(backend).code == 0
    assert "No changes." in backend.swarmctl.ok("diff", "shop.yaml")


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_an_atomic_stack_whose_apply_was_killed_is_brought_to_its_end_by_the_next_one(backend: Backend, folder: Path):
    """All is written when it is killed, so the next apply has nothing to write, and learns that `bad` crashes."""
    top = {"x-swarmctl": {"rollback": "stack"}}
    write(folder, {"a": a_service(environment={"V": "1"})}, **top)
    assert apply(backend).code == 0
    before = backend.service("shop_a")["Spec"]
    # It crashes once it has been told to: so the killed apply waits for certain.
    waits = ["sh", "-c", f"until [ -e {folder}/crash ]; do sleep 0.1; done; exit 3"]
    long = {"update_config": {"monitor": "30s"}}
    write(
        folder,
        {"a": a_service(environment={"V": "2"}), "bad": a_service(command=waits, deploy=long)},
        **top,
    )
    program = backend.swarmctl.start("apply", "--yes", "shop.yaml")
    deadline = time.monotonic() + WAIT_S
    while not (backend.engine.services(filters={"name": "shop_bad"}) and len(backend.running("shop_bad")) == 1):
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    while "V=2" not in backend.service("shop_a")["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    program.kill()
    program.communicate(timeout=WAIT_S)
    (folder / "crash").touch()

    assert "No changes." in backend.swarmctl.ok("diff", "shop.yaml"), "what is remembered is nothing to be done"
    ended = apply(backend)
    assert ended.code == 5, ended.text
    assert "Stack shop was put back to what it was before: 1 service written again, 1 removed." in ended.err
    assert "service.shop_a (put back): updated" in ended.err
    assert {one["Spec"]["Name"]: one["Spec"] for one in backend.engine.services()} == {"shop_a": before}
    assert "io.swarmctl.undo" not in str(backend.engine.inspect_swarm()["Spec"].get("Labels"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interruption_says_what_was_done_and_what_was_not(
    backend: Backend, folder: Path, number: signal.Signals, code: int
):
    """`b` needs `a`, which takes its time: so there is a moment between two writes."""
    slow = a_service(deploy={"update_config": {"monitor": "5s"}})
    needing = a_service(depends_on=["a"])
    write(folder, {"a": slow, "b": needing})
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, by whom we start as well
    try:
        program = backend.swarmctl.start("apply", "--yes", "shop.yaml")
    finally:
        signal.signal(signal.SIGHUP, inherited)
    deadline = time.monotonic() + WAIT_S
    while not any(task["Status"]["State"] == "running" for task in backend.engine.tasks()):
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    program.send_signal(number)
    _, err = program.communicate(timeout=WAIT_S)
    assert program.returncode == code, err
    assert "[interrupted]" in err
    assert "Run the command again" in err
    # The network and `a` are written; `b` waits for the tasks of `a`.
    assert "Interrupted: 2 of 3 actions done, 1 not begun (service.shop_b). The next apply does the rest." in err
    assert "Traceback" not in err
    assert apply(backend).code == 0
    assert "No changes." in backend.swarmctl.ok("diff", "shop.yaml")
