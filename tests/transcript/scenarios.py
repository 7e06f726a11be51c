"""Our own scenarios: their steps, what a real engine printed, and where we differ for a reason.

A line of a scenario is a machine's number, a sign and a command: `1$ command` is compared, `1- command` only run, and
`1? command => text` is run until it prints that text; `1= command` prints JSON, which is compared an object a
line, and where the same command comes again, only what has changed since. `1! stop`, `kill`, `start` and `restart` end
and start a machine's daemon.
A scenario whose file ends in .sweep is generated from tables: see `sweeps`.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import ndiff, unified_diff
from functools import cache
from pathlib import Path
from typing import Any

from tests.transcript.player import POLL_S, Machines, Player
from tests.transcript.shaping import masked_json, shaped
from tests.transcript.sweeps import expanded

HERE = Path(__file__).parent
SCENARIOS = HERE / "scenarios"
GOLDEN = HERE / "golden"
UNTIL_POLLS = 120
_STEP = re.compile(r"(\d)([$?!=-]) (.*)")
_POOL = re.compile(r'"10\.0\.\d+\.\d+(?:/24)?"')
_PORT = re.compile(r'"PublishedPort": 3\d{4}\b')
COMPARED = "$="
ASK = f"{sys.executable} ask.py"
"""What {ask} in a step stands for."""
TOLD = 60
"""Lines of a surprise that are shown."""


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


def names() -> list[str]:
    return sorted(path.stem for suffix in ("txt", "sweep") for path in SCENARIOS.glob(f"*.{suffix}") if _is_ours(path))


def _is_ours(path: Path) -> bool:
    return not path.stem.startswith("swept")  # those are files that steps name


@cache
def steps(name: str) -> tuple[Step, ...]:
    """Return the steps of one scenario."""
    found: list[Step] = []
    swept = SCENARIOS / f"{name}.sweep"
    plain = SCENARIOS / f"{name}.txt"
    for line in expanded(swept.read_text()) if swept.exists() else plain.read_text().splitlines():
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
    player = Player(folder, files, {"ask": ASK})
    printed: list[Printed] = []
    before: dict[str, str] = {}
    for step in steps(name):
        if step.sign == "!":
            await machines.machines[step.machine - 1].do(step.command)
            continue
        if step.sign == "?":
            await until(player, machines, step)
            continue
        status, out, err = await player.run(machines, step.machine, step.command)
        if step.sign in COMPARED:
            shown = _objects(before.get(step.command), out) if step.sign == "=" else lines(out)
            before[step.command] = out
            printed.append(Printed(step.command, status, shown, lines(err)))
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


def _objects(before: str | None, text: str) -> tuple[str, ...]:
    """Return the JSON objects of a list, one a line; or how they differ from what was printed before, line by line.

    Subnets out of the default pool and ports that nobody chose are masked: which is next depends on what there was.
    """
    text = _PORT.sub('"PublishedPort": "<PORT>"', _POOL.sub('"<CIDR>"', text))
    if before is not None:
        changes = unified_diff(shaped(before), shaped(text), n=0, lineterm="")
        return tuple(line for line in changes if not line.startswith(("---", "+++", "@@")))
    try:
        found = json.loads(text)
    except ValueError:
        return lines(text)
    return tuple(json.dumps(masked_json(one), sort_keys=True) for one in found)


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
    """Return what differs without a reason, and what has a reason though it never differs."""
    pairs = list(zip(engine, ours, strict=True))
    differing = {own.command for theirs, own in pairs if not _same(theirs, own)}
    found: list[str] = []
    for theirs, own in pairs:
        reason = reasons().get((name, own.command))
        if reason is None and not _same(theirs, own):
            found.append(f"{name}: {own.command}\n{_held_against(theirs, own)}")
        elif reason is not None and own.command not in differing:
            found.append(f"{name}: {own.command}\nis listed as a difference, and is none")
    return found


def _held_against(theirs: Printed, own: Printed) -> str:
    """Tell what only the engine printed (-) and what only ours did (+)."""
    differing = ndiff(_pretty(theirs).splitlines(), _pretty(own).splitlines())
    told = [line for line in differing if not line.startswith((" ", "?"))]
    return "\n".join([*told[:TOLD], f"... and {len(told) - TOLD} more lines"] if len(told) > TOLD else told)


def _pretty(printed: Printed) -> str:
    """Return what was printed with a line for each key of its JSON."""
    lines = [f"exit {printed.status}"]
    for sign, line in [*(("", line) for line in printed.out), *(("! ", line) for line in printed.err)]:
        lines += [sign + one for one in shaped(line)] if line.startswith("{") else [sign + line]
    return "\n".join(lines)


def _same(theirs: Printed, ours: Printed) -> bool:
    """Compare; the order of the lines of some outputs is Go's chance."""
    outs, errs = (sorted(theirs.out), sorted(ours.out)), (sorted(theirs.err), sorted(ours.err))
    return theirs.command == ours.command and theirs.status == ours.status and outs[0] == outs[1] and errs[0] == errs[1]
