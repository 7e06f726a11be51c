"""A daemon whose tasks are containers of a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon import Daemon, a_daemon, until
from tests.lab.engine import IMAGES
from tests.lab.lab import Lab

pytestmark = pytest.mark.engine
IMAGE = IMAGES[0]
LABEL = "com.docker.swarm.node.id"


@pytest.fixture
def daemon(lab: Lab, tmp_path: Path) -> Iterator[Daemon]:
    lab.outsider.load_images()
    with lab.outsider.client() as engine:
        with a_daemon(tmp_path, engine, lab.outsider.host) as started:
            started.init()
            yield started
            if started.process is None:
                started.start()
            started.client.leave_swarm(force=True)
            assert engine.containers(all=True, filters={"label": LABEL}) == []
        for network in engine.networks(filters={"label": "com.docker.swarm.network.id"}):
            engine.remove_network(network["Id"])


@pytest.fixture
def engine(lab: Lab) -> Iterator[Any]:
    with lab.outsider.client() as client:
        yield client


def create(daemon: Daemon, name: str, *words: str, replicas: int = 1, networks: Any = (), **container: Any) -> None:
    template = {
        "ContainerSpec": {"Image": IMAGE, "Command": list(words), "StopGracePeriod": 0, **container},
        "RestartPolicy": {"Condition": "any", "Delay": 0},
        "Networks": [{"Target": one} for one in networks],
    }
    daemon.client.create_service(template, name=name, mode={"Replicated": {"Replicas": replicas}})


def containers(engine: Any, task: Any) -> list[Any]:
    found: list[Any] = engine.containers(all=True, filters={"label": f"com.docker.swarm.task.id={task['ID']}"})
    return found


def run(engine: Any, container_id: str, *words: str) -> str:
    """Return what a command prints in a container, as soon as it succeeds."""

    def tried() -> list[str]:
        made = engine.exec_create(container_id, list(words))
        printed = engine.exec_start(made["Id"]).decode()
        return [printed] if engine.exec_inspect(made["Id"])["ExitCode"] == 0 else []

    (printed,) = until(f"{words} succeeds", tried)
    return str(printed)


def test_containers_are_named_and_labelled_as_swarms_are_and_outlive_the_daemon(daemon: Daemon, engine: Any) -> None:
    create(daemon, "web", "sleep", "1000", replicas=2, Env=["SLOT={{.Task.Slot}}"], Labels={"a": "b"})
    before = daemon.running("web", 2)
    (seen,) = containers(engine, before[2])
    assert seen["Names"] == [f"/web.2.{before[2]['ID']}"]
    assert seen["Labels"]["com.docker.swarm.service.name"] == "web"
    assert seen["Labels"]["com.docker.swarm.task.name"] == f"web.2.{before[2]['ID']}"
    assert seen["Labels"]["a"] == "b"
    assert "SLOT=2" in engine.inspect_container(seen["Id"])["Config"]["Env"]
    daemon.kill()
    engine.kill(seen["Id"])
    stray = engine.create_container(IMAGE, "sleep 1000", labels={**seen["Labels"], "com.docker.swarm.task.id": "gone"})
    daemon.start()
    until("the killed one is replaced", lambda: daemon.running("web", 2)[2]["ID"] != before[2]["ID"])
    after = daemon.running("web", 2)
    assert (after[1]["ID"], after[1]["Status"]) == (before[1]["ID"], before[1]["Status"])
    (failed,) = [task for task in daemon.client.tasks() if task["ID"] == before[2]["ID"]]
    assert failed["Status"]["ContainerStatus"]["ExitCode"] == 137
    assert stray["Id"] not in [one["Id"] for one in engine.containers(all=True)]


def test_services_of_a_network_find_each_other_by_name(daemon: Daemon, engine: Any) -> None:
    daemon.client.create_network("net", driver="overlay")
    create(daemon, "one", "sleep", "1000", networks=["net"])
    create(daemon, "two", "sh", "-c", "echo hello > /hi; exec httpd -f -p 80 -h /", networks=["net"])
    (one,), (two,) = daemon.running("one", 1).values(), daemon.running("two", 1).values()
    (container,) = containers(engine, one)
    for name in ("two", "tasks.two"):
        assert run(engine, container["Id"], "wget", "-q", "-O", "-", f"http://{name}/hi") == "hello\n"
    address = two["NetworksAttachments"][0]["Addresses"][0].partition("/")[0]
    (other,) = containers(engine, two)
    assert other["NetworkSettings"]["Networks"]["net"]["IPAddress"] == address


def test_files_limits_and_output(daemon: Daemon, engine: Any) -> None:
    secret = daemon.client.create_secret("key", b"hush")["ID"]
    config = daemon.client.create_config("conf", b"open")
    file = {"Name": "key", "UID": "7", "GID": "8", "Mode": 0o440}
    conf = {"Name": "/etc/conf", "UID": "0", "GID": "0", "Mode": 0o444}
    create(
        daemon,
        "web",
        "sh",
        "-c",
        "cat /run/secrets/key /etc/conf; echo; sleep 1000",
        Secrets=[{"SecretID": secret, "SecretName": "key", "File": file}],
        Configs=[{"ConfigID": config["ID"], "ConfigName": "conf", "File": conf}],
    )
    (task,) = daemon.running("web", 1).values()
    (container,) = containers(engine, task)
    assert run(engine, container["Id"], "ls", "-ln", "/run/secrets/key").split()[:4] == ["-r--r-----", "1", "7", "8"]
    until("it has printed", lambda: b"".join(daemon.client.service_logs("web", stdout=True)) == b"hushopen\n")


def test_a_task_with_a_healthcheck_runs_once_it_is_healthy_and_fails_when_it_is_not(
    daemon: Daemon, engine: Any
) -> None:
    check = {"Test": ["CMD-SHELL", "ls /fit"], "Interval": 100_000_000, "Timeout": 5_000_000_000, "Retries": 2}
    check["StartPeriod"] = 60_000_000_000
    create(daemon, "web", "sleep", "1000", Healthcheck=check)

    def started() -> Any:
        return [
            one
            for task in daemon.client.tasks()
            if task["Status"]["State"] == "starting"
            for one in containers(engine, task)
        ]

    (container,) = until("its container has started", lambda: [one for one in started() if one["State"] == "running"])
    run(engine, container["Id"], "sh", "-c", "echo > /fit")
    (first,) = daemon.running("web", 1).values()
    run(engine, container["Id"], "busybox", "rm", "/fit")
    errors = until("it has failed", lambda: _errors(daemon))
    assert errors[0] == "unhealthy container"
    assert first["ID"] in [task["ID"] for task in daemon.client.tasks() if task["Status"]["State"] == "failed"]


def test_what_the_engine_refuses_is_the_tasks_error(daemon: Daemon) -> None:
    create(daemon, "web", "no-such-program")
    first = until("one has failed", lambda: _errors(daemon))
    assert "no-such-program" in first[0]


def _errors(daemon: Daemon) -> list[str]:
    return [task["Status"]["Err"] for task in daemon.client.tasks() if task["Status"].get("Err")]
