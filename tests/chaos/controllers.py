"""Strikes the leading controller at random moments, again and again: `python -m tests.chaos.controllers`.

KILLS=50 and PAUSES=20 say how often, SEED which moments. Each strike falls into an apply of six updates. It fails when
a service was written twice or not at all, when the old leader writes after its pause, or when nothing converges.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import docker

from tests.e2e.conftest import Backend
from tests.e2e.controller_group import NAMES, STACKS, SWARM, WRITE_S, Group, a_group, stacks
from tests.e2e.controllers import until
from tests.e2e.program import Program
from tests.lab.git_servers import Repository


def main() -> int:
    kills, pauses = int(os.environ.get("KILLS") or 50), int(os.environ.get("PAUSES") or 20)
    chance = random.Random(int(os.environ.get("SEED") or 1))
    strikes = [signal.SIGKILL] * kills + [signal.SIGSTOP] * pauses
    chance.shuffle(strikes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        swarmctl = Program(folder, {"SWARMCTL_DATA_DIR": str(folder / "swarm")})
        host = swarmctl.ok("up", "--nodes", "3").split("DOCKER_HOST=")[1].split()[0]
        swarmctl.environment["DOCKER_HOST"] = host
        repository = Repository.make(folder)
        repository.commit("first", swarm_DOT_yaml=SWARM, **stacks(0))
        engine = docker.APIClient(base_url=host, version="auto", timeout=60)
        try:
            with a_group(Backend("embedded", host, engine, swarmctl), repository, folder) as group:
                until(lambda: group.replicas() == [0] * STACKS, "the first commit")
                times = [_strike(group, repository, number, strike, chance) for number, strike in enumerate(strikes)]
        finally:
            engine.close()
            swarmctl.ok("down")
    _tell(times)
    return 0


def _strike(group: Group, repository: Repository, number: int, strike: signal.Signals, chance: random.Random) -> float:
    """Strike the leader in an apply, hold what came of it against the ledger, and return the seconds of take-over."""
    wanted, before = (number + 1) % 2, number % 2
    _restart_ended(group)
    leader = group.leader()
    sent = {name: len(group.writes(name)) for name in NAMES}
    repository.commit(f"strike {number}", **stacks(wanted))
    until(lambda: len(group.writes(leader)) > sent[leader], "the apply has begun")
    time.sleep(chance.uniform(0, STACKS * WRITE_S))
    epoch, ends = group.epochs()[leader], len(group.controllers[leader].lines("leading ended"))
    at = time.time()
    group.controllers[leader].signal(strike)
    successor = group.leader(after=epoch)
    until(lambda: group.replicas() == [wanted] * STACKS, "it converges under another")
    taken = datetime.fromisoformat(group.controllers[successor].lines("leading")[-1]["timestamp"])
    if strike is signal.SIGKILL:
        group.controllers[leader].kill()
        group.controllers[leader].start()
    else:
        group.controllers[leader].signal(signal.SIGCONT)
        group.controllers[leader].await_line("leading ended", count=ends + 1)
    assert group.previous_replicas() == [before] * STACKS, "a service was written twice"
    writes = sum(len(group.writes(name)) - sent[name] for name in NAMES)
    assert STACKS <= writes <= STACKS + 1, f"{writes} writes of {STACKS}"
    seconds = taken.timestamp() - at
    sys.stdout.write(f"{number + 1:3} {strike.name:7} {leader}: {writes} writes, taken over after {seconds:.2f} s\n")
    sys.stdout.flush()
    return seconds


def _restart_ended(group: Group) -> None:
    """Do what systemd does: a member that can't go on ends by itself, and begins again from its folder. It is told."""
    for name, controller in group.controllers.items():
        if controller.process is not None and (code := controller.process.poll()) is not None:
            lines = (controller.folder / "log").read_text().splitlines()
            why = next((line for line in reversed(lines) if line.startswith("Error:")), "")
            sys.stdout.write(f"    {name} had ended by itself with {code}: {why}\n")
            controller.start()


def _tell(times: list[float]) -> None:
    ordered = sorted(times)
    at = {share: ordered[min(int(len(ordered) * share / 100), len(ordered) - 1)] for share in (50, 95, 100)}
    words = ", ".join(f"p{share} {seconds:.2f} s" for share, seconds in at.items())
    sys.stdout.write(f"{len(times)} strikes, no double write, always converged. Take-over: {words}\n")


if __name__ == "__main__":
    sys.exit(main())
