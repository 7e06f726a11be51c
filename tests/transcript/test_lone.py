"""Our daemon, alone on its machine, prints what a dockerd printed there.

`make test` plays the quickest scenario; `python -m tests.transcript.lone ours` plays all, and `… .running ours` those
of a machine that runs containers, which takes minutes.
"""

from __future__ import annotations

import shutil

import pytest

from tests.transcript import lone, running, scenarios
from tests.transcript.one_machine import names

LEAN = "lone/join"


@pytest.mark.parametrize(("folder", "steps"), [(lone.FOLDER, 1_200), (running.FOLDER, 750)])
def test_every_scenario_of_one_machine_has_its_golden_output(folder: str, steps: int) -> None:
    counted = 0
    for name in names(folder):
        compared = [step.command for step in scenarios.steps(name) if step.sign == "$"]
        assert compared == [printed.command for printed in scenarios.golden(name)]
        counted += len(compared)
    assert counted >= steps


@pytest.mark.engine
def test_a_lone_machine_refuses_what_an_engine_refuses() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker CLI")
    printed = lone.played(lone.OurDaemon, [LEAN])
    assert scenarios.surprises(LEAN, scenarios.golden(LEAN), printed[LEAN]) == []
