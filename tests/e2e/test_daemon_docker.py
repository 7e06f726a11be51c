"""A daemon whose tasks are containers of a real engine."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.docker_runtime import DockerRuntime, NodeEngine, runtime
from tests.e2e.compared_containers import BRIDGE, COMPARED, SECOND, flat
from tests.e2e.daemon import Daemon, a_daemon, until
from tests.lab.engine import IMAGES, Engine
from tests.lab.lab import Lab
from tests.lab.namespaces import run as run_inside
from tests.lab.registry import Registry
from tests.lab.swept import sweep

pytestmark = pytest.mark.engine
IMAGE = IMAGES[0]
LABEL = "com.docker.swarm.node.id"
MEMORY = Path("/dev/shm")
PYTHON = [
    {"Type": "bind", "Source": folder, "Target": folder, "ReadOnly": True}
    for folder in sorted({"/usr", "/lib", "/lib64", sys.base_prefix})
    if Path(folder).is_dir()
]
"""For want of an image with Python in it: the host's."""

ECHO = """
import os, socket
from threading import Thread
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 53))
def answer():
    while True:
        got, peer = udp.recvfrom(2048)
        udp.sendto(b"udp " + got, peer)
Thread(target=answer).start()
tcp = socket.create_server(("", 80))
while True:
    connection, _ = tcp.accept()
    connection.sendall(b"tcp " + connection.recv(2048))
    connection.close()
"""
ASK = """
import socket, sys
kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[sys.argv[1]]
asking = socket.socket(socket.AF_INET, kind)
asking.settimeout(1)
asking.connect((sys.argv[2], int(sys.argv[3])))
asking.send(b"hello")
print(asking.recv(2048).decode())
"""


