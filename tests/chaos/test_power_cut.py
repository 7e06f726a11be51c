"""The power goes while a process writes: what a copy of the unsynced file system holds, on a real ext4."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.adapters.raft.log import DurableLog
from tests.chaos.raft_writer import SEGMENT_BYTES
from tests.chaos.test_kill_writer import ROOT, repeat
from tests.fakes.log_model import OWNER, Model, snapshot_data

POWER_CUTS = int(os.environ.get("POWER_CUTS", "3"))
IMAGE_BYTES = 24 << 20


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An empty ext4 in a file. Its journal is committed once a minute, unless somebody asks for it."""
    path = tmp_path / "image"
    path.touch()
    os.truncate(path, IMAGE_BYTES)
    if os.geteuid() or not shutil.which("mkfs.ext4") or run("mkfs.ext4", "-q", "-F", path).returncode:
        pytest.skip("no ext4 can be made")
    return path


class Mounted:
    """A file system in a file, for as long as the block lasts."""

    def __init__(self, image: Path, at: Path) -> None:
        self.image, self.at = image, at

    def __enter__(self) -> Path:
        self.at.mkdir(exist_ok=True)
        mounted = run("mount", "-o", "loop,commit=60", self.image, self.at)
        if mounted.returncode:
            pytest.skip(f"no loop device can be mounted: {mounted.stderr.strip()}")
        return self.at

    def __exit__(self, *_: object) -> None:
        assert run("umount", self.at).returncode == 0


def lines_until_power_cut(folder: Path, image: Path, copy: Path, seed: int, seconds: float) -> Iterator[str]:
    """What a writer said before the moment of which `copy` is the disk."""
    command = [sys.executable, "-m", "tests.chaos.raft_writer", str(folder), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(seconds)
            writer.send_signal(signal.SIGSTOP)
            assert run("cp", "--sparse=always", image, copy).returncode == 0
        finally:
            writer.kill()
        rest, _ = writer.communicate()
    yield from rest.decode().splitlines()


@pytest.mark.timeout(60 + 10 * POWER_CUTS)
def test_after_a_power_cut_all_that_was_acknowledged_is_there(image, tmp_path):
    chance, model, copy = random.Random(11), Model(), tmp_path / "copy"
    acknowledged = torn = 0
    for cut in range(POWER_CUTS):
        with Mounted(image, tmp_path / "before") as folder:
            lines = list(lines_until_power_cut(folder / "log", image, copy, cut, chance.uniform(0.1, 0.6)))
        for line in lines:
            before = model.log.last
            repeat(model, tuple(json.loads(line.removesuffix(" ok"))), ends=not line.endswith(" ok"))
            acknowledged += max(model.log.last - before, 0)
        copy.replace(image)
        with (
            Mounted(image, tmp_path / "after") as folder,
            DurableLog(str(folder / "log"), OWNER, create=False, segment_bytes=SEGMENT_BYTES) as log,
        ):
            loaded = log.load()
            why = model.why_not(loaded)
            assert not why, f"power cut {cut}: {why}"
            reader = log.read_snapshot()
            assert reader is None or b"".join(reader) == b"".join(snapshot_data(reader.meta))
            torn += bool(log.notes)
            model.adopt(loaded)
    print(f"{POWER_CUTS} power cuts; {acknowledged} acknowledged entries, 0 lost; {torn} torn ends")
    assert acknowledged > 10 * POWER_CUTS
