"""swarmctl import on both backends: `diff` of what it writes has nothing to change."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Backend

STACK = """
version: "3.8"
services:
  api:
    image: any:1
    command: sh -c 'sleep 1000 $$PPID'
    environment: {B: "2", A: "$$1", EMPTY: ""}
    networks: {back: {aliases: [service]}}
    ports: ["8080:80", {target: 53, published: 5353, protocol: udp, mode: host}]
    secrets: [{source: key, target: /key, mode: 0400}]
    configs: [settings]
    volumes: ["data:/data", "/tmp:/host:ro", {type: tmpfs, target: /scratch, tmpfs: {size: 65536}}]
    stop_grace_period: 1s
    deploy:
      replicas: 2
      labels: {tier: front}
      resources: {limits: {cpus: "0.5", memory: 64M}}
      update_config: {parallelism: 2, order: start-first, failure_action: rollback, monitor: 1s}
      restart_policy: {condition: on-failure, delay: 2s}
  worker: {image: "any:1", command: sleep 1000, stop_grace_period: 1s, deploy: {mode: global}}
networks: {back: {attachable: true, labels: {a.b: c}}}
volumes: {data: {driver: local, labels: {keep: "yes"}}}
secrets: {key: {file: key}}
configs: {settings: {file: settings.bin, labels: {kind: binary}}}
"""

FLAGS = """
--replicas 2 --hostname '{{.Task.Name}}' --user 7:8 --group 44 --dns 1.1.1.1 --dns-option ndots:2 --dns-search a.b
--host db:10.0.0.1 --ulimit nofile=100:200 --cap-add NET_ADMIN --cap-drop CHOWN --sysctl net.core.somaxconn=99
--init --read-only --tty --stop-signal SIGINT --workdir /srv --entrypoint env
--mount type=volume,source=data,target=/data,volume-driver=local,volume-opt=a=b,volume-label=c=d
--mount type=bind,source=/tmp,target=/host,readonly,bind-propagation=rslave
--mount type=tmpfs,target=/scratch,tmpfs-size=65536,tmpfs-mode=0700 --constraint node.role==worker
--placement-pref spread=node.labels.zone --replicas-max-per-node 1 --limit-cpu 0.3 --limit-memory 64m --limit-pids 9
--reserve-cpu 0.1 --reserve-memory 8m --health-cmd 'test $HOME' --health-interval 90s --health-retries 2
--health-start-period 1500ms --update-parallelism 0 --update-delay 1m30s --update-order start-first
--update-max-failure-ratio .3 --update-failure-action continue --update-monitor 2s --rollback-parallelism 3
--rollback-delay 1s --restart-condition on-failure --restart-max-attempts 4 --restart-window 3m --restart-delay 2s
--log-driver json-file --log-opt max-size=1m --isolation default
"""
"""Of docker service create: whatever an engine of 20.10 takes."""


def docker(backend: Backend, *words: str, stdin: bytes | None = None) -> str:
    """Run the real docker CLI."""
    finished = subprocess.run(
        ["docker", "-H", backend.host, *words], input=stdin, capture_output=True, check=False, timeout=120
    )
    assert finished.returncode == 0, f"docker {' '.join(words)}: {finished.stderr.decode()}"
    return finished.stdout.decode().strip()


def deploy_stack(backend: Backend, folder: Path) -> None:
    folder.mkdir()
    (folder / "web.yaml").write_text(STACK)
    (folder / "key").write_text("hush")
    (folder / "settings.bin").write_bytes(b"\x00\xff\r\n")
    docker(backend, "stack", "deploy", "-c", str(folder / "web.yaml"), "--resolve-image", "never", "web")


def assert_imported(backend: Backend, out: Path) -> None:
    backend.swarmctl.environment["EMPTY"] = "from whoever reads"
    backend.swarmctl.ok("import", "--out", str(out))
    before = backend.versions()
    compared = backend.swarmctl("diff", str(out))
    assert compared.code == 0, compared.text  # a service that no node can run is told, and is no difference
    assert compared.out.splitlines()[-1].startswith("No changes."), compared.text
    assert backend.versions() == before


def create(backend: Backend, name: str, *flags: str) -> None:
    fixed = ("--detach", "--no-resolve-image", "--name", name, "--stop-grace-period", "1s")
    docker(backend, "service", "create", *fixed, *flags, "any:1", "sleep", "1000")


def test_services_outside_stacks_and_a_stack_come_back(backend: Backend, tmp_path: Path) -> None:
    node = backend.hostnames()[1]
    docker(backend, "node", "update", "--label-add", "disk=ssd", "--availability", "pause", node)
    docker(backend, "swarm", "update", "--task-history-limit", "3")
    docker(backend, "network", "create", "--driver", "overlay", "--attachable", "--label", "a.b=c", "shared")
    docker(backend, "secret", "create", "token", "-", stdin=b"hush")
    docker(backend, "config", "create", "--label", "x=y", "plain.conf", "-", stdin=b"a: $b\n")
    deploy_stack(backend, tmp_path / "stack")
    create(backend, "bare")
    create(backend, "one", "--env", "Z=1", "--env", "A=$HOME", "--env", "EMPTY=", "--network", "shared")
    create(backend, "two", "--mode", "global", "--secret", "token", "--label", "a=b", "--container-label", "c=d")
    create(
        backend, "three", "--config", "source=plain.conf,target=/etc/plain,mode=0400", "--publish", "8090:80",
        "--network", "name=web_back,alias=three",
    )  # fmt: skip

    assert_imported(backend, tmp_path / "out")

    cluster = yaml.safe_load((tmp_path / "out" / "swarm.yaml").read_text())["spec"]
    assert cluster["settings"]["taskHistoryLimit"] == 3
    assert {"hostname": node, "role": "worker", "availability": "pause", "labels": {"disk": "ssd"}} in cluster["nodes"]
    assert cluster["networks"]["shared"]["attachable"] is True
    assert (tmp_path / "out" / "stacks" / "web" / "settings").read_bytes() == b"\x00\xff\r\n"
    web = (tmp_path / "out" / "stacks" / "web.yaml").read_text()
    assert "name: web_key" in web
    assert "hush" not in web
    assert yaml.safe_load(web)["services"]["worker"] == {
        "image": "any:1",
        "command": ["sleep", "1000"],
        "stop_grace_period": "1s",
        "deploy": {"mode": "global"},
    }


def test_a_folder_that_is_not_empty_is_left_alone(backend: Backend, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "swarm.yaml").write_text("mine")
    assert "output-not-empty" in backend.swarmctl.ok("import", "--out", str(out), code=1)
    assert (out / "swarm.yaml").read_text() == "mine"
    backend.swarmctl.ok("import", "--out", str(out), "--force")
    assert "kind: Cluster" in (out / "swarm.yaml").read_text()


def test_without_a_folder_everything_is_printed(backend: Backend, tmp_path: Path) -> None:
    deploy_stack(backend, tmp_path / "stack")
    create(backend, "bare", "--env", "DB_PASSWORD=1")
    finished = backend.swarmctl("import")
    assert finished.code == 0
    assert [line for line in finished.out.splitlines() if line.startswith("==>")] == [
        "==> swarm.yaml <==",
        "==> services.yaml <==",
        "==> stacks/web.yaml <==",
        "==> stacks/web/settings <==",
    ]
    assert "(4 bytes that are no plain text)" in finished.out
    assert "import-sensitive" in finished.err
    assert "hush" not in finished.text


@pytest.mark.engine
@pytest.mark.parametrize("backend", ["docker"], indirect=True)
def test_services_of_many_flags_come_back(backend: Backend, tmp_path: Path) -> None:
    """Flags that the real engine keeps and the embedded swarm may not know."""
    create(backend, "flags", *shlex.split(FLAGS))
    create(backend, "job", "--mode", "replicated-job", "--replicas", "5", "--max-concurrent", "2")
    create(backend, "everywhere", "--mode", "global-job", "--no-healthcheck")
    create(backend, "host", "--network", "host", "--endpoint-mode", "dnsrr")
    create(
        backend, "published", "--publish", "mode=host,target=53,published=5353,protocol=udp", "--publish", "81-83:81-83"
    )
    create(backend, "generic", "--generic-resource", "gpu=1", "--env", "BARE", "--env-file", os.devnull)
    create(backend, "labelled", "--label", "com.docker.stack.namespace=other", "--label", "x=$y")
    create(backend, "odd", "--label", "com.docker.stack.namespace=no stack!")
    spec = backend.service("flags")["Spec"]
    spec["Name"] = "raw"
    container = spec["TaskTemplate"]["ContainerSpec"]
    container["Privileges"] = {"SELinuxContext": {"Disable": True, "Level": "s0"}, "CredentialSpec": None}
    container["Mounts"] = [{"Type": "bind", "Source": "/tmp", "Target": "/a", "BindOptions": {"NonRecursive": True}}]
    backend.engine._post_json(backend.engine._url("/services/create"), data=spec).raise_for_status()

    assert_imported(backend, tmp_path / "out")

    flags = yaml.safe_load((tmp_path / "out" / "services.yaml").read_text())["services"]["flags"]
    extension = flags["x-swarmctl"]["spec"]["TaskTemplate"]["ContainerSpec"]
    assert extension["Groups"] == ["44"]
    assert extension["DNSConfig"] == {"Options": ["ndots:2"]}
    assert flags["healthcheck"]["interval"] == "1m30s"
    assert flags["deploy"]["resources"]["limits"] == {"cpus": "0.3", "memory": "64M", "pids": 9}
