"""Plays recorded steps of a real engine against ours, and counts which of them come out the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.transcript.lone import LoneWorld, OurDaemon, lone_world
from tests.transcript.player import Machines, Player
from tests.transcript.shaping import shaped
from tests.transcript.stand_in import a_world

REASONS = Path(__file__).with_name("recorded") / "reasons.toml"
"""Why steps may come out otherwise, by their ids."""
WILD = {
    "<ID>": r"(?:<ID>|[0-9a-z]{12,64})",
    "<NODE>": r"\S*",
    "<VERSION>": r"\S+",
    "<MEM>": r"[^\s,]+",
    "<CPUS>": r"[^\s,]+",
    "<IP>": r"[0-9.]+",
    "<CIDR>": r"[^\s\"]+",
    "<AGO>": r"(?:<AGO>|\d+ \w+ ago)",
    "<WORK>": r"\S+",
    "<B64>": r"\S+",
}


VERBS = ("stop", "kill", "start")
"""What a recording did with a machine's daemon between its steps."""


def matches(expected: list[str], ours: list[str], world: Machines) -> bool:
    """Return whether lines are the same but for what was masked; the order of some outputs is Go's chance."""
    if len(expected) != len(ours):
        return False
    named = {f"<IP{one.number}>": re.escape(one.address) for one in world.machines}
    patterns = [_pattern(line, named) for line in expected]
    if all(pattern.fullmatch(line) for pattern, line in zip(patterns, ours, strict=True)):
        return True
    ordered = [_pattern(line, named) for line in _unordered(_squeezed(expected))]
    return all(pattern.fullmatch(line) for pattern, line in zip(ordered, _unordered(ours), strict=True))


def _unordered(lines: list[str]) -> list[str]:
    """Return lines in an order of their own; that the last one of a JSON list has no comma is chance as well."""
    return sorted(line.rstrip(",") for line in lines)


def _pattern(line: str, named: dict[str, str]) -> re.Pattern[str]:
    parts = re.split(r"(<[A-Z0-9]+>)", re.sub(r"\s+", " ", line.strip()))
    return re.compile("".join(_wild(part, named) for part in parts))


def _wild(part: str, named: dict[str, str]) -> str:
    return named.get(part) or (f"(?:{WILD[part]}|{part})" if part in WILD else re.escape(part))


def _projected(expected: list[str], out: str) -> list[str]:
    """Return our output cut down to the fields that the recording kept."""
    try:
        wanted, found = json.loads("\n".join(expected)), json.loads(out)
    except ValueError:
        return shaped(out)
    if isinstance(wanted, dict) and isinstance(found, list) and len(found) == 1:
        return shaped(json.dumps({key: _dug(found[0], key) for key in wanted}))
    return shaped(out)


def _dug(found: Any, path: str) -> Any:
    if isinstance(found, dict) and path in found:
        return found[path]
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _squeezed(lines: Iterable[str]) -> list[str]:
    return [re.sub(r"\s+", " ", line.strip()) for line in lines]


@dataclass
class Score:
    same: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


async def replay(
    recorded: list[dict[str, Any]], scenarios: list[str], folder: Path, files: Path, *, daemon: bool = False
) -> Score:
    """Play the chosen scenarios (all when none is named), each from fresh machines, with `files` to work on.

    With `daemon`, steps of one machine that need no tasks go to a daemon of its own, which takes root.
    """
    score = Score()
    for name in dict.fromkeys(step["id"].split(".")[0] for step in recorded):
        if not scenarios or name in scenarios:
            steps = [step for step in recorded if step["id"].split(".")[0] == name]
            await _scenario(name, steps, Player(folder, files), score, daemon=daemon)
    return score


async def _scenario(name: str, steps: list[dict[str, Any]], player: Player, score: Score, *, daemon: bool) -> None:
    for part in _parts(steps):
        async with a_daemon() if daemon and _needs_no_tasks(part) else a_world(player.folder) as world:
            await _play(name, part, player, world, score)


def _parts(steps: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the steps from one reset of all machines to the next."""
    parts: list[list[dict[str, Any]]] = [[]]
    for step in steps:
        if step.get("ctl") == "reset":
            parts.append([])
        else:
            parts[-1].append(step)
    return [part for part in parts if part]


def _needs_no_tasks(steps: list[dict[str, Any]]) -> bool:
    """Whether a daemon of its own can play them, whose tasks would be processes, and which is one machine."""
    commands = " ".join(step.get("cmd", "") for step in steps)
    return {step["node"] for step in steps} == {1} and not re.search(r"service|stack|docker run", commands)


@contextlib.asynccontextmanager
async def a_daemon() -> AsyncIterator[LoneWorld]:
    """Start `swarmctl daemon` on a machine of its own."""
    starting = lone_world(OurDaemon)
    world = await asyncio.to_thread(starting.__enter__)
    try:
        yield world
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)


async def _play(name: str, steps: list[dict[str, Any]], player: Player, world: Machines, score: Score) -> None:
    reasons = tomllib.loads(REASONS.read_text())
    for step in steps:
        number = step["node"]
        if step.get("ctl") in VERBS:
            await world.machines[number - 1].do(step["ctl"])
        if "wait" in step:
            await player.settle(world, number, step["wait"])
        if "cmd" not in step or "out" not in step:
            if "cmd" in step:
                await player.run(world, number, step["cmd"])
            continue
        hook = (player.files or player.folder) / f"{step['id']}.sh"
        if hook.exists():
            await player.run(world, number, hook.read_text())  # what the recording did between two steps
        if re.search(r"service create .*--name x ", step["cmd"]):
            await player.run(world, number, "docker service rm x")  # the recording did so, unrecorded
        status, out, err = await player.run(world, number, step["cmd"])
        score.steps[name] += 1
        ours_out, ours_err = _squeezed(_projected(step["out"], out)), _squeezed(shaped(err))
        same = status == step["rc"] and matches(step["out"], ours_out, world) and matches(step["err"], ours_err, world)
        if same:
            score.same[name] += 1
        elif step["id"] in reasons:
            score.listed[name] += 1
        else:
            score.failures.append(_told(step, status, ours_out, ours_err))


def _told(step: dict[str, Any], status: int, out: list[str], err: list[str]) -> str:
    lines = [f"== {step['id']} {step['tags'] or ''} {step['cmd']}"]
    if status != step["rc"]:
        lines.append(f"   exit {step['rc']} expected, {status} found")
    for kind, expected, found in (("out", _squeezed(step["out"]), out), ("err", _squeezed(step["err"]), err)):
        lines += [f"   -{kind} {line}" for line in expected if line not in found]
        lines += [f"   +{kind} {line}" for line in found if line not in expected]
    return "\n".join(lines)
