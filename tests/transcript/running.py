"""Scenarios of one machine that really runs containers: a dockerd in a swarm, and our daemon before its own dockerd.

The steps are in scenarios/running; each scenario begins and ends with the machine in no swarm.

`python -m tests.transcript.running record|ours|both [SCENARIO...]` does what the package's own verbs do.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.lab.engine import Engine
from tests.transcript.lone import NAME, OurDaemon, lone_world, play
from tests.transcript.one_machine import one_machine
from tests.transcript.scenarios import Printed

FOLDER = "running"


class OurDaemonOnAnEngine(OurDaemon):
    """`swarmctl daemon` beside a dockerd of its own, which it hands its tasks to."""

    @property
    def state(self) -> Path:
        return self.folder / "swarm"

    def _command(self, settings: Path) -> Sequence[str]:
        socket = self.folder / "engine.sock"
        changed = {
            f"--host={self.host}": f"--host=unix://{socket}",
            f"--pidfile={self._pid}": f"--pidfile={self.folder / 'engine.pid'}",
        }
        engine = " ".join(changed.get(word, word) for word in Engine._command(self, settings))
        ours = (
            *(sys.executable, "-m", "reconciler.main", "daemon"),
            *("--data-dir", str(self.state), "--host", self.host, "--hostname", NAME),
            *("--runtime", "docker", "--docker-host", f"unix://{socket}"),
        )
        begin = f"[ -S {socket} ] || {{ {engine} & }}; until [ -S {socket} ]; do sleep 0.1; done"
        return ("sh", "-c", f"'{begin}; echo $$ > {self._pid}; exec {' '.join(ours)}'")


def played(kind: type[Engine], chosen: Sequence[str]) -> dict[str, list[Printed]]:
    """Return what the chosen scenarios print, each with a machine of its own."""
    printed: dict[str, list[Printed]] = {}
    for name in chosen:
        with lone_world(kind) as world, tempfile.TemporaryDirectory(prefix="tr-") as folder:
            world.machines[0].engine.load_images()
            printed[name] = asyncio.run(play(name, world, Path(folder)))
    return printed


def main(arguments: list[str]) -> int:
    return one_machine(arguments, __doc__, FOLDER, played, OurDaemonOnAnEngine)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
