"""Scenarios of one machine that is started anew in between: a dockerd, and our daemon as a process of its own.

Both have network, mount, process and host-name namespaces of their own, with the same name and addresses. The steps are
in scenarios/lone; `1! restart` ends the machine's daemon in an orderly way and starts it again (`stop` and `start` do
the parts, `kill` ends it the hard way), {in1} enters its network namespace, {state1} is the folder of what it knows of
its swarm, and {ask} asks its API (scenarios/ask.py).

`python -m tests.transcript.lone record|ours|both [SCENARIO...]` does what the package's own verbs do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.engine import Engine
from tests.lab.namespaces import Cell, plug, run
from tests.transcript import scenarios
from tests.transcript.one_machine import one_machine
from tests.transcript.player import Player
from tests.transcript.scenarios import Printed, Step

FOLDER = "lone"
ADDRESS = "10.220.0.1"
NAME = "node1"
OURS_WAIT_S = 20.0


def do(engine: Engine, verb: str) -> None:
    """Do with an engine what a step with the sign "!" says."""
    if verb in ("stop", "restart"):
        engine.end(signal.SIGTERM)
    if verb == "kill":
        engine.end(signal.SIGKILL)
    if verb in ("start", "restart"):
        engine.start_again()
        engine.wait()


class OurDaemon(Engine):
    """`swarmctl daemon` in the place of dockerd. Its tasks are processes."""

    @property
    def state(self) -> Path:
        return self.folder / "data"

    def _command(self, settings: Path) -> Sequence[str]:
        words = (
            sys.executable,
            *("-m", "reconciler.main", "daemon"),
            *("--data-dir", str(self.state), "--host", self.host, "--hostname", self.name),
            *("--runtime", "process"),
        )
        return ("sh", "-c", f"'echo $$ > {self._pid}; exec {' '.join(words)}'")


@dataclass(frozen=True)
class Machine:
    """A tests.transcript.player.Addressed that can be started anew."""

    engine: Engine
    number: int = 1

    @property
    def host(self) -> str:
        return self.engine.host

    @property
    def address(self) -> str:
        return self.engine.address

    @property
    def hostname(self) -> str:
        return self.engine.name

    @property
    def state(self) -> Path:
        """The folder of what its daemon knows of its swarm."""
        return self.engine.state if isinstance(self.engine, OurDaemon) else self.engine.folder / "data/swarm"

    async def do(self, verb: str) -> None:
        await asyncio.to_thread(do, self.engine, verb)


@dataclass(frozen=True)
class LoneWorld:
    """One machine, and how a command enters its network namespace."""

    machines: tuple[Machine, ...]
    inside: str


@contextlib.contextmanager
def lone_world(kind: type[Engine]) -> Iterator[LoneWorld]:
    """Start one machine behind a bridge that leads nowhere; end it, and remove its files, at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"swlab-{os.getpid()}-"))  # swept with the labs of dead test runs
    bridge, engine = Cell("bridge", folder / "bridge.log"), kind(NAME, ADDRESS, folder / NAME)
    try:
        bridge.open("exec sleep infinity")
        run("ip", "link", "add", "br0", "type", "bridge", inside=bridge.process.pid)
        run("ip", "link", "set", "br0", "up", inside=bridge.process.pid)
        bridge.release()
        engine.open()
        plug(bridge, engine.cell, "port1", f"{ADDRESS}/24")
        engine.start()
        engine.wait()
        net = f"/proc/{engine.cell.process.pid}/ns/net"
        yield LoneWorld((Machine(engine),), f"nsenter --net={net}")
    finally:
        engine.close()
        bridge.close()
        shutil.rmtree(folder, ignore_errors=True)


async def play(name: str, world: LoneWorld, folder: Path) -> list[Printed]:
    """Run one scenario, which leaves the machine in no swarm; return what its compared steps printed."""
    await asyncio.to_thread(shutil.copytree, scenarios.SCENARIOS, folder / "files", dirs_exist_ok=True)
    player = Player(folder, folder / "files", _names(world))
    printed: list[Printed] = []
    for step in scenarios.steps(name):
        if step.sign == "!":
            await world.machines[0].do(step.command)
        elif step.sign == "?":
            await scenarios.until(player, world, step)
        else:
            printed += await _played(player, world, step)
    await player.run(world, 1, "docker swarm leave --force")
    return printed


def _names(world: LoneWorld) -> dict[str, str]:
    return {"in1": world.inside, "state1": str(world.machines[0].state), "ask": scenarios.ASK}


async def _played(player: Player, world: LoneWorld, step: Step) -> list[Printed]:
    status, out, err = await player.run(world, step.machine, step.command)
    if step.sign == "-":
        return []
    return [Printed(step.command, status, scenarios.lines(out), scenarios.lines(err))]


def played(kind: type[Engine], chosen: Sequence[str]) -> dict[str, list[Printed]]:
    """Return what the chosen scenarios print, all with one machine of a kind."""
    with lone_world(kind) as world:
        if kind is Engine:
            world.machines[0].engine.load_images()  # those of processes are names only
        return {name: _in_folder(name, world) for name in chosen}


def _in_folder(name: str, world: LoneWorld) -> list[Printed]:
    with tempfile.TemporaryDirectory(prefix="tr-") as folder:
        return asyncio.run(play(name, world, Path(folder)))


def main(arguments: list[str]) -> int:
    return one_machine(arguments, __doc__, FOLDER, played, OurDaemon)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
