"""Managers that end at random moments of an apply, again and again: what `make restarts` adds to test_restarts.py.

RESTARTS says how many strikes a swarm of one manager gets, and one of three; SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from tests.e2e.program import Finished
from tests.e2e.struck import ENDINGS, WROTE, Struck, a_swarm, applying
from tests.lab.engine import Engine
from tests.lab.lab import Lab
from tests.lab.meddling import put_settings

RESTARTS = int(os.environ.get("RESTARTS") or 12)
SEED = int(os.environ.get("SEED") or 0) or random.SystemRandom().randrange(1, 1 << 30)
EARLIEST_SHARE, LATEST_SHARE = 0.15, 1.1
"""Of the time that an apply takes which nothing disturbs: before, nothing but the program starts."""

ATTEMPTS_PER_STRIKE = 4
"""A strike that comes too late says nothing, and does not count."""

AWAY_S = (0.0, 0.0, 3.0, 15.0)
"""Seconds until dockerd is started again; a leader is given up after some 10."""

pytestmark = pytest.mark.engine
one_manager = pytest.mark.parametrize("labs", [1], indirect=True)


@pytest.fixture(scope="module")
def labs(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Engines of their own, since they are ended and started again; `request.param` of them are managers."""
    with Lab(managers=request.param) as started:
        yield started


@one_manager
def test_a_manager_that_stays_away_ends_the_apply(labs: Lab, tmp_path: Path):
    with a_swarm(labs, labs.manager, tmp_path) as swarm:
        with applying(swarm) as apply:
            apply.until(WROTE, times=2)
            swarm.engine.end(signal.SIGTERM)
            ended = apply.ended()
        swarm.engine.start_again()
        assert ended.code == 1, ended.text
        assert "[engine-unreachable]" in ended.err
        assert "Apply failed: " in ended.out or "Applied in part: " in ended.out, ended.out
        swarm.finish(ended)


@one_manager
def test_a_manager_that_comes_back_locked_says_so_and_the_apply_goes_on_once_it_is_unlocked(labs: Lab, tmp_path: Path):
    with a_swarm(labs, labs.manager, tmp_path) as swarm:
        set_autolock(swarm.backend.engine, locks=True)
        key = swarm.backend.engine.get_unlock_key()["UnlockKey"]
        with applying(swarm) as apply:
            apply.until(WROTE, times=2)
            swarm.engine.end(signal.SIGKILL)
            swarm.engine.start_again()
            ended = apply.ended()
        for refused in (ended, swarm.backend.swarmctl("diff")):
            assert refused.code == 1, refused.text
            assert "[swarm-unavailable]" in refused.err
            assert "hint: Unlock it with `docker swarm unlock`." in refused.err
        assert swarm.backend.engine.unlock_swarm(key)
        swarm.finish(ended)
        set_autolock(swarm.backend.engine, locks=False)


def set_autolock(engine: docker.APIClient, *, locks: bool) -> None:
    put_settings(engine, EncryptionConfig={"AutoLockManagers": locks})


@dataclass(frozen=True)
class Strike:
    """What befalls a manager in the midst of an apply."""

    engine: Engine
    number: signal.Signals
    after_s: float
    """Since the apply began."""
    away_s: float

    def __str__(self) -> str:
        return f"{self.number.name} to {self.engine.name} after {self.after_s:.1f} s, away for {self.away_s:.0f} s"


@pytest.mark.timeout(120 + 240 * RESTARTS)
@pytest.mark.parametrize("labs", [1, 3], indirect=True)
def test_whenever_a_manager_is_struck_the_next_apply_finishes(labs: Lab, tmp_path: Path):
    """Every second strike hits the manager that is talked to, the others any one."""
    rolls, endings = random.Random(SEED), Counter[str]()
    with a_swarm(labs, labs.manager, tmp_path) as swarm:
        began = time.monotonic()
        with applying(swarm) as apply:
            assert apply.ended().code == 0
        undisturbed_s = time.monotonic() - began
        for attempt in range(ATTEMPTS_PER_STRIKE * RESTARTS):
            victim = swarm.engine if attempt % 2 else rolls.choice(labs.engines[: labs.managers])
            number = rolls.choice((signal.SIGKILL, signal.SIGTERM))
            strike = Strike(
                victim, number, undisturbed_s * rolls.uniform(EARLIEST_SHARE, LATEST_SHARE), rolls.choice(AWAY_S)
            )
            led = "the leader" if victim is swarm.leader else "a follower"
            where = f"{labs.managers} managers, seed {SEED}: {strike}, {led}"
            ended = struck(swarm, strike)
            print(f"{where}: {'too late' if ended is None else ended.code}", flush=True)
            if ended is None:
                continue
            assert ended.code in ENDINGS, (where, ended.text)
            assert ended.code == 0 or "Error: " in ended.err, (where, ended.text)
            endings["went on by itself" if ended.code == 0 else f"told, {ended.code}"] += 1
            if ended.code:
                print(ended.err, flush=True)
            swarm.finish(ended, where)
            if endings.total() == RESTARTS:
                break
    print(f"{labs.managers} managers, seed {SEED}: {dict(endings)}, {swarm.aftermaths} applies more", flush=True)
    assert endings.total() == RESTARTS


def struck(swarm: Struck, strike: Strike) -> Finished | None:
    """Begin an apply, strike, and return how it ended; None when it had ended before."""
    with applying(swarm) as apply:
        time.sleep(strike.after_s)
        too_late = apply.is_over
        strike.engine.end(strike.number)
        time.sleep(strike.away_s)
        strike.engine.start_again()
        strike.engine.wait()
        ended = apply.ended()
    return None if too_late else ended