@pytest.fixture(scope="module")
def node(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all of these tests; in the end nothing of it is left on its engine."""
    lab.outsider.load_images()
    with lab.outsider.client() as engine:
        with a_daemon(tmp_path_factory.mktemp("node"), engine, lab.outsider) as started:
            started.init()
            yield started
            started.client.leave_swarm(force=True)
            assert engine.containers(all=True, filters={"label": LABEL}) == []
        assert engine.networks(filters={"label": "com.docker.swarm.network.id"}) == []


@pytest.fixture
def daemon(node: Daemon) -> Iterator[Daemon]:
    """The daemon, with nothing deployed."""
    yield node
    if node.process is None:
        node.start()
    for service in node.client.services():
        node.client.remove_service(service["ID"])
    until("no task is left", lambda: not node.engine.containers(all=True, filters={"label": LABEL}))
    for secret in node.client.secrets():
        node.client.remove_secret(secret["ID"])
    for config in node.client.configs():
        node.client.remove_config(config["ID"])
    for network in node.client.networks(filters={"driver": "overlay"}):
        if not network.get("Ingress"):
            node.client.remove_network(network["Id"])


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
    daemon.client.remove_service("one")
    daemon.client.remove_service("two")
    until("the last task takes its network along", lambda: not engine.networks(names=["net"]))


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
    (in_memory,) = MEMORY.glob(f"swarmctl-*/{task['ID']}")
    daemon.client.remove_service("web")
    until("its files are gone", lambda: not in_memory.exists())


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
    assert errors[0] == "task: non-zero exit (137): dockerexec: unhealthy container"
    assert first["ID"] in [task["ID"] for task in daemon.client.tasks() if task["Status"]["State"] == "failed"]


def test_what_the_engine_refuses_is_the_tasks_error(daemon: Daemon) -> None:
    create(daemon, "web", "no-such-program")
    first = until("one has failed", lambda: _errors(daemon))
    assert "no-such-program" in first[0]


def _errors(daemon: Daemon) -> list[str]:
    return [task["Status"]["Err"] for task in daemon.client.tasks() if task["Status"].get("Err")]


def echoing(mode: str, *ports: tuple[str, int, int]) -> dict[str, Any]:
    """Return a service's spec whose task answers at 80/tcp and 53/udp; `ports` are (protocol, its own, published)."""
    command = [str(Path(sys.executable).resolve()), "-c", ECHO]
    container = {"Image": IMAGE, "Command": command, "Mounts": PYTHON, "StopSignal": "SIGKILL"}
    published = [
        {"Protocol": protocol, "TargetPort": target, "PublishedPort": port, "PublishMode": mode}
        for protocol, target, port in ports
    ]
    return {"TaskTemplate": {"ContainerSpec": container}, "EndpointSpec": {"Ports": published}}


def post_service(client: Any, name: str, spec: dict[str, Any]) -> None:
    sent = {"Mode": {"Replicated": {"Replicas": 1}}, **spec, "Name": name}
    client._raise_for_status(client._post_json(client._url("/services/create"), data=sent))


def answer_of(beside: Engine, protocol: str, port: int) -> str:
    words = (sys.executable, "-c", ASK, protocol, beside.address, str(port))

    def tried() -> str:
        try:
            return run_inside(*words, inside=beside.cell.process.pid).strip()
        except RuntimeError:
            return ""

    return str(until(f"{protocol} {port} answers", tried))


def test_published_ports_answer_in_both_modes_and_over_both_protocols(daemon: Daemon, lab: Lab) -> None:
    post_service(daemon.client, "routed", echoing("ingress", ("tcp", 80, 8090), ("udp", 53, 5390)))
    post_service(daemon.client, "local", echoing("host", ("tcp", 80, 8080), ("udp", 53, 8080), ("tcp", 80, 0)))
    (task,) = daemon.running("local", 1).values()
    told = task["Status"]["PortStatus"]["Ports"]
    assert [one for one in told if one["Protocol"] == "udp"] == [
        {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 8080, "PublishMode": "host"}
    ]
    for protocol, port in (("tcp", 8090), ("udp", 5390), ("tcp", 8080), ("udp", 8080)):
        assert answer_of(lab.outsider, protocol, port) == f"{protocol} hello"


def test_images_are_pulled_with_the_authority_that_came_with_the_service(daemon: Daemon, engine: Any, lab: Lab) -> None:
    with Registry(lab.outsider.cell, login="ann:pass") as registry:
        registry.push_runnable("team/app", "1", "one")
        image = f"{registry.address}/team/app:1"
        create(daemon, "refused", "sleep", "1000", Image=image)
        assert until("it is refused", lambda: _errors(daemon))[0] == f"No such image: {image}"
        daemon.client.remove_service("refused")
        daemon.client._auth_configs.add_auth(registry.address, {"username": "ann", "password": "pass"})
        create(daemon, "web", "sleep", "1000", Image=image)
        daemon.running("web", 1)
        shown = json.dumps([daemon.client.inspect_service("web"), daemon.client.tasks()])
        assert "auth" not in shown.lower().replace("author", "")
        daemon.client.remove_service("web")
        until("it is removed", lambda: not engine.containers(all=True, filters={"label": LABEL}))
        engine.remove_image(image)


async def test_a_container_that_a_dead_predecessor_asked_for_is_removed(
    lab: Lab, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine makes it although nobody waits for the answer, and after the successor has looked."""
    monkeypatch.setattr(runtime, "LATE_LOOK_S", 0.0)
    lab.outsider.load_images()
    asking = NodeEngine(lab.outsider.host)
    heir = DockerRuntime("some-node", asking)
    await heir.recover((), ())
    made = engine.create_container(IMAGE, "sleep 1", labels={LABEL: "some-node", "com.docker.swarm.task.id": "gone"})
    assert heir._late_look is not None
    await heir._late_look
    assert made["Id"] not in [one["Id"] for one in engine.containers(all=True)]
    await heir.close()
    await asking.close()


def inspected(client: Any, engine: Any, name: str) -> dict[str, Any]:
    (task,) = until(
        f"{name} runs",
        lambda: [one for one in client.tasks({"service": name}) if one["Status"]["State"] == "running"],
    )
    (found,) = containers(engine, task)
    text = json.dumps(engine.inspect_container(found["Id"]))
    for masked in (task["ID"], task["NodeID"], task["ServiceID"], found["Id"], found["Id"][:12]):
        text = text.replace(masked, "MASKED")
    return dict(flat("", json.loads(text.replace("outsider", "node1").replace("alpha", "node1"))))


def test_a_container_is_the_one_that_swarm_itself_makes(daemon: Daemon, engine: Any, lab: Lab) -> None:
    with lab.manager.client() as real:
        try:
            for client in (real, daemon.client):
                client.create_network("compared", driver="overlay")
                for name, template in COMPARED.items():
                    sent = copy.deepcopy(template)
                    sent["ContainerSpec"]["Image"] = IMAGE
                    if client is real:
                        sent["Placement"] = {"Constraints": ["node.hostname==node1"]}
                    post_service(client, name, {"TaskTemplate": sent, "EndpointSpec": {"Mode": "dnsrr"}})
            for name in COMPARED:
                theirs, ours = inspected(real, real, name), inspected(daemon.client, engine, name)
                assert len(theirs) > 20
                differing = {path for path in {*theirs, *ours} if theirs.get(path) != ours.get(path)}
                assert differing <= BRIDGE, {path: (theirs.get(path), ours.get(path)) for path in differing - BRIDGE}
        finally:
            sweep(lab)


def test_a_task_is_asked_to_end_with_its_own_signal_and_tells_how_it_ended(daemon: Daemon, engine: Any) -> None:
    script = 'trap "exit 3" INT; echo > /ready; while :; do sleep 0.05; done'
    create(daemon, "web", "sh", "-c", script, StopSignal="SIGINT", StopGracePeriod=600 * SECOND)
    (task,) = daemon.running("web", 1).values()
    (container,) = containers(engine, task)
    run(engine, container["Id"], "ls", "/ready")
    service = daemon.client.inspect_service("web")
    forced = {**service["Spec"]["TaskTemplate"], "ForceUpdate": 1}
    daemon.client.update_service("web", service["Version"]["Index"], forced, "web", mode=service["Spec"]["Mode"])
    (ended,) = until(
        "the first has ended",
        lambda: [one for one in daemon.client.tasks() if one["Status"]["State"] == "shutdown"],
    )
    assert ended["Status"]["ContainerStatus"] == {"ContainerID": container["Id"], "PID": 0, "ExitCode": 3}
