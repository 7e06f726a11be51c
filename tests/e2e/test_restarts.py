"""Managers that restart, fail or are replaced by another leader in the midst of an apply, on a real swarm.

The apply goes on by itself or says what it did not do; then the next one finishes: nothing doubled, nothing lost,
nothing left over. `make restarts` does the same at many random moments (thorough_restarts.py).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.struck import ENDINGS, WROTE, a_swarm, applying, wait_until
from tests.lab.lab import Lab

pytestmark = [pytest.mark.engine, pytest.mark.apart]

one_manager = pytest.mark.parametrize("labs", [1], indirect=True)
three_managers = pytest.mark.parametrize("labs", [3], indirect=True)


@pytest.fixture(scope="module")
def labs(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Engines of their own, since they are ended and started again; `request.param` of them are managers."""
    with Lab(managers=request.param) as started:
        yield started


@one_manager
def test_the_only_manager_dies_between_two_writes(labs: Lab, tmp_path: Path):
    with a_swarm(labs, labs.manager, tmp_path) as swarm, applying(swarm) as apply:
        apply.until(WROTE, times=2)
        swarm.engine.end(signal.SIGKILL)
        assert not apply.is_over
        swarm.engine.start_again()
        ended = apply.ended()
        assert ended.code in ENDINGS, ended.text
        swarm.finish(ended)


@three_managers
def test_another_leader_takes_over_between_two_writes(labs: Lab, tmp_path: Path):
    with a_swarm(labs, labs.workers[0], tmp_path) as swarm, applying(swarm) as apply:
        former = swarm.leader
        assert former not in (None, swarm.engine)
        apply.until(WROTE, times=2)
        former.end(signal.SIGKILL)
        assert not apply.is_over
        wait_until(lambda: swarm.leader not in (None, former), "another manager leads")
        former.start_again()
        ended = apply.ended()
        assert ended.code in ENDINGS, ended.text
        swarm.finish(ended)
