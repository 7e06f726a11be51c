"""What a pass of a running controller costs when there is nothing to do: 100 stacks of 10 services each.

`swarmctl run` follows a repository on an embedded swarm, through a socket that counts its calls. Nothing runs in the
services: what is measured is the controller, and how fast this swarm's API answers it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.benchmarks.table import in_columns
from tests.e2e.controllers import Controller, ended, until
from tests.e2e.program import Program
from tests.lab.git_servers import Repository
from tests.lab.meter import Meter

STACKS = 100
SERVICES = 10
PASSES = 20
DEPLOY_WAIT_S = 900.0
PASS_WAIT_S = 60.0
SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: bench}\nspec: {policy: {prune: true}}\n"
SERVICE = """  s%d:
    image: registry.example/shop/s%d:1.4.2
    command: [serve, --port, "80%02d"]
    environment: {LEVEL: info, POOL: "20", UPSTREAM: "http://s0:8000"}
    labels: {team: shop, tier: backend}
    healthcheck: {test: [CMD, "true"], interval: 10s, timeout: 2s, retries: 3}
    deploy:
      replicas: 0
      endpoint_mode: dnsrr
      resources: {limits: {cpus: "0.5", memory: 256M}, reservations: {memory: 64M}}
      restart_policy: {condition: any, delay: 5s}
      placement: {constraints: [node.role == worker]}
"""


def stack() -> str:
    """Return a stack file of SERVICES services on a network of their own."""
    return "services:\n" + "".join(SERVICE % (number, number, number) for number in range(SERVICES))


def bench_controller(stacks: int = STACKS) -> None:
    """Print what an idle pass takes: calls, seconds, memory and writes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        swarmctl = Program(folder, {"SWARMCTL_DATA_DIR": str(folder / "swarm")})
        host = swarmctl.ok("up", "--nodes", "3").split("DOCKER_HOST=")[1].split()[0]
        try:
            with Meter(str(folder / "metered.sock"), host.removeprefix("unix://")) as meter:
                _measured(folder, meter, stacks)
        finally:
            swarmctl.ok("down")


def _measured(folder: Path, meter: Meter, stacks: int) -> None:
    repository = Repository.make(folder)
    files = {f"stacks__team{number:03d}_DOT_yaml": stack() for number in range(stacks)}
    repository.commit("first", swarm_DOT_yaml=SWARM, **files)
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "2s"}
    spec = {"cluster": {"host": meter.host}, "sources": [source], "apply": {"resolveImages": "never"}}
    controller = Controller(folder / "c", spec)
    with ended(controller):
        began = time.monotonic()
        controller.start()
        until(lambda: _idle(controller), "everything is deployed", DEPLOY_WAIT_S)
        deployed_s = time.monotonic() - began
        assert controller.process is not None
        pid, calls, kept = controller.process.pid, len(meter.calls), _stored(controller)
        writes, used_s, passes = len(meter.writes()), _cpu_s(pid), len(_idle(controller))
        until(lambda: len(_idle(controller)) >= passes + PASSES, f"{PASSES} passes", PASSES * PASS_WAIT_S)
        found = _idle(controller)[passes : passes + PASSES]
        count = len(_idle(controller)) - passes
        seconds = [one["seconds"] for one in found]
        waited = [_busy_s(one, meter) for one in _windows(found)]
        rows = [
            [f"a pass over {stacks} stacks, {stacks * SERVICES} services, nothing to do", ""],
            ["median s", f"{statistics.median(seconds):.3f}"],
            ["slowest s", f"{max(seconds):.3f}"],
            ["median s of it until the swarm has answered", f"{statistics.median(waited):.3f}"],
            ["CPU s, all that the controller does meanwhile", f"{(_cpu_s(pid) - used_s) / count:.3f}"],
            ["calls of the Engine API", f"{(len(meter.calls) - calls) / count:.1f}"],
            ["writes to the swarm", str(len(meter.writes()) - writes)],
            ["bytes written to the store", str(_stored(controller) - kept)],
            ["memory now, MiB", f"{_memory_mib(pid, 'VmRSS'):.0f}"],
            ["memory at most, MiB", f"{_memory_mib(pid, 'VmHWM'):.0f}"],
            ["the first deploy of it all, s", f"{deployed_s:.1f}"],
        ]
    print(f"\ncontroller, {PASSES} passes")
    print(in_columns(rows))


def _windows(passes: list[dict]) -> list[tuple[float, float]]:
    """Return when each pass began and was decided, in seconds since 1970."""
    ends = [datetime.fromisoformat(one["timestamp"]).timestamp() for one in passes]
    return [(end - one["seconds"], end) for end, one in zip(ends, passes, strict=True)]


def _busy_s(window: tuple[float, float], meter: Meter) -> float:
    """Return the seconds from a pass's first call to the end of its last; the rest is the controller's own."""
    ahead_s = time.time() - time.perf_counter()
    calls = [
        one
        for one in meter.calls
        if one.ended_s and window[0] <= one.began_s + ahead_s and one.ended_s + ahead_s <= window[1]
    ]
    return max(one.ended_s for one in calls) - min(one.began_s for one in calls) if calls else 0.0


def _idle(controller: Controller) -> list[dict]:
    return [one for one in controller.passes() if one["outcome"] == "idle" and one["ready"] > 1]


def _stored(controller: Controller) -> int:
    """Return the bytes of the replicated store's files."""
    return sum(path.stat().st_size for path in (controller.folder / "data" / "store").rglob("*") if path.is_file())


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))
