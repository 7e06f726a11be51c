"""Managers that restart, fail or are replaced by another leader in the midst of an apply, on a real swarm.

The apply goes on by itself or says what it did not do; then the next one finishes: nothing doubled, nothing lost,
nothing left over. RESTARTS says how many more are tried at random moments; SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from reconciler.model.errors import ExitCode
from tests.e2e.conftest import Backend
from tests.e2e.program import Finished, Program, Repository
from tests.e2e.rotation import check, files_of
from tests.lab.engine import Engine
from tests.lab.lab import Lab

RESTARTS = int(os.environ.get("RESTARTS") or 0)
SEED = int(os.environ.get("SEED") or 0) or random.SystemRandom().randrange(1, 1 << 30)
APPLY = ("apply", "--yes", "--resolve-image", "never")
WROTE = (": created", ": updated", ": removed", ": replaced")
ENDINGS = (0, 1, 3, 4, 6)
"""Exit codes of an apply that was struck: it went on, or says why it did not. Swarm pauses an update (4) when a
restarting engine takes the new task down with it; on such an engine a task may fail again and again (6)."""

LATEST_SHARE = 1.1
"""Of the time that an apply takes which nothing disturbs."""

AFTERMATH_MAX = 2
ATTEMPTS_PER_STRIKE = 4
"""A strike that comes too late says nothing, and does not count."""

AWAY_S = (0.0, 0.0, 3.0, 15.0)
"""Seconds until dockerd is started again; a leader is given up after some 10."""

WAIT_S = 120.0
POLL_S = 0.05

pytestmark = pytest.mark.engine


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

    def finish(self, where: object) -> None:
        """The next apply finishes, and the swarm is exactly what it was asked to be.

        One more, where tasks fail on the engine that was struck: it may find its own networks still in use.
        """
        self.wait_until_whole()
        for _ in range(1 + AFTERMATH_MAX):
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


@pytest.fixture(scope="module")
def labs(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Engines of their own, since they are ended and started again; `request.param` of them are managers."""
    with Lab(managers=request.param) as started:
        yield started


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


thorough = pytest.mark.skipif(not RESTARTS, reason="make restarts")
one_manager = pytest.mark.parametrize("labs", [1], indirect=True)
three_managers = pytest.mark.parametrize("labs", [3], indirect=True)


@one_manager
def test_the_only_manager_dies_between_two_writes(labs: Lab, tmp_path: Path):
    with a_swarm(labs, labs.manager, tmp_path) as swarm, applying(swarm) as apply:
        apply.until(WROTE, times=2)
        swarm.engine.end(signal.SIGKILL)
        assert not apply.is_over
        swarm.engine.start_again()
        ended = apply.ended()
        assert ended.code in ENDINGS, ended.text
        swarm.finish(ended.text)


@three_managers
def test_another_leader_takes_over_between_two_writes(labs: Lab, tmp_path: Path):
    with a_swarm(labs, labs.workers[0], tmp_path) as swarm, applying(swarm) as apply:
        former = swarm.leader
        assert former not in (None, swarm.engine)
        apply.until(WROTE, times=2)
        former.end(signal.SIGKILL)
        assert not apply.is_over
        wait_until(lambda: swarm.leader not in (None, former), "another manager leads")
        former.start_again()
        ended = apply.ended()
        assert ended.code in ENDINGS, ended.text
        swarm.finish(ended.text)


@one_manager
def test_a_manager_that_comes_back_locked_says_so_and_the_apply_goes_on_once_it_is_unlocked(labs: Lab, tmp_path: Path):
    with a_swarm(labs, labs.manager, tmp_path) as swarm:
        set_autolock(swarm.backend.engine, locks=True)
        key = swarm.backend.engine.get_unlock_key()["UnlockKey"]
        with applying(swarm) as apply:
            apply.until(WROTE, times=2)
            swarm.engine.end(signal.SIGKILL)
            swarm.engine.start_again()
            ended = apply.ended()
        for refused in (ended, swarm.backend.swarmctl("diff")):
            assert refused.code == 1, refused.text
            assert "[swarm-unavailable]" in refused.err
            assert "hint: Unlock it with `docker swarm unlock`." in refused.err
        assert swarm.backend.engine.unlock_swarm(key)
        swarm.finish(ended.text)
        set_autolock(swarm.backend.engine, locks=False)


