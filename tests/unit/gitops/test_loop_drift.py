"""What the loop makes of drift: what is told and how often, what is put back, what is left alone."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from reconciler.model.alerts import AlertPhase
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Origin
from reconciler.model.policies import DriftMode, Policies, StackPolicy
from tests.unit.gitops.story import START, Story, applied_ids, desired, stack, update

REPORT = Policies(drift=DriftMode.REPORT)


def test_a_hundred_passes_over_one_standing_drift_are_one_alert_and_one_recovery():
    story = Story(policies=REPORT)
    drifted = update("web_api", Origin.DRIFT, "Mode.Replicated.Replicas")
    story.sees()
    for _ in range(100):
        assert applied_ids(story.wait(minutes=1).sees(drifted)) == []
    assert story.condition() == "drifted"
    assert story.state.drifts["service.web_api"].since == START + timedelta(minutes=1)
    (alert,) = story.alerts
    assert (alert.phase, alert.differences[0].applied, alert.differences[0].found) == (AlertPhase.OPENED, "git", "live")
    for _ in range(100):
        story.wait(minutes=1).sees()
    assert story.told() == ["drift opened service.web_api", "drift recovered service.web_api"]
    assert story.state.drifts == {}
    assert story.state.incidents == {}


def test_heal_puts_it_back_and_says_so():
    story = Story()
    decision = story.sees(update("web_api", Origin.DRIFT))
    assert applied_ids(decision) == ["service.web_api"]
    assert decision.alerts[0].next_step == "It is put back now."
    story.applied()
    story.sees()
    assert story.told() == ["drift opened service.web_api", "drift recovered service.web_api"]
    assert story.alerts[-1].message == "It was put back."


def test_ignored_drift_is_neither_told_nor_written_and_the_stack_is_ready():
    story = Story(policies=Policies(drift=DriftMode.IGNORE))
    assert applied_ids(story.sees(update("web_api", Origin.DRIFT))) == []
    assert (story.told(), story.condition()) == ([], "Ready converged")


def test_drift_modes_by_stack_and_by_object():
    policies = Policies(
        drift=DriftMode.REPORT,
        stacks={"web": StackPolicy(DriftMode.HEAL)},
        objects=(("service.*_cron", DriftMode.IGNORE),),
    )
    story = Story(policies=policies, wanted=desired(stack("web"), stack("shop")))
    found = [update(name, Origin.DRIFT) for name in ("web_api", "web_cron", "shop_api", "shop_cron")]
    assert applied_ids(story.sees(*found)) == ["service.web_api"]
    assert sorted(story.state.drifts) == ["service.shop_api", "service.web_api"]


def test_a_commit_that_touches_a_drifted_object_is_applied_whole():
    story = Story(policies=REPORT)
    assert applied_ids(story.sees(update("web_api", Origin.BOTH))) == ["service.web_api"]


def test_a_field_more_is_told_once_more_and_a_field_less_is_not():
    story = Story(policies=REPORT)
    one, two = ("Mode.Replicated.Replicas",), ("Mode.Replicated.Replicas", "TaskTemplate.ContainerSpec.Image")
    for paths in (one, two, two, one, two):
        story.wait(minutes=1).sees(update("web_api", Origin.DRIFT, *paths))
    assert story.told() == ["drift opened service.web_api", "drift grew service.web_api"]


def test_drift_that_comes_and_goes_is_told_as_that_and_then_kept_quiet_about():
    story = Story()
    for _ in range(20):
        story.wait(minutes=1).sees(update("web_api", Origin.DRIFT))
        story.applied()
        story.wait(minutes=1).sees()
    phases = [one.phase.value for one in story.alerts]
    assert phases == [*["opened", "recovered"] * 3, "flapping"]
    for _ in range(62):
        story.wait(minutes=1).sees()
    assert [one.phase.value for one in story.alerts][7:] == ["recovered"]


def test_hundreds_of_objects_that_drift_at_once_are_one_alert():
    story = Story(policies=REPORT)
    story.sees(*[update(f"web_{number}", Origin.DRIFT) for number in range(200)])
    assert story.told() == ["drift opened 200 objects"]


def test_a_removed_object_is_drift_too():
    gone = Action("service.web_api", ActionType.CREATE, Kind.SERVICE, "web_api", "web", "missing", origin=Origin.DRIFT)
    story = Story(policies=REPORT)
    assert applied_ids(story.sees(gone)) == []
    assert "is gone" in story.alerts[0].message


def test_drift_is_kept_in_mind_while_the_cluster_does_not_answer():
    story = Story(policies=REPORT)
    story.sees(update("web_api", Origin.DRIFT))
    since = story.state.drifts["service.web_api"].since
    story.wait(minutes=5).sees_nothing()
    story.wait(minutes=5).sees(update("web_api", Origin.DRIFT))
    assert story.state.drifts["service.web_api"].since == since
    assert story.told() == ["drift opened service.web_api"]


def test_a_sensitive_value_is_in_no_alert():
    drifted = update("web_api", Origin.DRIFT)
    secret = replace(drifted.changes[0], old="hunter2", applied="hunter1", sensitive=True)
    story = Story(policies=REPORT)
    story.sees(replace(drifted, changes=(secret,)))
    assert "hunter" not in repr(story.alerts) + repr(story.state)


def test_the_steps_of_a_node_that_is_listed_by_its_id_are_one_drift():
    story = Story(policies=REPORT)
    listed = replace(
        update("web_api", Origin.DRIFT, "Availability"),
        kind=Kind.NODE,
        name="node2 (k0z9)",
        object_id="k0z9",
        stack=None,
    )
    story.sees(replace(listed, id="node.k0z9.drain"), replace(listed, id="node.k0z9"))
    assert list(story.state.drifts) == ["node.k0z9"]
    assert story.told() == ["drift opened node.k0z9"]
