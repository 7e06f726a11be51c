"""A swarm of dockerd's own beside one of ours on another engine, by what both take for a service's life.

Both engines are alone in namespaces of their own on this machine. The steps of a round are done on one of them and then
on the other, in turn first and second, so that what else the machine does meets both.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from tests.benchmarks.table import in_columns, ratio
from tests.lab.engine import IMAGES, Engine
from tests.lab.lab import why_not
from tests.lab.namespaces import Cell, plug, run

ROUNDS = 5
WAIT_S = 120.0
LOOK_S = 0.02
ROOT = Path(__file__).resolve().parents[2]
SERVICE = "bench"

Step = tuple[str, Callable[["Subject"], None]]


@dataclass
class Subject:
    """One swarm: `client` asks whoever leads it."""

    name: str
    address: str
    client: Any
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def until(self, holds: Callable[[], bool]) -> None:
        """Return as soon as something is true."""
        deadline = time.monotonic() + WAIT_S
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: it does not come true: {self.client.tasks()}")
            time.sleep(LOOK_S)

    def running(self) -> list[Any]:
        return [task for task in self.client.tasks() if task["Status"]["State"] == "running"]

    def until_running(self, count: int) -> None:
        self.until(lambda: len(self.running()) == count)

    def change(self, **changes: Any) -> None:
        """Update the service: its replicas, its environment, or whichever."""
        service = self.client.inspect_service(SERVICE)
        spec = service["Spec"]
        template = {**spec["TaskTemplate"], "ContainerSpec": {**spec["TaskTemplate"]["ContainerSpec"]}}
        template["ContainerSpec"]["Env"] = changes.get("env", template["ContainerSpec"].get("Env"))
        replicas = changes.get("replicas", spec["Mode"]["Replicated"]["Replicas"])
        mode = {"Replicated": {"Replicas": replicas}}
        self.client.update_service(SERVICE, service["Version"]["Index"], template, SERVICE, mode=mode)

    def status_of_update(self) -> str:
        return str(self.client.inspect_service(SERVICE).get("UpdateStatus", {}).get("State"))

    def node(self) -> Any:
        return self.client.nodes()[0]

    def make(self, availability: str) -> None:
        node = self.node()
        self.client.update_node(node["ID"], node["Version"]["Index"], {**node["Spec"], "Availability": availability})


def _init(subject: Subject) -> None:
    subject.client.init_swarm(advertise_addr=subject.address)
    subject.until(lambda: subject.node()["Status"]["State"] == "ready")


def _create(replicas: int) -> Callable[[Subject], None]:
    def create(subject: Subject) -> None:
        template = {
            "ContainerSpec": {"Image": IMAGES[0], "Command": ["sleep", "100000"], "StopSignal": "SIGKILL"},
        }
        subject.client.create_service(template, name=SERVICE, mode={"Replicated": {"Replicas": replicas}})
        subject.until_running(replicas)

    return create


def _scale(replicas: int) -> Callable[[Subject], None]:
    def scale(subject: Subject) -> None:
        subject.change(replicas=replicas)
        subject.until_running(replicas)

    return scale


def _update(subject: Subject) -> None:
    """Return once an update is completed; note by the way when every task was a new one."""
    began = time.perf_counter()
    mark = f"ROUND={time.monotonic_ns()}"
    count = len(subject.running())
    subject.change(env=[mark])
    subject.until(lambda: [task["Spec"]["ContainerSpec"].get("Env") for task in subject.running()] == [[mark]] * count)
    subject.seconds.setdefault("update 3, until replaced", []).append(time.perf_counter() - began)
    subject.until(lambda: subject.status_of_update() == "completed")


def _drain(subject: Subject) -> None:
    subject.make("drain")
    subject.until_running(0)


def _activate(subject: Subject) -> None:
    subject.make("active")
    subject.until_running(4)


def _remove(subject: Subject) -> None:
    subject.client.remove_service(SERVICE)
    subject.until(lambda: subject.client.tasks() == [])


STEPS: tuple[Step, ...] = (
    ("init", _init),
    ("create 1", _create(1)),
    ("scale 1 to 3", _scale(3)),
    ("update 3, until completed", _update),
    ("remove", _remove),
    ("create 7", _create(7)),
    ("scale 7 to 4", _scale(4)),
    ("drain 4", _drain),
    ("activate 4", _activate),
    ("leave", lambda subject: subject.client.leave_swarm(force=True)),
)


def bench_daemon(rounds: int) -> None:
    """Print medians and minima of both, and their ratios."""
    if (why := why_not()) is not None:
        print(f"\ndaemon: not measured, {why}")
        return
    with _two_swarms() as subjects:
        for number in range(rounds):
            for title, step in STEPS:
                for subject in subjects if number % 2 else reversed(subjects):
                    began = time.perf_counter()
                    step(subject)
                    subject.seconds.setdefault(title, []).append(time.perf_counter() - began)
        _print(rounds, *subjects)


def _print(rounds: int, theirs: Subject, ours: Subject) -> None:
    rows = [["", "dockerd median", "best", "swarmctl median", "best", "ratio of medians", "of bests"]]
    for title in theirs.seconds:
        figures = [(statistics.median(one.seconds[title]), min(one.seconds[title])) for one in (theirs, ours)]
        cells = [f"{second:.2f}" for pair in figures for second in pair]
        rows.append([title, *cells, *(ratio(mine, other) for other, mine in zip(*figures, strict=True))])
    print(f"\ndaemon: seconds beside dockerd's own swarm mode, of {rounds} rounds")
    print(in_columns(rows))


@contextmanager
def _two_swarms() -> Iterator[tuple[Subject, Subject]]:
    folder = Path(tempfile.mkdtemp(prefix=f"swlab-{os.getpid()}-"))
    bridge = Cell("bridge", folder / "bridge.log")
    engines = [Engine(name, f"10.221.0.{at}", folder / name) for at, name in enumerate(("real", "ours"), start=1)]
    daemon = None
    try:
        _start(bridge, engines)
        daemon = _start_daemon(folder, engines[1])
        hosts = (engines[0].host, _socket(folder))
        subjects = [
            Subject(engine.name, engine.address, docker.APIClient(base_url=host, version="1.41", timeout=WAIT_S))
            for engine, host in zip(engines, hosts, strict=True)
        ]
        try:
            yield subjects[0], subjects[1]
        finally:
            for subject in subjects:
                subject.client.close()
    finally:
        if daemon is not None:
            daemon.terminate()
            daemon.wait()
        for engine in engines:
            engine.close()
        bridge.close()
        shutil.rmtree(folder, ignore_errors=True)


def _start(bridge: Cell, engines: list[Engine]) -> None:
    bridge.open("exec sleep infinity")
    run("ip", "link", "add", "br0", "type", "bridge", inside=bridge.process.pid)
    run("ip", "link", "set", "br0", "up", inside=bridge.process.pid)
    bridge.release()
    for number, engine in enumerate(engines, start=1):
        engine.open()
        plug(bridge, engine.cell, f"port{number}", f"{engine.address}/24")
        engine.start()
    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(Engine.wait, engines))
        list(pool.map(Engine.load_images, engines))


def _socket(folder: Path) -> str:
    return f"unix://{folder}/d.sock"


def _start_daemon(folder: Path, engine: Engine) -> subprocess.Popen[bytes]:
    """Start our daemon beside its engine, and return once it listens."""
    inside = ("nsenter", f"--net=/proc/{engine.cell.process.pid}/ns/net")
    words = ("--data-dir", str(folder / "d"), "--host", _socket(folder), "--hostname", engine.name)
    runtime = ("--runtime", "docker", "--docker-host", engine.host)
    profile = ("-m", "cProfile", "-o", os.environ["PROFILE"]) if os.environ.get("PROFILE") else ()
    with (folder / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            (*inside, sys.executable, *profile, "-m", "reconciler.main", "daemon", *words, *runtime),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert daemon.stdout is not None
    with suppress(OSError):
        if daemon.stdout.readline():
            return daemon
    daemon.kill()
    raise RuntimeError((folder / "daemon.log").read_text())
