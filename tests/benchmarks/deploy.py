"""`docker stack deploy` beside `swarmctl apply`, on the same real engine, by calls and by time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.docker.cluster import connect
from reconciler.adapters.schema_files import read_schemas
from reconciler.manifests.load import LoadInputs, load_again
from reconciler.planning.plan import plan
from reconciler.settings import EndpointSettings
from tests.benchmarks.quiet import until_quiet
from tests.benchmarks.table import in_columns, ratio
from tests.lab.lab import Lab, why_not
from tests.lab.meter import Call, Meter
from tests.lab.registry import Registry
from tests.lab.swept import sweep

PAIRS = 5
PASSES = 9
COMMAND_WAIT_S = 900.0
RUNNING_WAIT_S = 900.0
"""A machine that does other things at the same time may take minutes for 100 services."""

POLL_S = 0.05
STACK = "bench"
LOADED = "swarmctl-test:1"
"""An image that every engine of a lab has, and no registry."""

PUSHED = "bench/app"
RESOLVE = ("never", "always")
"""As `--resolve-image` takes it: no registry is asked, or one beside the engine (what `docker stack deploy` does)."""
ROOT = Path(__file__).resolve().parents[2]
SERVICE = """\
  s{number}:
    image: {image}
    command: ["sleep", "100000"]
    stop_signal: SIGKILL
