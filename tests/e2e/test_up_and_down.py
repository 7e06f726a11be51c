"""`swarmctl up` and `down`, when what runs in between is killed."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker

from tests.e2e.daemon import until
from tests.e2e.program import Program

STUBBORN = ["sh", "-c", 'trap "" TERM; while :; do sleep 0.2; done']


def processes_of(folder: Path) -> list[int]:
    """Return the processes that carry a task's folder below `folder`."""
    mark = f"SWARM_TASK_DIR={folder}/".encode()
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and mark in Path(f"/proc/{entry}/environ").read_bytes():
                found.append(int(entry))
        except OSError:
            continue
    return found


def test_down_ends_what_a_killed_swarm_has_left(tmp_path: Path) -> None:
    folder = tmp_path / "swarm"
    swarmctl = Program(tmp_path, {"SWARMCTL_DATA_DIR": str(folder)})
    host = swarmctl.ok("up", "--nodes", "2").split("DOCKER_HOST=")[1].split()[0]
    client = docker.APIClient(base_url=host, version="1.44")
    template = docker.types.TaskTemplate(docker.types.ContainerSpec("any", command=STUBBORN))
    client.create_service(template, name="web", mode={"Replicated": {"Replicas": 2}})
    until("its tasks run", lambda: len(processes_of(folder)) >= 4)  # each has a keeper
    client.close()
    os.kill(int((folder / "swarm.pid").read_text()), signal.SIGKILL)
    first, left, second = swarmctl("down"), processes_of(folder), swarmctl("down")
    assert (first.code, "had been killed before" in first.err) == (0, True)
    assert left == []
    assert (second.code, "embedded-not-running" in second.err) == (1, True)


def test_down_leaves_a_daemons_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "swarm" / "nodes").mkdir(parents=True)
    (tmp_path / "swarm" / "node.json").write_text("{}")
    done = Program(tmp_path, {"SWARMCTL_DATA_DIR": str(tmp_path / "swarm")})("down")
    assert (done.code, "embedded-not-running" in done.err) == (1, True)
    assert (tmp_path / "swarm" / "nodes").exists()


def test_of_two_that_begin_at_once_one_is_told_that_the_other_runs(tmp_path: Path) -> None:
    swarmctl = Program(tmp_path, {"SWARMCTL_DATA_DIR": str(tmp_path / "swarm")})
    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: swarmctl("up", "--nodes", "1"), range(2))
        assert sorted((first.code, second.code)) == [0, 1]
        refused, begun = (first, second) if first.code else (second, first)
        # Either is told by the one that was faster, or while both begin.
        assert "embedded-already-running" in refused.err
        assert (tmp_path / "swarm" / "swarm.pid").read_text().strip() in begun.err
    finally:
        swarmctl("down")
