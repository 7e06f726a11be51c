"""The systemd unit as it is shipped, started by a real systemd: what it lets the controller do, and what not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Backend
from tests.e2e.controllers import until
from tests.e2e.followed import STACK, small_swarm
from tests.lab.booted import Machine, booted, why_not
from tests.lab.git_servers import Repository, ssh_server, sshd_path
from tests.lab.signers import Signer, gpg_signer

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "examples" / "controller" / "swarmctl.service"
SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: prod}\nspec: {policy: {prune: true}}\n"
SOCKET = "unix:///var/lib/swarmctl/controller.sock"
LAUNCHER = """#!/bin/sh
export PYTHONPATH=/opt/source:/opt/packages LD_LIBRARY_PATH=/opt/python/lib PYTHONDONTWRITEBYTECODE=1
exec /opt/python/bin/@PYTHON@ -m reconciler.main "$@"
"""
"""What pip puts there: this machine's own Python and packages lie where the unit's user may not look."""

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
    pytest.mark.skipif(not sshd_path() or not shutil.which("gpg"), reason="needs sshd and gpg"),
]


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    (tmp_path / "s").mkdir()
    with small_swarm(tmp_path / "s") as made:
        yield made


@pytest.fixture
def machine(backend: Backend, tmp_path: Path) -> Iterator[Machine]:
    """A machine with swarmctl as docs/operations.md installs it, an engine's socket of the group docker, and sshd."""
    base, socket = tmp_path / "machine", Path(backend.host.removeprefix("unix://"))
    base.mkdir()
    binds = {
        Path(sys.base_prefix): "/opt/python",
        Path(sysconfig.get_path("purelib")): "/opt/packages",
        ROOT: "/opt/source",
        tmp_path / "served": "/srv/served",
        socket: "/srv/docker.sock",
    }
    (tmp_path / "served").mkdir()
    with booted(base, binds) as made:
        made.ok("groupadd", "-f", "docker")
        os.chown(socket, 0, int(made.ok("getent", "group", "docker").split(":")[2]))
        socket.chmod(0o660)
        made.write(
            "/opt/swarmctl/bin/swarmctl", LAUNCHER.replace("@PYTHON@", Path(sys.executable).resolve().name), "755"
        )
        made.ok("chmod", "755", "/opt/swarmctl", "/opt/swarmctl/bin")
        made.ok("useradd", "--system", "--home-dir", "/var/lib/swarmctl", "swarmctl")
        made.write("/etc/systemd/system/swarmctl.service", UNIT.read_text())
        made.ok("systemctl", "daemon-reload")
        yield made


def configure(machine: Machine, tmp_path: Path, signer: Signer) -> None:
    """A source over ssh whose commits are signed by gpg, a group of its own, and an API on the network."""
    with ssh_server(tmp_path / "ssh") as server:
        port = server.url.rpartition(":")[2]
    secrets = "/etc/swarmctl/secrets"
    machine.ok("install", "-d", "-o", "swarmctl", "-m", "0700", secrets)
    machine.write(f"{secrets}/key", server.key.read_text(), "600", "swarmctl")
    machine.write(f"{secrets}/known_hosts", server.known_hosts.read_text(), "600", "swarmctl")
    machine.write(f"{secrets}/keys", signer.gpg_keys, "600", "swarmctl")
    machine.ok("mkdir", "-p", "/run/sshd", "/srv/ssh")
    for name in ("host", "authorized", "config"):
        text = (tmp_path / "ssh" / name).read_text().replace(str(tmp_path), "/srv")
        machine.write(f"/srv/ssh/{name}", text, "600")
    machine.ok(str(sshd_path()), "-f", "/srv/ssh/config")
    machine.ok(
        "/opt/swarmctl/bin/swarmctl",
        *("peers", "init", "--name", "node1", "--listen", "127.0.0.1:7946", "--dir", "/etc/swarmctl/peers"),
    )
    machine.ok("chown", "-R", "swarmctl", "/etc/swarmctl/peers")
    source = {
        "name": "infra",
        "url": f"ssh://root@127.0.0.1:{port}/srv/served/infra.git",
        "ref": {"branch": "main"},
        "interval": "1s",
        "access": {"sshKeyFile": f"{secrets}/key", "knownHostsFile": f"{secrets}/known_hosts"},
        "signatures": {"signed": "head", "gpgKeysFile": f"{secrets}/keys"},
    }
    spec = {
        "name": "prod",
        "dataDir": "/var/lib/swarmctl",
        "cluster": {"host": "unix:///srv/docker.sock"},
        "sources": [source],
        "group": {"peers": "/etc/swarmctl/peers", "members": {"node1": "127.0.0.1:7946"}},
    }
    file = yaml.safe_dump({"apiVersion": "swarmctl/v1", "kind": "Controller", "spec": spec})
    machine.write("/etc/swarmctl/controller.yaml", file)