"""
CLUSTER = """\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: bench}
spec: {stacks: [{path: stacks/bench.yaml}]}
"""


@dataclass(frozen=True)
class Run:
    """One deployment. Seconds: of the command; during which any call was under way, and from the first call on, both
    until the end of the last write (of the last call, where nothing was written); from its start until all tasks ran.
    """

    wall_s: float
    calls: int
    writes: int
    in_calls_s: float
    calling_s: float
    running_s: float = 0.0


@dataclass(frozen=True)
class Pair:
    first: Run
    again: Run


@dataclass
class Bench:
    """A swarm with a meter in front, and a repository of one stack. `resolve` is as `--resolve-image` takes it."""

    lab: Lab
    meter: Meter
    folder: Path
    services: int
    image: str = LOADED
    resolve: str = "never"

    @property
    def stack_file(self) -> Path:
        return self.folder / "stacks" / f"{STACK}.yaml"

    def write(self) -> None:
        self.stack_file.parent.mkdir(parents=True, exist_ok=True)
        services = "".join(SERVICE.format(number=number, image=self.image) for number in range(self.services))
        self.stack_file.write_text(f'version: "3.8"\nservices:\n{services}')
        (self.folder / "swarm.yaml").write_text(CLUSTER)

    def docker(self) -> list[str]:
        return ["docker", "stack", "deploy", "--resolve-image", self.resolve, "-c", str(self.stack_file), STACK]

    def swarmctl(self) -> list[str]:
        program = [sys.executable, "-m", "reconciler.main"]
        limits = ["--timeout", str(RUNNING_WAIT_S)]
        return [*program, "apply", "--yes", "--resolve-image", self.resolve, *limits, str(self.folder)]

    def run(self, command: list[str], *, until_running: bool) -> Run:
        """Run a command through the meter, and watch the engine past it until all tasks run."""
        self.meter.calls.clear()
        environment = {**os.environ, "DOCKER_HOST": self.meter.host, "PYTHONPATH": str(ROOT)}
        began = time.perf_counter()
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )
            with ThreadPoolExecutor(1) as pool:
                ended = pool.submit(_seconds_until_end, process, began)
                running_s = self._until_running(began) if until_running else 0.0
                wall_s = ended.result()
            code = process.returncode
            said.seek(0)
            if code != 0:
                raise RuntimeError(f"{command} ended with {code}: {said.read().decode()}")
        calls = self.meter.calls
        last = max((call.ended_s for call in (self.meter.writes() or calls)), default=0.0)
        return Run(
            wall_s, len(calls), len(self.meter.writes()), in_calls_s(calls, last), last - calls[0].began_s, running_s
        )

    def _until_running(self, began: float) -> float:
        with self.lab.manager.client() as client:
            while time.perf_counter() - began < RUNNING_WAIT_S:
                tasks = client.tasks(filters={"desired-state": "running"})
                if sum(task["Status"]["State"] == "running" for task in tasks) == self.services:
                    return time.perf_counter() - began
                time.sleep(POLL_S)
        raise RuntimeError("The tasks do not run.")

    def pair(self, command: list[str]) -> Pair:
        """Deploy to an empty swarm whose engines have come to rest, and once more."""
        sweep(self.lab)
        until_quiet()
        first = self.run(command, until_running=True)
        return Pair(first, self.run(command, until_running=False))

    def passes(self) -> list[float]:
        """Return the seconds of passes that find nothing to do, in a running process: load, observe, plan."""
        sweep(self.lab)
        self.run(self.swarmctl(), until_running=True)
        return asyncio.run(self._passes())

    async def _passes(self) -> list[float]:
        inputs = LoadInputs(read_schemas(), {}, "/root", str(self.folder))
        loaded = load_again(DirectoryRevision.open(str(self.folder)), inputs, None)
        cluster = await connect(EndpointSettings(host=self.lab.manager.host))
        times = []
        try:
            for _ in range(PASSES):
                began = time.perf_counter()
                loaded = load_again(DirectoryRevision.open(str(self.folder)), inputs, loaded)
                made = plan(loaded.state, await cluster.observe())
                times.append(time.perf_counter() - began)
                assert made.is_empty, made
        finally:
            await cluster.close()
        return times


def in_calls_s(calls: list[Call], last: float) -> float:
    """Return for how many seconds before `last` at least one call was under way."""
    total, reached = 0.0, 0.0
    for call in sorted(calls, key=lambda call: call.began_s):
        if call.ended_s <= last:
            total += max(0.0, call.ended_s - max(call.began_s, reached))
            reached = max(reached, call.ended_s)
    return total


def _seconds_until_end(process: subprocess.Popen[bytes], began: float) -> float:
    process.wait(COMMAND_WAIT_S)
    return time.perf_counter() - began


def bench_deploy(counts: tuple[int, ...], pairs: int = PAIRS, resolve: tuple[str, ...] = RESOLVE) -> None:
    """Print a table for each number of services, with and without asking a registry; say why not without engines."""
    if reason := why_not():
        print(f"deploy    skipped: {reason}")
        return
    with Lab() as lab, tempfile.TemporaryDirectory() as name, _registry(lab) as registry:
        images = {"never": LOADED, "always": f"{registry.address}/{PUSHED}:1"}
        socket = str(lab.folder / "meter.sock")
        with Meter(socket, str(lab.manager.socket)) as meter:
            for mode, count in itertools.product(resolve, counts):
                bench = Bench(lab, meter, Path(name) / f"{mode}{count}", count, images[mode], mode)
                bench.write()
                _compare(bench, pairs)
            sweep(lab)


@contextlib.contextmanager
def _registry(lab: Lab) -> Iterator[Registry]:
    """Yield a registry inside each engine of the swarm; they have pulled what it has."""
    with Registry(lab.manager.cell, tuple(engine.cell for engine in lab.workers)) as registry:
        registry.push_runnable(PUSHED, "1", "bench")
        for engine in (lab.manager, *lab.workers):
            with engine.client() as client:
                client.pull(f"{registry.address}/{PUSHED}:1")
        yield registry


def _compare(bench: Bench, pairs: int) -> None:
    commands = {"docker": bench.docker(), "swarmctl": bench.swarmctl()}
    results: dict[str, list[Pair]] = {name: [] for name in commands}
    for number in range(pairs):
        order = list(commands) if number % 2 == 0 else list(reversed(commands))
        for name in order:
            results[name].append(bench.pair(commands[name]))
    docker_runs, ours = results["docker"], results["swarmctl"]
    rows = [["", "docker", "swarmctl", "ratio"]]
    measures: list[tuple[str, Callable[[Pair], float], str]] = [
        ("first: calls", lambda pair: pair.first.calls, "{:.0f}"),
        ("first: writes", lambda pair: pair.first.writes, "{:.0f}"),
        ("first: s in calls, until the last write", lambda pair: pair.first.in_calls_s, "{:.2f}"),
        ("first: s from first call to last write", lambda pair: pair.first.calling_s, "{:.2f}"),
        ("first: s until all run", lambda pair: pair.first.running_s, "{:.2f}"),
        ("first: s of the command", lambda pair: pair.first.wall_s, "{:.2f}"),
        ("no-op: calls", lambda pair: pair.again.calls, "{:.0f}"),
        ("no-op: writes", lambda pair: pair.again.writes, "{:.0f}"),
        ("no-op: s in calls", lambda pair: pair.again.in_calls_s, "{:.3f}"),
        ("no-op: s of the command", lambda pair: pair.again.wall_s, "{:.3f}"),
    ]
    for title, measure, shape in measures:
        theirs = statistics.median(measure(pair) for pair in docker_runs)
        mine = statistics.median(measure(pair) for pair in ours)
        rows.append([title, shape.format(theirs), shape.format(mine), ratio(mine, theirs)])
    fastest = [min(pair.first.running_s for pair in results[name]) for name in ("docker", "swarmctl")]
    rows.insert(6, ["first: s until all run, fastest", *(f"{one:.2f}" for one in fastest), ratio(*reversed(fastest))])
    pairwise = statistics.median(
        mine.first.running_s / theirs.first.running_s for mine, theirs in zip(ours, docker_runs, strict=True)
    )
    rows.insert(7, ["first: until all run, median of the pairs' ratios", "", "", f"{pairwise:.2f}"])
    again = statistics.median(pair.again.wall_s for pair in docker_runs)
    a_pass = statistics.median(bench.passes())
    rows.append(["no-op: s of a pass in a running process", f"{again:.3f}", f"{a_pass:.3f}", ratio(a_pass, again)])
    asked = f"--resolve-image {bench.resolve}"
    print(f"\ndeploy of {bench.services} services, {asked}, median of {pairs} pairs in alternating order")
    print(in_columns(rows))
