"""A node's daemon: what it keeps over restarts, what it refuses, what `docker swarm` makes of it."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.daemon import Daemon, a_daemon, until

QUICK = docker.types.RestartPolicy(condition="any", delay=0)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with a_daemon(tmp_path) as started:
        yield started


def template(*words: str, **options: Any) -> Any:
    policy = options.pop("restart_policy", QUICK)
    return docker.types.TaskTemplate(
        docker.types.ContainerSpec("none:1", command=list(words), **options), restart_policy=policy
    )


def create(daemon: Daemon, name: str, *words: str, replicas: int = 1, **options: Any) -> None:
    mode = {"Replicated": {"Replicas": replicas}}
    daemon.client.create_service(template(*words, **options), name=name, mode=mode)


def state_of(daemon: Daemon) -> str:
    return str(daemon.client.info()["Swarm"]["LocalNodeState"])


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(docker.errors.APIError) as refused:
        call()
    return refused.value.response.status_code, refused.value.explanation


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_what_a_daemon_knows_and_runs_outlives_it(daemon: Daemon, end: str) -> None:
    node_id = daemon.init()
    create(daemon, "web", "sh", "-c", "echo up; sleep 1000", replicas=2)
    before = daemon.running("web", 2)
    tokens, processes = daemon.client.inspect_swarm()["JoinTokens"], daemon.programs()
    getattr(daemon, end)()
    assert daemon.programs() == processes
    daemon.start()
    after = daemon.running("web", 2)
    assert {slot: (task["ID"], task["Status"]) for slot, task in after.items()} == {
        slot: (task["ID"], task["Status"]) for slot, task in before.items()
    }
    assert daemon.programs() == processes
    assert daemon.client.inspect_swarm()["JoinTokens"] == tokens
    assert daemon.client.info()["Swarm"]["NodeID"] == node_id
    os.kill(before[1]["Status"]["ContainerStatus"]["PID"], signal.SIGKILL)
    until("the adopted task is replaced", lambda: daemon.running("web", 2)[1]["ID"] != before[1]["ID"])


def test_a_task_that_ended_while_nobody_watched_shows_its_own_exit_code(daemon: Daemon, tmp_path: Path) -> None:
    daemon.init()
    never = docker.types.RestartPolicy(condition="none")
    script = f'while ! [ -e {tmp_path}/end-$1 ]; do sleep 0.02; done; echo "ends $1"; exit $1'
    for code in ("0", "7"):
        create(daemon, f"once-{code}", "sh", "-c", script, "sh", code, restart_policy=never)
        daemon.running(f"once-{code}", 1)
    daemon.kill()
    for code in ("0", "7"):
        (tmp_path / f"end-{code}").touch()
    until("both have ended", lambda: not daemon.programs())
    daemon.start()
    for code, state in (("0", "complete"), ("7", "failed")):
        (task,) = until("its end is told", lambda: _ended(daemon, f"once-{code}"))  # noqa: B023
        assert (task["Status"]["State"], task["Status"]["ContainerStatus"]["ExitCode"]) == (state, int(code))


def _ended(daemon: Daemon, name: str) -> list[Any]:
    return [task for task in daemon.client.tasks({"service": name}) if task["Status"]["State"] != "running"]


def test_a_task_goes_on_printing_without_its_daemon(daemon: Daemon, tmp_path: Path) -> None:
    daemon.init()
    script = f"""echo before; while ! [ -e {tmp_path}/go ]; do sleep 0.02; done
        echo meanwhile; touch {tmp_path}/told; sleep 1000"""
    create(daemon, "web", "sh", "-c", script)
    daemon.running("web", 1)
    daemon.kill()
    (tmp_path / "go").touch()
    until("it has printed", (tmp_path / "told").exists)
    daemon.start()
    logs = until("both lines are there", lambda: _two_lines(daemon))
    assert logs == [b"before", b"meanwhile"]


def _two_lines(daemon: Daemon) -> list[bytes] | None:
    lines: list[bytes] = b"".join(daemon.client.service_logs("web", stdout=True, stderr=True)).split()
    return lines if len(lines) == 2 else None


def test_a_swarm_begins_ends_and_begins_again(daemon: Daemon) -> None:
    assert state_of(daemon) == "inactive"
    assert refusal(daemon.client.inspect_swarm)[0] == 503
    assert refusal(daemon.client.leave_swarm) == (503, "This node is not part of a swarm")
    first = daemon.init()
    assert state_of(daemon) == "active"
    assert refusal(lambda: daemon.client.init_swarm("127.0.0.1"))[0] == 503
    create(daemon, "web", "sleep", "1000")
    daemon.running("web", 1)
    status, text = refusal(daemon.client.leave_swarm)
    assert (status, "Removing the last manager erases" in text) == (503, True)
    daemon.client.leave_swarm(force=True)
    assert (state_of(daemon), daemon.programs()) == ("inactive", {})
    daemon.kill()
    daemon.start()
    assert state_of(daemon) == "inactive"
    assert daemon.init() != first
    assert daemon.client.services() == []


def test_a_forced_new_cluster_keeps_everything_and_restarts_nothing(daemon: Daemon) -> None:
    node_id = daemon.init()
    create(daemon, "web", "sleep", "1000")
    before = daemon.running("web", 1)
    daemon.client.init_swarm("127.0.0.1", force_new_cluster=True)
    assert daemon.client.info()["Swarm"]["NodeID"] == node_id
    assert daemon.running("web", 1)[1]["ID"] == before[1]["ID"]
    daemon.client.init_swarm("127.0.0.2", force_new_cluster=True)  # others are told at once to join there
    assert daemon.client.nodes()[0]["ManagerStatus"]["Addr"].startswith("127.0.0.2:")


def test_an_autolocked_manager_waits_for_its_key(daemon: Daemon) -> None:
    daemon.init()
    swarm = daemon.client.inspect_swarm()
    spec = {**swarm["Spec"], "EncryptionConfig": {"AutoLockManagers": True}}
    daemon.client.update_swarm(swarm["Version"]["Index"], swarm_spec=spec)
    first = daemon.client.get_unlock_key()["UnlockKey"]
    version = daemon.client.inspect_swarm()["Version"]["Index"]
    daemon.client.update_swarm(version, swarm_spec=spec, rotate_manager_unlock_key=True)
    key = daemon.client.get_unlock_key()["UnlockKey"]
    assert key != first
    daemon.kill()
    daemon.start()
    assert state_of(daemon) == "locked"
    assert refusal(daemon.client.services)[0] == 503
    assert refusal(lambda: daemon.client.unlock_swarm("nonsense")) == (400, "invalid key string")
    assert refusal(lambda: daemon.client.unlock_swarm(first))[0] == 401
    daemon.client.unlock_swarm(key)
    assert state_of(daemon) == "active"
    swarm = daemon.client.inspect_swarm()
    daemon.client.update_swarm(swarm["Version"]["Index"], swarm_spec={**swarm["Spec"], "EncryptionConfig": {}})
    assert daemon.client.get_unlock_key()["UnlockKey"] == ""
    daemon.kill()
    assert state_of(daemon.start()) == "active"


def test_the_root_certificate_is_shown_and_rotates_with_the_tokens(daemon: Daemon) -> None:
    daemon.init()
    first = daemon.client.inspect_swarm()
    root = first["TLSInfo"]["TrustRoot"]
    digest = first["JoinTokens"]["Worker"].split("-")[2]
    assert int(digest, 36) == int.from_bytes(hashlib.sha256(root.encode()).digest())
    assert daemon.client.nodes()[0]["Description"]["TLSInfo"] == first["TLSInfo"]
    spec = {**first["Spec"], "CAConfig": {**first["Spec"]["CAConfig"], "ForceRotate": 1}}
    daemon.client.update_swarm(first["Version"]["Index"], swarm_spec=spec)
    until("there is another root", lambda: daemon.client.nodes()[0]["Description"]["TLSInfo"]["TrustRoot"] != root)
    second = daemon.client.inspect_swarm()
    assert second["TLSInfo"]["TrustRoot"] != root
    assert second["JoinTokens"]["Worker"].split("-")[2] != digest
    daemon.kill()
    daemon.start()
    assert daemon.client.inspect_swarm()["TLSInfo"] == second["TLSInfo"]


def test_the_settings_of_init_are_the_swarms(daemon: Daemon) -> None:
    spec = daemon.client.create_swarm_spec(task_history_retention_limit=2, dispatcher_heartbeat_period=7_000_000_000)
    daemon.client.init_swarm("127.0.0.1", default_addr_pool=["10.77.0.0/16"], subnet_size=26, swarm_spec=spec)
    swarm = daemon.client.inspect_swarm()
    assert swarm["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"] == 2
    assert swarm["Spec"]["Dispatcher"]["HeartbeatPeriod"] == 7_000_000_000
    assert (swarm["DefaultAddrPool"], swarm["SubnetSize"]) == (["10.77.0.0/16"], 26)


SENSELESS: list[tuple[dict[str, Any], int, str]] = [
    ({"listen_addr": ""}, 400, 'invalid ListenAddr "": invalid empty address'),
    ({"listen_addr": "no such"}, 400, "listen address must be an IP address"),
    ({"advertise_addr": "0.0.0.0"}, 400, "advertise address must be a non-zero IP address"),
    ({"data_path_port": 80}, 500, "Datapath port number is not in valid range"),
    ({"subnet_size": 30}, 500, "subnet size is out of range: 30"),
]


def test_a_swarm_that_makes_no_sense_does_not_begin(daemon: Daemon) -> None:
    for options, status, text in SENSELESS:
        seen = refusal(lambda options=options: daemon.client.init_swarm(**({"advertise_addr": "127.0.0.1"} | options)))
        assert (seen[0], seen[1][: len(text)]) == (status, text)
        assert state_of(daemon) == "inactive"
    daemon.init()


def run(*words: str) -> tuple[int, str]:
    words = (sys.executable, "-m", "reconciler.main", "daemon", *words)
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stderr


def test_bad_options_and_busy_places_are_told(daemon: Daemon, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = str(tmp_path / "other")
        for words, code in (
            (("--data-dir", str(daemon.data_dir)), "embedded-already-running"),
            (("--data-dir", other, "--host", daemon.host), "embedded-already-running"),
            (("--data-dir", other, "--host", f"tcp://127.0.0.1:{port}"), "embedded-already-running"),
            (("--data-dir", other, "--host", "http://x"), "bad-setting"),
            (("--data-dir", other, "--hostname", "a b"), "bad-setting"),
            (("--data-dir", "/dev/null/x"), "embedded-failed"),
        ):
            status, told = run(*words)
            assert (status, code in told, "Traceback" in told) == (1, True, False), (words, told)
    assert state_of(daemon) == "inactive"


def test_each_of_several_places_answers_and_a_port_is_warned_of(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with a_daemon(tmp_path) as daemon:
        daemon.terminate()
        places = (f"unix://{tmp_path}/second.sock", f"tcp://127.0.0.1:{port}")
        daemon.arguments += tuple(word for place in places for word in ("--host", place))
        daemon.start()
        for place in (daemon.host, *places):
            assert docker.APIClient(base_url=place, version="1.44").info()["Name"] == "alpha"
        log = (tmp_path / "log").read_text()
        assert [place for place in (daemon.host, *places) if f"{place} asks nobody" in log] == [places[1]]


def test_a_damaged_log_is_told_and_the_daemon_answers(daemon: Daemon) -> None:
    daemon.init()
    daemon.kill()
    for file in (daemon.data_dir / "raft").iterdir():
        if file.is_file() and file.stat().st_size:
            with file.open("r+b") as opened:
                opened.seek(file.stat().st_size // 3)
                opened.write(b"\xff" * 64)
    (daemon.data_dir / "raft" / "hard-state").write_bytes(b"nonsense")
    daemon.start()
    assert state_of(daemon) == "error"
    assert daemon.client.info()["Swarm"]["Error"]
    daemon.client.leave_swarm(force=True)
    assert state_of(daemon) == "inactive"


def test_a_node_of_processes_says_what_it_does_not_do_and_limits_what_it_can(daemon: Daemon) -> None:
    told = daemon.client.info()
    assert "no isolation" in told["Warnings"][0]
    assert len(told["Warnings"]) == 1 + [told[key] for key in ("MemoryLimit", "CpuCfsQuota", "PidsLimit")].count(False)
    daemon.init()
    ulimits = [{"Name": "nofile", "Soft": 77, "Hard": 88}]
    container = {"Image": "none:1", "Command": ["sh", "-c", "ulimit -n; sleep 1000"], "Ulimits": ulimits}
    daemon.client.create_service({"ContainerSpec": container}, name="web")
    daemon.running("web", 1)
    until("it tells its limit", lambda: b"".join(daemon.client.service_logs("web", stdout=True)) == b"77\n")
