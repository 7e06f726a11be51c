"""The store on PySyncObj under the faults of our own: kill -9 of all under load once lost writes in 12 of 12 trials.

TRIALS=10 runs more of them, each with other moments.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.group.faults import kill_all, kill_leader, kill_some
from tests.chaos.group.trial import trial

TRIALS = int(os.environ.get("TRIALS", "1"))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(TRIALS))
async def test_nothing_acknowledged_is_lost_when_all_are_killed_at_once(tmp_path: Path, seed: int) -> None:
    faults = (kill_all, kill_all, kill_leader) if seed % 2 == 0 else (kill_all, kill_some, kill_all)
    verdict = await trial(tmp_path / "group", faults, seed, kind="pysyncobj")
    assert not verdict.complaints
    assert verdict.acknowledged > 100
