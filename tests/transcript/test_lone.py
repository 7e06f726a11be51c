"""Our daemon, alone on its machine, prints what a dockerd printed there.

`make test` plays the quickest scenario; `python -m tests.transcript.lone ours` plays all.
"""

from __future__ import annotations

import shutil

import pytest

from tests.transcript import lone, scenarios

LEAN = "lone/join"


def test_every_scenario_of_a_lone_machine_has_its_golden_output() -> None:
    counted = 0
    for name in lone.names():
        compared = [step.command for step in scenarios.steps(name) if step.sign == "$"]
        assert compared == [printed.command for printed in scenarios.golden(name)]
        counted += len(compared)
    assert counted >= 200


@pytest.mark.engine
def test_a_lone_machine_refuses_what_an_engine_refuses() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker CLI")
    printed = lone.played(lone.OurDaemon, [LEAN])
    assert scenarios.surprises(LEAN, scenarios.golden(LEAN), printed[LEAN]) == []