@thorough
@one_manager
def test_a_manager_that_stays_away_ends_the_apply(labs: Lab, tmp_path: Path):
    with a_swarm(labs, labs.manager, tmp_path) as swarm:
        with applying(swarm) as apply:
            apply.until(WROTE, times=2)
            swarm.engine.end(signal.SIGTERM)
            ended = apply.ended()
        swarm.engine.start_again()
        assert ended.code == 1, ended.text
        assert "[engine-unreachable]" in ended.err
        assert "Apply failed: " in ended.out or "Applied in part: " in ended.out, ended.out
        swarm.finish(ended.text)


def set_autolock(engine: docker.APIClient, *, locks: bool) -> None:
    found = engine.inspect_swarm()
    spec = {**found["Spec"], "EncryptionConfig": {"AutoLockManagers": locks}}
    engine.update_swarm(found["Version"]["Index"], swarm_spec=spec)


@dataclass(frozen=True)
class Strike:
    """What befalls a manager in the midst of an apply."""

    engine: Engine
    number: signal.Signals
    after_s: float
    """Since the apply began."""
    away_s: float

    def __str__(self) -> str:
        return f"{self.number.name} to {self.engine.name} after {self.after_s:.1f} s, away for {self.away_s:.0f} s"


@thorough
@pytest.mark.timeout(120 + 240 * RESTARTS)
@pytest.mark.parametrize("labs", [1, 3], indirect=True)
def test_whenever_a_manager_is_struck_the_next_apply_finishes(labs: Lab, tmp_path: Path):
    """Every second strike hits the manager that is talked to, the others any one."""
    rolls, endings = random.Random(SEED), Counter[str]()
    with a_swarm(labs, labs.manager, tmp_path) as swarm:
        began = time.monotonic()
        with applying(swarm) as apply:
            assert apply.ended().code == 0
        undisturbed_s = time.monotonic() - began
        for attempt in range(ATTEMPTS_PER_STRIKE * RESTARTS):
            victim = swarm.engine if attempt % 2 else rolls.choice(labs.engines[: labs.managers])
            number = rolls.choice((signal.SIGKILL, signal.SIGTERM))
            strike = Strike(victim, number, rolls.uniform(0.0, undisturbed_s * LATEST_SHARE), rolls.choice(AWAY_S))
            led = "the leader" if victim is swarm.leader else "a follower"
            where = f"{labs.managers} managers, seed {SEED}: {strike}, {led}"
            ended = struck(swarm, strike)
            print(f"{where}: {'too late' if ended is None else ended.code}", flush=True)
            if ended is None:
                continue
            assert ended.code in ENDINGS, (where, ended.text)
            assert ended.code == 0 or "Error: " in ended.err, (where, ended.text)
            endings["went on by itself" if ended.code == 0 else f"told, {ended.code}"] += 1
            if ended.code:
                print(ended.err, flush=True)
            swarm.finish((where, ended.text))
            if endings.total() == RESTARTS:
                break
    print(f"{labs.managers} managers, seed {SEED}: {dict(endings)}, {swarm.aftermaths} applies more", flush=True)
    assert endings.total() == RESTARTS


def struck(swarm: Struck, strike: Strike) -> Finished | None:
    """Begin an apply, strike, and return how it ended; None when it had ended before."""
    with applying(swarm) as apply:
        time.sleep(strike.after_s)
        too_late = apply.is_over
        strike.engine.end(strike.number)
        time.sleep(strike.away_s)
        strike.engine.start_again()
        strike.engine.wait()
        ended = apply.ended()
    return None if too_late else ended


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)
