"""`swarmctl daemon` as a process of its own, for tests: started, killed, started again, and asked by docker-py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from tests.lab.engine import Engine

WAIT_S = 60.0
LOOK_S = 0.02
TASK_DIR = b"SWARM_TASK_DIR="
KEEPER = b"swarm-task"


def until(promise: str, holds: Callable[[], Any]) -> Any:
    """Return what `holds` gives, as soon as that is true."""
    deadline = time.monotonic() + WAIT_S
    while not (found := holds()):
        assert time.monotonic() < deadline, f"it never came true that {promise}"
        time.sleep(LOOK_S)
    return found


@dataclass
class Daemon:
    """One daemon in `folder`; its state is in `folder`/d."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    arguments: tuple[str, ...] = ("--runtime", "process")
    client: Any = field(default=None, repr=False)
    engine: Any = field(default=None, repr=False)
    """The engine that runs its tasks as containers; None where they are processes."""
    inside: tuple[str, ...] = ()
    """What enters the network namespace that it runs in."""

    @property
    def data_dir(self) -> Path:
        return self.folder / "d"

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/d.sock"

    def start(self) -> Daemon:
        """Start it, and return once it listens."""
        words = (
            "daemon",
            "--data-dir",
            str(self.data_dir),
            "--host",
            self.host,
            "--hostname",
            "alpha",
            *self.arguments,
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.inside, sys.executable, "-m", "reconciler.main", *words], stdout=subprocess.PIPE, stderr=log
            )
        assert self.process.stdout is not None
        told = self.process.stdout.readline()
        assert told.startswith(b"export DOCKER_HOST="), (self.folder / "log").read_text()
        self.client = docker.APIClient(base_url=self.host, version="1.44", timeout=30)
        return self

    def init(self) -> str:
        """Begin a swarm; return the node's id."""
        self.client.init_swarm(advertise_addr="127.0.0.1")
        return str(self.client.info()["Swarm"]["NodeID"])

    def kill(self) -> None:
        """End it without any farewell."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._close()

    def terminate(self) -> int:
        """End it in an orderly way; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(WAIT_S)
        self._close()
        return code

    def _close(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        if self.client is not None:
            self.client.close()
        self.process = None

    def running(self, name: str, count: int) -> dict[int, Any]:
        """Return {slot: task} of a service once exactly `count` tasks are wanted and all of them run its template."""

        def settled() -> dict[int, Any] | None:
            template = self.client.inspect_service(name)["Spec"]["TaskTemplate"]
            tasks = [
                task for task in self.client.tasks({"service": name}) if task["DesiredState"] in ("running", "ready")
            ]
            same = all(task["Spec"]["ContainerSpec"] == template["ContainerSpec"] for task in tasks)
            up = all(task["Status"]["State"] == "running" and task["DesiredState"] == "running" for task in tasks)
            return {task["Slot"]: task for task in tasks} if len(tasks) == count and same and up else None

        try:
            found: dict[int, Any] = until(f"{count} tasks of {name} run", settled)
        except AssertionError:
            print(self.client.inspect_service(name))
            for task in self.client.tasks({"service": name}):
                print(task["Slot"], task["DesiredState"], task["Status"], task["Spec"]["ContainerSpec"].get("Env"))
            raise
        return found

    def programs(self) -> dict[str, list[Any]]:
        """Return {task id: the processes that carry its folder}, the keepers left out; or its running containers."""
        found: dict[str, list[Any]] = {}
        if self.engine is not None:
            # The list is a little behind. The newest come first: an older one that runs when it is looked at after
            # them runs beside them.
            for one in self.engine.containers(filters={"label": "com.docker.swarm.task.id"}):
                with suppress(docker.errors.NotFound):
                    if self.engine.inspect_container(one["Id"])["State"]["Running"]:
                        found.setdefault(one["Labels"]["com.docker.swarm.task.id"], []).append(one["Id"])
            return found
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                variables = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            marks = [one[len(TASK_DIR) :].decode() for one in variables if one.startswith(TASK_DIR)]
            if marks and marks[0].startswith(str(self.data_dir)) and KEEPER not in words:
                found.setdefault(marks[0].rpartition("/")[2], []).append(int(entry))
        return found


@contextmanager
def a_daemon(folder: Path, engine: Any = None, beside: Engine | None = None) -> Iterator[Daemon]:
    """Start a daemon, in the network namespace of the engine `beside` it (`engine` is a client of that), or with
    processes; at the end it, and whatever of its tasks there is, is ended."""
    made = Daemon(folder, engine=engine)
    if beside is not None:
        made.arguments = ("--runtime", "docker", "--docker-host", beside.host)
        made.inside = ("nsenter", f"--net=/proc/{beside.cell.process.pid}/ns/net")
    try:
        yield made.start()
    finally:
        if made.process is not None:
            made.kill()
        for found in made.programs().values():
            for one in found:
                if made.engine is None:
                    os.kill(one, signal.SIGKILL)
                else:
                    made.engine.remove_container(one, force=True)
