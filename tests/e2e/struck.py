"""A swarm whose engines a test ends and starts again, and an apply that is under way meanwhile."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker

from reconciler.model.errors import ExitCode
from tests.e2e.conftest import Backend
from tests.e2e.program import Finished, Program, Repository
from tests.e2e.rotation import check, files_of
from tests.lab.engine import Engine
from tests.lab.lab import Lab

APPLY = ("apply", "--yes", "--resolve-image", "never")
WROTE = (": created", ": updated", ": removed", ": replaced")
ENDINGS = (0, 1, 3, 4, 6)
"""Exit codes of an apply that was struck: it went on, or says why it did not. Swarm pauses an update (4) when a
restarting engine takes the new task down with it; on such an engine a task may fail again and again (6)."""

AFTERMATH_MAX = 2
"""Applies more, where tasks fail on an engine that has just come back."""

WAIT_S = 120.0
POLL_S = 0.05


@dataclass
class Struck:
    """A swarm whose engines a test ends and starts again, and a repository that is applied to it."""

    lab: Lab
    engine: Engine
    """The one that is talked to."""
    backend: Backend
    repository: Repository
    revision: int = 0
    aftermaths: int = 0
    """Applies whose tasks failed on an engine that had just come back."""

    @property
    def leader(self) -> Engine | None:
        """The engine of the manager that leads, as far as the one that is talked to knows."""
        for node in self._nodes():
            status = node.get("ManagerStatus") or {}
            if status.get("Leader") and status["Reachability"] == "reachable":
                return next(one for one in self.lab.engines if one.name == node["Description"]["Hostname"])
        return None

    def _nodes(self) -> list[dict]:
        try:
            with self.engine.client() as client:
                return client.nodes()
        except (docker.errors.DockerException, OSError):
            return []  # it has ended, just starts, or nobody leads

    def wait_until_whole(self) -> None:
        """Return when the engine that is talked to serves, all nodes are ready, and all managers reachable."""
        deadline = time.monotonic() + WAIT_S
        while not self._is_whole():
            assert time.monotonic() < deadline, [engine.cell.tail() for engine in self.lab.engines[:3]]
            time.sleep(POLL_S)

    def _is_whole(self) -> bool:
        nodes = self._nodes()
        managers = [node["ManagerStatus"] for node in nodes if "ManagerStatus" in node]
        return (
            bool(nodes)
            and all(node["Status"]["State"] == "ready" for node in nodes)
            and len(managers) == self.lab.managers
            and all(one["Reachability"] == "reachable" for one in managers)
            and any(one.get("Leader") for one in managers)
        )

    def finish(self, ended: Finished, where: object = "") -> None:
        """After an apply that has gone on by itself, or else after the next one, the swarm is exactly as asked for.

        More may be needed where tasks fail on the engine that was struck: it may find its own networks still in use.
        """
        where = (where, ended.text)
        self.wait_until_whole()
        for _ in range(1 + AFTERMATH_MAX if ended.code else 0):
            ended = self.backend.swarmctl(*APPLY)
            if ended.code not in (ExitCode.PAUSED, ExitCode.TASKS_FAILING):
                break
            self.aftermaths += 1
            print(f"Aftermath of {where}:\n{ended.err}", flush=True)
        assert ended.code == 0, (where, ended.text)
        tasks = check(self.backend, self.revision, where)
        wait_until(lambda: self.containers() == tasks, "on the nodes runs nothing but these tasks")

    def containers(self) -> dict[str, int]:
        """{service: its containers}, on all engines of the swarm."""
        found = Counter[str]()
        for engine in self.lab.engines[:3]:
            with engine.client() as client:
                found.update(one["Labels"]["com.docker.swarm.service.name"] for one in client.containers())
        return dict(found)


class Apply:
    """An apply under way, whose messages are read while it runs."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._program.stderr is not None
        for line in self._program.stderr:
            self._lines.append(line)

    def until(self, text: tuple[str, ...], times: int = 1) -> None:
        """Return once one of some texts stands in so many lines."""
        deadline = time.monotonic() + WAIT_S
        while sum(any(one in line for one in text) for line in list(self._lines)) < times:
            assert self._program.poll() is None, "".join(self._lines)
            assert time.monotonic() < deadline, "".join(self._lines)
            time.sleep(0.005)

    @property
    def is_over(self) -> bool:
        return self._program.poll() is not None

    def ended(self) -> Finished:
        """Return how it ended."""
        self._program.wait(2 * WAIT_S)
        self._reader.join()
        assert self._program.stdout is not None
        text = "".join(self._lines)
        assert "Traceback" not in text, text
        return Finished(self._program.returncode, self._program.stdout.read(), text)

    def close(self) -> None:
        """End it, should the test itself have ended."""
        self._program.kill()
        self._program.wait(WAIT_S)
        self._reader.join()


@contextmanager
def a_swarm(lab: Lab, engine: Engine, folder: Path) -> Iterator[Struck]:
    """A swarm that has the first revision, through one of its managers."""
    swarmctl = Program(folder, {"DOCKER_HOST": engine.host})
    repository = Repository(folder / "infra")
    swarmctl.folder = repository.folder
    repository.commit(files_of(0))
    with engine.client() as client:
        made = Struck(lab, engine, Backend("docker", engine.host, client, swarmctl), repository)
        made.wait_until_whole()
        swarmctl.ok(*APPLY)
        yield made


@contextmanager
def applying(swarm: Struck) -> Iterator[Apply]:
    """An apply of the next revision, just begun."""
    swarm.revision += 1
    swarm.repository.commit(files_of(swarm.revision))
    begun = Apply(swarm.backend.swarmctl.start(*APPLY))
    try:
        yield begun
    finally:
        begun.close()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)
