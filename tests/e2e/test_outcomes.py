"""How an apply may end, each with its exit code and its reason, on both backends; and stacks that go back whole."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

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


def test_a_service_that_takes_too_long_has_timed_out(backend: Backend, folder: Path):
    write(folder, {"slow": a_service(deploy={"update_config": {"monitor": "100s"}})})
    ended = apply(backend, "--timeout", "2")
    assert ended.code == 3, ended.text
    assert "[timed-out]" in ended.err


@pytest.mark.parametrize(("action", "code", "word"), [("pause", 4, "update-paused"), ("rollback", 5, "rolled-back")])
def test_what_the_swarm_makes_of_a_failed_update_is_told(
    backend: Backend, folder: Path, action: str, code: int, word: str
):
    update = {"update_config": {"monitor": "5s", "failure_action": action}}
    write(folder, {"web": a_service(deploy=update)})
    assert apply(backend).code == 0
    write(folder, {"web": a_service(deploy=update, command=CRASH)})
    ended = apply(backend)
    assert ended.code == code, ended.text
    assert f"[{word}]" in ended.err
    assert "non-zero exit (3)" in ended.err
    assert "log:  the cat has the key" in ended.err


def test_a_job_that_completes_has_converged_and_one_that_fails_for_good_is_failing(backend: Backend, folder: Path):
    job = {"mode": "replicated-job", "restart_policy": {"condition": "none"}}
    plain = {"endpoint_mode": "dnsrr"}
    good = {**TASK, "command": ["true"], "deploy": {**plain, **job}}
    write(folder, {"good": good})
    assert apply(backend).code == 0
    assert backend.swarmctl("apply", "--yes", "shop.yaml").code == 0
    bad = {**TASK, "command": CRASH, "deploy": {**plain, **job}}
    write(folder, {"good": good, "bad": bad})
    ended = apply(backend)
    assert ended.code == 6, ended.text
    assert "Service shop_bad" in ended.err
    assert "log:  the cat has the key" in ended.err
    again = apply(backend)
    assert again.code == 6, again.text


def test_no_tasks_at_all_converge(backend: Backend, folder: Path):
    nowhere = {"mode": "global", "placement": {"constraints": ["node.labels.zone == moon"]}}
    write(folder, {"none": a_service(deploy={"replicas": 0}), "nowhere": a_service(deploy=nowhere)})
    ended = apply(backend)
    assert ended.code == 0, ended.text
    assert "Apply complete: 3 added" in ended.out


def test_one_failure_puts_an_atomic_stack_back(backend: Backend, folder: Path):
    top = {"x-swarmctl": {"rollback": "stack"}, "configs": {"app": {"file": "app.ini"}}}
    uses = {"configs": [{"source": "app", "target": "/app.ini"}]}
    (folder / "app.ini").write_text("level = 1\n")
    write(folder, {"api": a_service(environment={"V": "1"}, **uses), "old": a_service(), "db": a_service()}, **top)
    assert apply(backend).code == 0
    before = {name: backend.service(name)["Spec"] for name in ("shop_api", "shop_old", "shop_db")}
    db_tasks = {task["ID"] for task in backend.running("shop_db")}

    (folder / "app.ini").write_text("level = 2\n")
    # What crashes must have done so within the monitor period, also on a busy machine.
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
    assert "Stack shop was put back to what it was before: 3 services written again. [rolled-back]" in ended.err
    assert "Put back: shop." in ended.out
    assert "log:  the cat has the key" in ended.err
    after = {service["Spec"]["Name"]: service["Spec"] for service in backend.engine.services()}
    assert after == before
    assert len(backend.running("shop_api")) == len(backend.running("shop_old")) == 1
    assert {task["ID"] for task in backend.running("shop_db")} == db_tasks, "what was not touched is left running"

    write(folder, {"api": a_service(environment={"V": "2"}, **uses), "old": a_service(), "db": a_service()}, **top)
    assert apply(backend).code == 0
    assert "No changes." in backend.swarmctl.ok("diff", "shop.yaml")


def test_a_ctrl_c_says_what_was_done_and_what_was_not(backend: Backend, folder: Path):
    """`b` needs `a`, which takes its time: so there is a moment between two writes."""
    slow = a_service(deploy={"update_config": {"monitor": "5s"}})
    needing = a_service(depends_on=["a"])
    write(folder, {"a": slow, "b": needing})
    program = backend.swarmctl.start("apply", "--yes", "shop.yaml")
    deadline = time.monotonic() + WAIT_S
    while not any(task["Status"]["State"] == "running" for task in backend.engine.tasks()):
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=WAIT_S)
    assert program.returncode == 130, err
    assert "[interrupted]" in err
    assert "1 not begun" in err
    assert "The next apply does the rest." in err
    assert "Traceback" not in err
    assert apply(backend).code == 0
    assert "No changes." in backend.swarmctl.ok("diff", "shop.yaml")
