"""A backup of a controller or daemon that runs, by the program: taken, verified, restored elsewhere, and gone on with.

No engine is needed: what the controller remembers is written whether it reaches its cluster or not, and the daemon's
tasks are processes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e import daemon
from tests.e2e.controllers import Controller, ended, until
from tests.lab.git_servers import Repository


def swarmctl(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconciler.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def ready(controller: Controller) -> bool:
    assert controller.process is not None
    assert controller.process.poll() is None, controller.log_end()
    return controller.socket.exists() and bool(controller.get("/v1/status")["leader"])


def suspended(controller: Controller) -> str:
    """Why the source of this controller is suspended."""
    [source] = controller.get("/v1/status")["sources"]
    return str(source["suspended"]["reason"]) if source["suspended"] else ""


def test_a_backup_of_a_running_controller_begins_a_new_group(tmp_path: Path) -> None:
    repository = Repository.make(tmp_path)
    repository.commit("first", swarm_DOT_yaml="apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: prod}\n")
    spec = {
        "cluster": {"host": f"unix://{tmp_path}/no-engine.sock"},
        "sources": [{"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}}],
    }
    before, after = Controller(tmp_path / "before", spec), Controller(tmp_path / "after", spec)
    backup = tmp_path / "backup"
    with ended(before, after):
        before.start()
        until(lambda: ready(before), "the first one leads")
        address = f"unix://{before.socket}"
        done = swarmctl("suspend", "*", "--reason", "freeze until Monday", "--controller", address)
        assert done.returncode == 0, done.stderr
        until(lambda: suspended(before), "the suspension is kept")
        done = swarmctl("store", "backup", "--to", backup, "--controller", address)
        assert done.returncode == 0, done.stderr
        assert "whole" in done.stdout + done.stderr
        assert backup.stat().st_mode & 0o777 == 0o600
        assert ready(before), "it goes on as before"
        assert before.stop() == 0
        assert swarmctl("store", "verify", backup).returncode == 0
        after.write()
        restored = swarmctl("store", "restore", backup, "--config", after.folder / "controller.yaml")
        assert restored.returncode == 0, restored.stderr
        after.start()
        until(lambda: ready(after), "the other one leads")
        assert suspended(after) == "freeze until Monday"
    left = [path.name for path in tmp_path.rglob("*.tmp")]
    assert left == []


def test_a_backup_of_no_controller_leaves_nothing(tmp_path: Path) -> None:
    done = swarmctl("store", "backup", "--to", tmp_path / "backup", "--controller", f"unix://{tmp_path}/none.sock")
    assert done.returncode == 1
    assert "controller-unreachable" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_backup_of_a_running_daemon_goes_on_in_another_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "before", tmp_path / "after"]
    for folder in folders:
        folder.mkdir()
    backup = tmp_path / "backup"
    command = {
        "ContainerSpec": {"Image": "none", "Command": ["sleep", "1000"]},
        "RestartPolicy": {"Condition": "any", "Delay": 0},
    }
    with daemon.a_daemon(folders[0]) as before:
        node_id = before.init()
        before.client.create_secret("password", b"secret")
        before.client.create_service(command, name="web", mode={"Replicated": {"Replicas": 2}})
        before.running("web", 2)
        done = swarmctl("store", "backup", "--to", backup, "--host", before.host)
        assert done.returncode == 0, done.stderr
        assert backup.stat().st_mode & 0o777 == 0o600
        done = swarmctl("store", "restore", backup, "--data-dir", before.data_dir)
        assert done.returncode == 1
        assert "embedded-already-running" in done.stderr
    done = swarmctl("store", "restore", backup, "--data-dir", folders[1] / "d")
    assert done.returncode == 0, done.stderr
    with daemon.a_daemon(folders[1]) as after:
        assert after.client.info()["Swarm"]["NodeID"] == node_id
        assert [one["Spec"]["Name"] for one in after.client.secrets()] == ["password"]
        after.running("web", 2)


def test_a_backup_is_of_one_thing(tmp_path: Path) -> None:
    done = swarmctl("store", "backup", "--to", tmp_path / "backup", "--data-dir", tmp_path, "--host", "unix:///none")
    assert done.returncode == 1
    assert "One thing is backed up at a time" in done.stderr
    assert list(tmp_path.iterdir()) == []
