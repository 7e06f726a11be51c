"""An apply that is killed at any moment: the next one finishes, with nothing doubled, nothing lost, nothing left over.

On a real swarm, `swarmctl apply` alternates between a few revisions and is killed (SIGKILL; SIGINT, as Ctrl-C sends
it; or SIGTERM) at a random moment, again and again. KILLS says how often; SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.program import Repository
from tests.e2e.rotation import check, files_of

KILLS = int(os.environ.get("KILLS") or 12)
SEED = int(os.environ.get("SEED") or 0) or random.SystemRandom().randrange(1, 1 << 30)
CHECK_EVERY = 4
"""Kills in a row before an apply is left to finish, so that kills add up."""

LATEST_KILL_SHARE = 1.1
"""Of the time that the last apply took which nothing disturbed."""

ATTEMPTS_PER_KILL = 4
"""A kill that comes too late says nothing, and does not count."""

COMMAND_WAIT_S = 120.0


@pytest.mark.timeout(120 + 60 * KILLS)
@pytest.mark.parametrize("backend", [pytest.param("docker", marks=pytest.mark.engine)], indirect=True)
def test_whenever_an_apply_is_killed_the_next_one_finishes(backend: Backend, tmp_path: Path):
    rolls = random.Random(SEED)
    repository = Repository(tmp_path / "infra")
    swarmctl = backend.swarmctl
    swarmctl.folder = repository.folder
    repository.commit(files_of(0))
    began = time.monotonic()
    swarmctl.ok("apply", "--yes", "--resolve-image", "never")
    undisturbed_s = time.monotonic() - began
    endings: Counter[str] = Counter()
    for kill in range(1, ATTEMPTS_PER_KILL * KILLS + 1):
        repository.commit(files_of(kill))
        began = time.monotonic()
        ending = killed(backend, rolls, undisturbed_s)
        if ending == "too late":
            undisturbed_s = time.monotonic() - began  # the machine is faster now than it was
        endings[ending] += 1
        hit = endings["killed"] + endings["interrupted"]
        if kill % CHECK_EVERY == 0 or hit == KILLS:
            finished = swarmctl("apply", "--yes", "--resolve-image", "never")
            assert finished.code == 0, (SEED, kill, finished.text)
            check(backend, kill, (SEED, kill))
        print(f"{hit} kills of {KILLS}, seed {SEED}: {dict(endings)}", flush=True)
        if hit == KILLS:
            break
    assert hit == KILLS, endings


def killed(backend: Backend, rolls: random.Random, undisturbed_s: float) -> str:
    """Begin an apply, kill it after a random time, and return how it ended: killed, interrupted, or too late."""
    number = rolls.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM))
    program = backend.swarmctl.start("apply", "--yes", "--resolve-image", "never")
    try:
        _, err = program.communicate(timeout=rolls.uniform(0.0, undisturbed_s * LATEST_KILL_SHARE))
    except subprocess.TimeoutExpired:
        program.send_signal(number)
        _, err = program.communicate(timeout=COMMAND_WAIT_S)
    finally:
        program.kill()  # should the test itself be ended
    if program.returncode == 1 and err.startswith(("Fatal Python error: init", "Could not import runpy module")):
        return "interrupted"  # while Python itself began, before there was anything of ours
    assert "Traceback" not in err or program.returncode == -signal.SIGINT, err
    endings = dict.fromkeys((-signal.SIGINT, -signal.SIGTERM, 130, 143), "interrupted")
    endings |= {-signal.SIGKILL: "killed", 0: "too late"}
    assert program.returncode in endings, (program.returncode, err)
    return endings[program.returncode]
