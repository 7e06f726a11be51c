"""kill -9 of a process that works on its log: compared with what it had acknowledged over a pipe."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.adapters.raft.log import DurableLog
from tests.chaos.raft_writer import SEGMENT_BYTES
from tests.fakes.crash_disk import Died
from tests.fakes.log_model import OWNER, Model, Step, carry_out, snapshot_data

KILLS = int(os.environ.get("KILLS", "20"))
ROOT = Path(__file__).resolve().parents[2]


class Mirror:
    """The log's place when the writer's steps are repeated on a model: `ends` the step before it is durable."""

    def __init__(self, *, ends: bool) -> None:
        self._ends = ends

    def append(self, entries: object) -> None:
        pass

    def save_hard_state(self, state: object) -> None:
        pass

    def sync(self) -> None:
        if self._ends:
            raise Died

    def publish_snapshot(self, meta: object, chunks: object) -> bool:
        self.sync()
        return True

    def compact(self, index: int) -> None:
        self.sync()


def repeat(model: Model, step: Step, *, ends: bool) -> None:
    try:
        carry_out(Mirror(ends=ends), model, step)  # type: ignore[arg-type]
    except Died:
        assert ends


def killed_after(folder: Path, seed: int, seconds: float) -> list[str]:
    """The lines of a writer that was killed so long after it was ready."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.raft_writer", str(folder), str(seed)], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(seconds)
    finally:
        writer.kill()
        rest, _ = writer.communicate()
    return rest.decode().splitlines()


@pytest.mark.timeout(60 + 10 * KILLS)
def test_a_killed_writer_finds_all_that_it_acknowledged(tmp_path):
    chance, folder, model = random.Random(7), tmp_path / "log", Model()
    acknowledged = under_way = torn = 0
    for kill in range(KILLS):
        lines = killed_after(folder, kill, chance.uniform(0.01, 0.2))
        for line in lines:
            done = line.endswith(" ok")
            before = model.log.last
            repeat(model, tuple(json.loads(line.removesuffix(" ok"))), ends=not done)
            acknowledged += max(model.log.last - before, 0)
            under_way += not done
        with DurableLog(str(folder), OWNER, create=False, segment_bytes=SEGMENT_BYTES) as log:
            loaded = log.load()
            why = model.why_not(loaded)
            assert not why, f"kill {kill}: {why}"
            reader = log.read_snapshot()
            assert reader is None or b"".join(reader) == b"".join(snapshot_data(reader.meta))
            torn += bool(log.notes)
            model.adopt(loaded)
    print(
        f"{KILLS} kills, {under_way} of them in a step; {acknowledged} acknowledged entries, 0 lost; {torn} torn ends"
    )
    assert under_way > KILLS // 4
    assert acknowledged > 20 * KILLS
