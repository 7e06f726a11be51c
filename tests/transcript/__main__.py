"""See the package's docstring."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tests.transcript
from tests.lab.lab import Lab
from tests.transcript import scenarios
from tests.transcript.replay import replay
from tests.transcript.scenarios import Printed
from tests.transcript.subjects import of_lab, ours

RECORDED = Path(__file__).with_name("recorded")
"""Files as the recorded scenarios must have had them, and what they did between two steps (STEP.sh)."""


async def _ours(name: str) -> list[Printed]:
    with tempfile.TemporaryDirectory(prefix="tr-") as folder:
        async with ours(Path(folder)) as world:
            return await scenarios.play(name, world, Path(folder))


async def _engine(lab: Lab, name: str) -> list[Printed]:
    with tempfile.TemporaryDirectory(prefix="tr-") as folder:
        return await scenarios.play(name, of_lab(lab), Path(folder))


def _compare(name: str, engine: Sequence[Printed]) -> int:
    played = asyncio.run(_ours(name))
    found = scenarios.surprises(name, engine, played)
    listed = sum(1 for scenario, _ in scenarios.reasons() if scenario == name)
    print("\n\n".join(found))
    print(f"{name}: {len(played)} steps, {listed} differ for a reason, {len(found)} surprises")
    return len(found)


def _replay(chosen: list[str]) -> int:
    path, files = Path(os.environ["TRANSCRIPT"]), os.environ.get("TRANSCRIPT_FILES")
    recorded = [json.loads(line) for line in path.read_text().splitlines()]
    with tempfile.TemporaryDirectory(prefix="tr-") as folder:
        work = shutil.copytree(files or RECORDED, Path(folder) / "files")
        score = asyncio.run(replay(recorded, chosen, Path(folder), work, daemon=os.geteuid() == 0))
    print("\n".join(score.failures))
    for name, steps in score.steps.items():
        print(f"{name:14} {score.same[name]:4} of {steps}, {score.listed[name]} differ for a reason")
    print(f"{'all':14} {score.same.total():4} of {score.steps.total()}, {score.listed.total()} differ for a reason")
    return 0


def main(arguments: list[str]) -> int:
    verb, chosen = (arguments[:1] or [""])[0], arguments[1:]
    if verb == "replay":
        return _replay(chosen)
    chosen = chosen or scenarios.names()
    if verb == "ours":
        return min(sum(_compare(name, scenarios.golden(name)) for name in chosen), 1)
    if verb in ("record", "both"):
        with Lab() as lab:
            surprises = 0
            for name in chosen:
                printed = asyncio.run(_engine(lab, name))
                if verb == "record":
                    scenarios.write_golden(name, printed)
                    print(f"{name}: {len(printed)} steps")
                else:
                    surprises += _compare(name, printed)
        return min(surprises, 1)
    print(tests.transcript.__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
