"""A group of three processes under load loses nothing that it acknowledged, whatever is done to it.

`make chaos` does the same for longer, and says how much was tried.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.group.faults import (
    Fault,
    cut_some_links,
    isolate_leader,
    kill_all,
    kill_leader,
    kill_some,
    pause_leader,
    stop_in_order,
)
from tests.chaos.group.trial import trial, why_no_wires

OPERATIONS_MIN = 20


async def kept(folder: Path, faults: tuple[Fault, ...], *, wires: bool = False) -> None:
    verdict = await trial(folder / "group", faults, seed=4711, wires=wires)
    assert not verdict.complaints
    assert verdict.acknowledged > 100
    assert verdict.operations > OPERATIONS_MIN


async def test_nothing_is_lost_when_members_are_killed(tmp_path: Path) -> None:
    await kept(tmp_path, (kill_leader, kill_all, kill_some))


async def test_nothing_is_lost_when_the_leader_pauses_or_leaves(tmp_path: Path) -> None:
    await kept(tmp_path, (pause_leader, stop_in_order))


@pytest.mark.skipif(why_no_wires() is not None, reason=str(why_no_wires()))
async def test_nothing_is_lost_when_the_network_is_cut(tmp_path: Path) -> None:
    await kept(tmp_path, (isolate_leader, cut_some_links), wires=True)
