"""What machines that run containers print was recorded from a dockerd.

`python -m tests.transcript.running ours` plays it against our daemon, which takes minutes.
"""

from __future__ import annotations

from tests.transcript import running, scenarios


def test_every_scenario_of_a_machine_that_runs_containers_has_its_golden_output() -> None:
    counted = 0
    for name in running.names():
        compared = [step.command for step in scenarios.steps(name) if step.sign == "$"]
        assert compared == [printed.command for printed in scenarios.golden(name)]
        counted += len(compared)
    assert counted >= 350
