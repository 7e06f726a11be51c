"""Our own scenarios: their steps, what a real engine printed, and where we differ for a reason.

A line of a scenario is a machine's number, a sign and a command: `1$ command` is compared, `1- command` only run, and
`1? command => text` is run until it prints that text.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.transcript.player import POLL_S, Machines, Player
from tests.transcript.shaping import shaped

HERE = Path(__file__).parent
SCENARIOS = HERE / "scenarios"
GOLDEN = HERE / "golden"
UNTIL_POLLS = 120
_STEP = re.compile(r"(\d)([$?!-]) (.*)")


@dataclass(frozen=True)
class Step:
    """`until` is what a command with `sign` "?" must come to print."""

    machine: int
    sign: str
    command: str
    until: str = ""


@dataclass(frozen=True)
class Printed:
    """What one step printed, in comparable form."""

    command: str
    status: int
    out: tuple[str, ...]
    err: tuple[str, ...]

    def told(self) -> str:
        lines = [f"exit {self.status}", *(f"  {line}" for line in self.out), *(f"! {line}" for line in self.err)]
        return "\n".join(lines)


def names() -> list[str]:
    return sorted(path.stem for path in SCENARIOS.glob("*.txt"))


@cache
def steps(name: str) -> tuple[Step, ...]:
    """Return the steps of one scenario."""
    found: list[Step] = []
    for line in (SCENARIOS / f"{name}.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        parsed = _STEP.fullmatch(line)
        if parsed is None:
            raise ValueError(f"{name}: no step: {line}")
        command, _, until = parsed[3].partition(" => ") if parsed[2] == "?" else (parsed[3], "", "")
        found.append(Step(int(parsed[1]), parsed[2], command, until))
    return tuple(found)


async def play(name: str, machines: Machines, folder: Path) -> list[Printed]:
    """Run one scenario and return what its compared steps printed."""
    files = folder / "files"
    await asyncio.to_thread(shutil.copytree, SCENARIOS, files, dirs_exist_ok=True)
    player = Player(folder, files)
    printed: list[Printed] = []
    for step in steps(name):
        if step.sign == "?":
            await until(player, machines, step)
            continue
        status, out, err = await player.run(machines, step.machine, step.command)
        if step.sign == "$":
            printed.append(Printed(step.command, status, lines(out), lines(err)))
    return printed


async def until(player: Player, machines: Machines, step: Step) -> None:
    """Run a step until it prints what it shall."""
    out = ""
    for _ in range(UNTIL_POLLS):
        _, out, err = await player.run(machines, step.machine, step.command)
        if out.strip() == step.until:
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"{step.command} never printed {step.until!r}, but {out!r} {err!r}")


def lines(text: str) -> tuple[str, ...]:
    """Return output in comparable form."""
    return tuple(re.sub(r"\s+", " ", line.strip()) for line in shaped(text))


def golden(name: str) -> list[Printed]:
    """Return what a real engine printed."""
    recorded = json.loads((GOLDEN / f"{name}.json").read_text())
    return [Printed(one["command"], one["status"], tuple(one["out"]), tuple(one["err"])) for one in recorded]


def write_golden(name: str, printed: Sequence[Printed]) -> None:
    path = GOLDEN / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = [{"command": one.command, "status": one.status, "out": one.out, "err": one.err} for one in printed]
    path.write_text(json.dumps(shown, indent=1) + "\n")


@cache
def reasons() -> dict[tuple[str, str], str]:
    """Return {(scenario, command): why ours prints something else}."""
    listed: list[dict[str, Any]] = tomllib.loads((HERE / "differences.toml").read_text()).get("difference", [])
    return {(one["scenario"], one["command"]): one["reason"] for one in listed}


def surprises(name: str, engine: Sequence[Printed], ours: Sequence[Printed]) -> list[str]:
    """Return what differs without a reason, and what has a reason though it doesn't differ."""
    found: list[str] = []
    for theirs, own in zip(engine, ours, strict=True):
        reason = reasons().get((name, own.command))
        if _same(theirs, own):
            if reason is not None:
                found.append(f"{name}: {own.command}\nis listed as a difference, and is none")
        elif reason is None:
            found.append(f"{name}: {own.command}\nengine: {theirs.told()}\nours: {own.told()}")
    return found


def _same(theirs: Printed, ours: Printed) -> bool:
    """Compare; the order of the lines of some outputs is Go's chance."""
    outs, errs = (sorted(theirs.out), sorted(ours.out)), (sorted(theirs.err), sorted(ours.err))
    return theirs.command == ours.command and theirs.status == ours.status and outs[0] == outs[1] and errs[0] == errs[1]
