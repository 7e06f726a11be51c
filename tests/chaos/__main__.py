"""`make chaos`: every fault, again and again, on groups of three processes; a table of what was tried and kept.

TRIALS=50 of each random fault, SEED=1 the first seed, FAULT=text only those whose name has it, KIND=core|pysyncobj;
WRITERS=8 in each member, STEADY=0 more seconds of load after each fault.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.table import in_columns
from tests.chaos.group.faults import ANYWHERE, CRASH_POINTS, NEED_IMAGES, NEED_WIRES, Fault
from tests.chaos.group.images import why_no_images
from tests.chaos.group.trial import Load, trial, why_no_wires

FAULTS_PER_TRIAL = 4
POINTS_PER_TRIAL = 6
TRIALS = int(os.environ.get("TRIALS", "10"))
SEED = int(os.environ.get("SEED", "1"))
ONLY = os.environ.get("FAULT", "")
KIND = os.environ.get("KIND", "core")
WRITERS = int(os.environ.get("WRITERS", "8"))
STEADY_S = float(os.environ.get("STEADY", "0"))
HEAD = ["fault", "trials", "faults", "acknowledged", "operations", "lost", "phantom", "other"]


@dataclass
class Row:
    """What came of one kind of fault."""

    name: str
    trials: int = 0
    faults: int = 0
    acknowledged: int = 0
    operations: int = 0
    complaints: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        lost = sum(one.startswith("lost") for one in self.complaints)
        phantom = sum(one.startswith("phantom") for one in self.complaints)
        other = len(self.complaints) - lost - phantom
        counts = (self.trials, self.faults, self.acknowledged, self.operations, lost, phantom, other)
        return [self.name, *(f"{count:,}" for count in counts)]


async def run_trials(row: Row, plans: Sequence[Sequence[Fault]], *, wires: bool, images: bool) -> None:
    """One trial for each plan, on a group of its own, whose folder is kept if something was wrong."""
    for number, plan in enumerate(plans):
        began = time.monotonic()
        place = Path(tempfile.mkdtemp(prefix=f"chaos-{SEED + number}-"))
        load = Load(WRITERS, STEADY_S)
        try:
            verdict = await trial(
                place / "group", plan, SEED + number, kind=KIND, wires=wires, images=images, load=load
            )
        except (AssertionError, TimeoutError) as error:
            row.complaints.append(f"did not end: {error!r}")
            say(f"{row.name}: seed {SEED + number}, kept in {place}: {type(error).__name__} {error}")
            continue
        row.trials += 1
        row.faults += len(plan)
        row.acknowledged += verdict.acknowledged
        row.operations += verdict.operations
        row.complaints += verdict.complaints
        seconds = time.monotonic() - began
        kept = f", kept in {place}" if verdict.complaints else ""
        say(f"{row.name}: seed {SEED + number}: {verdict.acknowledged:,} acknowledged, {seconds:.1f} s{kept}")
        for complaint in verdict.complaints[:5]:
            say(f"  {complaint}")
        if not verdict.complaints:
            await asyncio.to_thread(shutil.rmtree, place)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def random_plans(fault: Fault) -> list[list[Fault]]:
    return [[fault] * FAULTS_PER_TRIAL for _ in range(TRIALS)]


def crash_plans() -> list[list[Fault]]:
    """All crash points, some in each trial."""
    points = list(CRASH_POINTS.values())
    return [points[first : first + POINTS_PER_TRIAL] for first in range(0, len(points), POINTS_PER_TRIAL)]


async def chaos() -> int:
    """Run what was asked for, print the table and return how many complaints there were."""
    rows: list[Row] = []
    groups: list[tuple[Mapping[str, Fault], bool, bool, str | None]] = [
        (ANYWHERE, False, False, None),
        (NEED_WIRES, True, False, why_no_wires()),
        (NEED_IMAGES, False, True, why_no_images()),
    ]
    for faults, wires, images, why_not in groups:
        for name, fault in faults.items():
            if ONLY not in name:
                continue
            if why_not is not None:
                say(f"{name}: left out, {why_not}")
                continue
            rows.append(Row(name))
            await run_trials(rows[-1], random_plans(fault), wires=wires, images=images)
    if ONLY in (name := "crash points, each placed"):
        rows.append(Row(name))
        await run_trials(rows[-1], crash_plans(), wires=False, images=False)
    total = Row("all")
    for row in rows:
        total.trials += row.trials
        total.faults += row.faults
        total.acknowledged += row.acknowledged
        total.operations += row.operations
        total.complaints += row.complaints
    print(in_columns([HEAD, *(row.cells() for row in (*rows, total))]))
    return len(total.complaints)


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(chaos()) else 0)
