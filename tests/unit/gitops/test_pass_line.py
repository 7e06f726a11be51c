"""One line says what a pass decided, also when that was nothing."""

from __future__ import annotations

import json

from reconciler.gitops.pass_line import NAMES_MAX, apply_line, pass_line
from reconciler.gitops.results import suspended
from reconciler.gitops.state import Suspension
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.plan import Origin
from reconciler.model.policies import DriftMode, Policies
from reconciler.model.progress import ActionProgress, ActionStatus, ApplyResult
from tests.unit.gitops.story import START, Story, plan, update


def line(story: Story) -> dict[str, object]:
    assert story.decision is not None
    return dict(pass_line(story.decision, cause="poll", pass_id="p1", seconds=0.01234))


def test_a_converged_cluster_is_one_line_too() -> None:
    story = Story()
    story.sees()
    said = line(story)
    assert said["outcome"] == "idle"
    assert (said["actions"], said["held"], said["drifted"], said["alerts"]) == (0, 0, 0, 0)
    assert (said["revision"], said["seconds"], said["cause"]) == (f"{1:040x}", 0.012, "poll")
    json.dumps(said)


def test_what_is_applied_and_what_waits_is_named_with_its_reason() -> None:
    story = Story()
    story.sees(update("web_api"))
    assert (line(story)["outcome"], line(story)["applying"]) == ("applies", "web")
    story.state = suspended(story.state, Suspension("web", START, "ada", "freeze"))
    story.sees(update("web_api"))
    assert (line(story)["outcome"], line(story)["waiting"]) == ("holds", "web:suspended")


def test_no_value_of_a_spec_is_in_it() -> None:
    story = Story(policies=Policies(drift=DriftMode.REPORT))
    story.sees(update("web_api", Origin.DRIFT))
    said = json.dumps(line(story))
    assert "live" not in said
    assert '"drifted": 1' in said


def test_a_cluster_that_does_not_answer_is_told_as_that() -> None:
    story = Story()
    story.sees_nothing()
    assert line(story)["outcome"] == "blind"


def test_the_end_of_an_apply_names_what_failed_by_code_and_stays_short() -> None:
    actions = [update(f"web_{number}") for number in range(50)]
    problem = Problem(ErrorCode.STALE_VERSION, "somebody's secret")
    steps = tuple(ActionProgress(one, ActionStatus.FAILED, problem) for one in actions)
    said = apply_line(ApplyResult(plan(*actions), steps), pass_id="p1", seconds=1)
    assert said["failed"] == 50
    assert str(said["problems"]).startswith("service.web_0:stale-version service.web_1:stale-version")
    assert str(said["problems"]).endswith(f"and {50 - NAMES_MAX} more")
    assert "secret" not in str(said)