def journal(machine: Machine) -> str:
    return machine.ok("journalctl", "--unit=swarmctl", "--output=cat", "--no-pager")[-4000:]


def test_the_unit_starts_restarts_and_stops_a_controller_that_can_do_all_of_its_work(
    machine: Machine, backend: Backend, tmp_path: Path
):
    repository, signer = Repository.make(tmp_path), gpg_signer(tmp_path, "ada")

    def ask_for(mark: str) -> None:
        repository.commit(mark, swarm_DOT_yaml=SWARM, stacks__web_DOT_yaml=STACK.format(mark=mark))
        signer.commit(repository, mark)

    def has(mark: str) -> bool:
        found = backend.engine.services(filters={"name": "web_api"})
        return bool(found) and found[0]["Spec"]["Labels"]["mark"] == mark

    def await_mark(mark: str) -> None:
        try:
            until(lambda: has(mark), f"the swarm has {mark}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {journal(machine)}") from error

    ask_for("1")
    configure(machine, tmp_path, signer)
    started = machine.run("systemctl", "start", "swarmctl")
    assert started.returncode == 0, started.stderr + journal(machine)
    # It says that it is ready when its API answers, and not before.
    shown = machine.ok("/opt/swarmctl/bin/swarmctl", "status", "--controller", SOCKET)
    assert "Cluster prod" in shown
    await_mark("1")
    found = {one: machine.show("swarmctl", one) for one in ("ActiveState", "User", "NRestarts", "MainPID")}
    process = found.pop("MainPID")
    assert found == {"ActiveState": "active", "User": "swarmctl", "NRestarts": "0"}
    status = dict(line.split(":\t", 1) for line in machine.ok("cat", f"/proc/{process}/status").splitlines())
    confined = {name: status[name] for name in ("NoNewPrivs", "CapBnd", "Seccomp")}
    assert confined == {"NoNewPrivs": "1", "CapBnd": "0" * 16, "Seccomp": "2"}

    machine.ok("systemctl", "kill", "--signal=KILL", "swarmctl")
    ask_for("2")
    await_mark("2")
    assert [machine.show("swarmctl", one) for one in ("ActiveState", "NRestarts")] == ["active", "1"]

    machine.ok("systemctl", "stop", "swarmctl")
    # A process that had to be killed after TimeoutStopSec= would be a timeout.
    ended = [machine.show("swarmctl", one) for one in ("ActiveState", "Result", "ExecMainStatus")]
    assert ended == ["inactive", "success", "0"], journal(machine)
    assert '"controller ends"' in journal(machine)

    machine.write("/etc/swarmctl/controller.yaml", "kind: Nothing\n")
    failed = machine.run("systemctl", "start", "swarmctl")
    assert failed.returncode != 0, "what is wrong is seen by who starts it"
    assert "controller.yaml:1" in journal(machine)
    machine.ok("systemctl", "stop", "swarmctl")
    subprocess.run(
        ["gpgconf", "--kill", "gpg-agent"], env=signer.environment | {"PATH": os.environ["PATH"]}, check=False
    )
