"""What the loop decides: what is applied, what waits and why, what people are told, and when it wakes."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from msgspec.structs import replace

from reconciler.gitops.look import CLUSTER_FAILURES_MAX, Look
from reconciler.gitops.results import resumed, suspended
from reconciler.gitops.state import CLUSTER, EVERYTHING, Suspension
from reconciler.model.desired import DesiredNode
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.plan import ActionType, Blocked, Origin
from reconciler.model.policies import DriftMode, Policies, StackPolicy, Window, WindowKind
from reconciler.model.progress import Verdict
from reconciler.model.sources import SourceFault
from tests.unit.gitops.story import (
    HERE,
    START,
    Story,
    actual,
    applied_ids,
    desired,
    node,
    plan,
    revision,
    services,
    stack,
    update,
)

REPORT = Policies(drift=DriftMode.REPORT)


# --- nothing to do


def test_a_converged_cluster_decides_nothing_writes_nothing_and_says_nothing():
    story = Story()
    story.sees()
    writes = story.writes
    for _ in range(20):
        decision = story.wait(minutes=1).sees()
        assert (applied_ids(decision), decision.held, decision.alerts, decision.wake_at) == ([], (), (), None)
    assert story.writes == writes
    assert story.condition() == "Ready converged"


def test_before_the_first_revision_and_without_a_cluster_nothing_is_applied():
    story = Story(now=START)
    story.sees_nothing()
    assert story.decision.plan is None
    assert story.condition() == "Reconciling cluster-unreachable"
    for failures in range(2, 9):
        story.sees_nothing(failures)
    story.sees()
    assert story.told() == ["cluster opened cluster", "cluster recovered cluster"]
    assert CLUSTER_FAILURES_MAX > 1


# --- applying


def test_what_can_not_be_read_any_more_is_not_said_to_be_as_it_should():
    """As of a work tree that is gone, after a start anew."""
    story = Story()
    story.sees(update("web_api"))
    story.applied()
    story.sees()
    assert story.condition() == "Ready converged"
    story.found(SourceFault(ErrorCode.PATH_NOT_FOUND, "The folder is gone.", passing=True))
    story.look = Look(story.policies, None, actual())
    assert story._decided().plan is None
    assert (story.condition(), story.condition(CLUSTER)) == ("Reconciling source-failed",) * 2
    story.found(revision())
    story.sees()
    assert story.condition() == "Ready converged"


def test_a_commit_is_applied_once_and_told_once():
    story = Story()
    assert applied_ids(story.sees(update("web_api"))) == ["service.web_api"]
    assert story.condition() == "Reconciling applying"
    entry = story.applied().entry
    story.sees()
    assert story.condition() == "Ready converged"
    assert (entry.scopes, entry.actions, entry.failed) == (("web",), 1, {})
    assert story.told() == ["deployed notice web"]
    assert story.state.scope("web").applied.commit == revision().commit


def test_a_broken_stack_does_not_hold_the_others():
    story = Story(wanted=desired(stack("web"), stack("shop")))
    story.sees(update("web_api"), update("shop_api"))
    story.applied(failed={"service.web_api": ErrorCode.REQUEST_REFUSED})
    decision = story.sees(update("web_api"))
    assert (applied_ids(decision), story.condition("web"), story.condition("shop")) == (
        [],
        "Stalled apply-failed",
        "Ready converged",
    )
    assert applied_ids(story.sees(update("web_api"), update("shop_api"))) == ["service.shop_api"]


def test_a_failed_revision_is_not_tried_again_until_git_moves():
    story = Story()
    story.sees(update("web_api"))
    story.applied(verdicts={"web_api": Verdict.FAILING})
    for _ in range(50):
        decision = story.wait(minutes=10).sees(update("web_api"), assessments=services(web_api=Verdict.FAILING))
        assert applied_ids(decision) == []
    assert story.told() == ["failed opened web"]
    story.found(revision(2))
    assert applied_ids(story.sees(update("web_api"))) == ["service.web_api"]
    story.applied()
    story.sees()
    assert story.told() == ["failed opened web", "deployed notice web", "failed recovered web"]


@pytest.mark.parametrize(
    ("verdict", "reason"), [(Verdict.TIMED_OUT, "apply-failed"), (Verdict.UNSCHEDULABLE, "tasks-failing")]
)
def test_what_has_timed_out_or_finds_no_node_is_told_though_one_look_finds_it_on_its_way(verdict, reason):
    story, on_its_way = Story(), services(web_api=Verdict.PROGRESSING)
    story.sees(update("web_api"), assessments=on_its_way)
    story.applied(verdicts={"web_api": verdict})
    for _ in range(20):
        assert story.wait(minutes=1).sees(assessments=on_its_way).applying == ()
        assert story.condition() == f"Stalled {reason}"
    assert story.told() == ["failed opened web"]
    assert f"web_api {verdict.said}" in story.alerts[0].message
    story.sees(update("web_api"), assessments=on_its_way, forced=frozenset(["web"]))
    assert story.condition() == "Reconciling applying"
    story.applied()
    story.sees()
    assert story.told() == ["failed opened web", "deployed notice web", "failed recovered web"]


def test_a_stack_that_only_waited_for_another_was_not_applied():
    story = Story(wanted=desired(stack("db"), stack("web", "db")))
    story.sees(update("db_api"), update("web_api", after=("service.db_api",)))
    entry = story.applied(failed={"service.db_api": ErrorCode.TASKS_FAILING}, skipped=("service.web_api",)).entry
    assert (entry.scopes, list(entry.failed)) == (("db",), ["db"])
    assert story.state.begun == {}
    assert story.state.scope("web").attempt is None


def test_a_commit_that_touches_nothing_below_the_path_is_no_reason_to_try_again():
    story = Story()
    story.sees(update("web_api"))
    story.applied(failed={"service.web_api": ErrorCode.REQUEST_REFUSED})
    story.found(revision(2, identity=revision(1).identity))
    assert applied_ids(story.sees(update("web_api"))) == []


def test_a_failed_revision_is_tried_again_when_the_cluster_moves():
    before = actual(node("a"), web_api={"x": 1})
    story = Story()
    story.sees(update("web_api"), cluster=before)
    story.applied(verdicts={"web_api": Verdict.UNSCHEDULABLE}, cluster=before)
    assert applied_ids(story.sees(update("web_api"), cluster=before)) == []
    for moved in (
        actual(node("a"), node("b"), web_api={"x": 1}),
        actual(node("a", "down"), web_api={"x": 1}),
        actual(node("a"), web_api={"x": 2}),
    ):
        assert applied_ids(story.sees(update("web_api"), cluster=moved)) == ["service.web_api"]
    other_stack = actual(node("a"), web_api={"x": 1}, shop_api={"x": 2})
    assert applied_ids(story.sees(update("web_api"), cluster=other_stack)) == []


def test_a_revision_that_failed_once_may_come_back_after_another_one_went_well():
    story = Story()
    story.sees(update("web_api"))
    story.applied(failed={"service.web_api": ErrorCode.REQUEST_REFUSED})
    story.found(revision(2)).sees(update("web_api"))
    story.applied()
    assert story.state.scope("web").attempt is None
    story.found(revision(1))
    assert applied_ids(story.sees(update("web_api"))) == ["service.web_api"]


def test_a_stack_that_somebody_mended_by_hand_is_no_failure_any_more():
    story = Story()
    story.sees(update("web_api"))
    story.applied(failed={"service.web_api": ErrorCode.REQUEST_REFUSED})
    story.sees()
    assert story.state.scope("web").attempt is None
    assert applied_ids(story.sees(update("web_api"))) == ["service.web_api"]


def test_what_may_pass_is_tried_again_with_a_growing_wait_that_is_bounded():
    story = Story()
    waits = []
    for _ in range(12):
        assert applied_ids(story.sees(update("web_api"))) == ["service.web_api"]
        story.applied(failed={"service.web_api": ErrorCode.SWARM_UNAVAILABLE})
        decision = story.sees(update("web_api"))
        assert applied_ids(decision) == []
        assert story.condition() == "Reconciling backing-off"
        assert decision.wake_at is not None
        waits.append((decision.wake_at - story.now).total_seconds())
        story.now = decision.wake_at
    assert 9 <= waits[0] <= 11
    assert waits[3] > 3 * waits[0]
    assert max(waits) <= 15 * 60 * 1.1
    assert story.told() == []


def test_a_stack_that_was_put_back_is_told_as_that_and_not_tried_again():
    story = Story()
    story.sees(update("web_api"))
    story.applied(undone=("web",))
    assert applied_ids(story.sees(update("web_api"))) == []
    assert story.condition() == "Stalled rolled-back"
    assert story.told() == ["rolled-back opened web"]


@pytest.mark.parametrize(
    ("why", "condition", "told"),
    [
        (ErrorCode.ENGINE_UNREACHABLE, "Reconciling backing-off", []),
        (ErrorCode.REQUEST_REFUSED, "Stalled apply-failed", ["failed opened web"]),
    ],
)
def test_a_stack_that_could_not_be_put_back_whole_is_not_told_as_put_back(why, condition, told):
    story = Story()
    story.sees(update("web_api"))
    story.applied(undone=("web",), not_back=why)
    assert applied_ids(story.sees(update("web_api"))) == []
    assert story.condition() == condition
    assert story.told() == told


def test_a_sync_that_somebody_asks_for_tries_again_at_once():
    story = Story()
    story.sees(update("web_api"))
    story.applied(failed={"service.web_api": ErrorCode.REQUEST_REFUSED})
    assert applied_ids(story.sees(update("web_api"), forced=frozenset({"web"}))) == ["service.web_api"]


# --- waves


def test_a_stack_waits_for_one_that_failed_and_says_so():
    story = Story(wanted=desired(stack("db"), stack("web", "db"), stack("top", "web"), stack("alone")))
    first = story.sees(update("db_api"), update("web_api", after=("service.db_api",)))
    assert applied_ids(first) == ["service.db_api", "service.web_api"]
    story.applied(failed={"service.db_api": ErrorCode.REQUEST_REFUSED, "service.web_api": ErrorCode.REQUEST_REFUSED})
    decision = story.sees(update("db_api"), update("web_api"), update("top_api"), update("alone_api"))
    assert applied_ids(decision) == ["service.alone_api"]
    assert story.condition("top") == "Stalled dependency-not-ready"
    assert "Stack top has to wait for stack web." in story.state.scope("top").conditions[0].message


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [(Verdict.FAILING, "Stalled dependency-not-ready"), (Verdict.PROGRESSING, "Reconciling dependency-not-ready")],
)
def test_a_stack_waits_for_services_that_fail_or_are_on_their_way(verdict, expected):
    story = Story(wanted=desired(stack("db"), stack("web", "db")))
    states = services(db_api=verdict, web_api=Verdict.CONVERGED)
    assert applied_ids(story.sees(update("web_api"), assessments=states)) == []
    assert story.condition("web") == expected


def test_a_commit_that_mends_a_failing_stack_takes_its_dependents_along():
    story = Story(wanted=desired(stack("db"), stack("web", "db")))
    states = services(db_api=Verdict.FAILING, web_api=Verdict.CONVERGED)
    decision = story.sees(update("db_api"), update("web_api", after=("service.db_api",)), assessments=states)
    assert applied_ids(decision) == ["service.db_api", "service.web_api"]


def test_a_stack_that_could_not_be_planned_is_stalled_and_holds_its_dependents():
    story = Story(wanted=desired(stack("db"), stack("web", "db")))
    blocked = Blocked("service.db_api", Problem(ErrorCode.NAME_CONFLICT, "db_api is somebody else's."))
    decision = story.sees(plan=replace(plan(update("web_api")), blocked=(blocked,)))
    assert applied_ids(decision) == []
    assert story.condition("db") == "Stalled plan-blocked"
    assert story.told() == ["failed opened db"]


def test_what_comes_after_a_held_action_waits_for_it():
    story = Story(policies=REPORT)
    drifted = update("web_a", Origin.DRIFT)
    decision = story.sees(drifted, update("web_b", after=("service.web_a",)), update("web_c"))
    assert applied_ids(decision) == ["service.web_c"]
    assert {one.action_id: one.reason.value for one in decision.held} == {
        "service.web_a": "drifted",
        "service.web_b": "dependency-not-ready",
    }


def test_what_is_held_is_not_recorded_as_applied():
    story = Story(policies=Policies(stacks={"web": StackPolicy(windows=(Window(WindowKind.DENY, time(0), 86400),))}))
    made = replace(update("web_new"), type=ActionType.CREATE, object_id=None, read_spec=None)
    gone = replace(update("web_old"), type=ActionType.DELETE, spec=None)
    whole = replace(plan(made, gone), inventory=frozenset({"service.web_new", "service.web_kept"}))
    assert story.sees(plan=whole).plan.inventory == {"service.web_old", "service.web_kept"}


# --- suspension and windows


def test_a_suspended_stack_is_left_alone_until_it_is_resumed():
    story = Story(wanted=desired(stack("web"), stack("shop")))
    story.state = suspended(story.state, Suspension("web", START, "ada", "investigating"))
    decision = story.sees(update("web_api"), update("shop_api"), forced=frozenset({"*"}))
    assert applied_ids(decision) == ["service.shop_api"]
    assert story.condition("web") == "Stalled suspended"
    assert "by ada: investigating" in story.state.scope("web").conditions[0].message
    story.state = resumed(story.state, "web")
    assert applied_ids(story.sees(update("web_api"))) == ["service.web_api"]


def test_a_suspension_may_end_by_the_clock_and_may_be_of_everything():
    story = Story()
    story.state = suspended(story.state, Suspension(EVERYTHING, START, until=START + timedelta(hours=1)))
    decision = story.sees(update("web_api"))
    assert (applied_ids(decision), decision.wake_at) == ([], START + timedelta(hours=1))
    story.now = START + timedelta(hours=1)
    assert applied_ids(story.sees(update("web_api"))) == ["service.web_api"]
    assert story.state.suspensions == {}


def test_changes_wait_for_a_window_and_the_loop_wakes_when_it_opens():
    night = Window(WindowKind.ALLOW, time(22), 4 * 3600)
    story = Story(policies=Policies(windows=(night,)))
    decision = story.sees(update("web_api"))
    assert (applied_ids(decision), decision.wake_at) == ([], START.replace(hour=22))
    assert story.condition() == "Reconciling outside-window"
    story.now = START.replace(hour=22)
    assert applied_ids(story.sees(update("web_api"))) == ["service.web_api"]
    assert applied_ids(Story(policies=Policies(windows=(night,))).sees(update("web_api"), forced=frozenset("*"))) == [
        "service.web_api"
    ]


# --- sources and nodes


def test_an_unsigned_commit_is_told_once_and_what_is_in_force_stays():
    story = Story()
    refused = SourceFault(ErrorCode.SIGNATURE_MISSING, "The commit is not signed.", commit="b" * 40)
    for _ in range(10):
        story.found(refused).wait(minutes=1).sees()
    assert story.told() == ["signature-refused opened infra"]
    assert story.state.source.in_force == revision()
    assert story.condition() == "Ready converged"
    story.found(replace(refused, commit="c" * 40)).sees()
    story.found(revision(2)).sees()
    assert story.told()[1:] == ["signature-refused grew infra", "signature-refused recovered infra"]


def test_a_remote_that_fails_for_a_moment_is_not_told():
    story = Story()
    fault = SourceFault(ErrorCode.SOURCE_UNREACHABLE, "It can't be reached.", passing=True)
    for _ in range(2):
        story.found(fault).sees()
    story.found(revision()).sees()
    assert story.told() == []
    for _ in range(30):
        story.found(fault).wait(minutes=1).sees()
    assert story.told() == ["source opened infra"]


def test_manifests_that_can_not_be_loaded_leave_the_last_good_revision_in_force():
    story = Story()
    story.found(SourceFault(ErrorCode.UNKNOWN_KEY, "`replica` is no key.", commit="b" * 40))
    decision = story.sees(update("web_api", Origin.DRIFT))
    assert applied_ids(decision) == ["service.web_api"]
    assert story.told() == ["manifests opened infra", "drift opened service.web_api"]


def test_nodes_that_are_down_missing_or_not_listed_are_told_and_so_is_their_return():
    listed = tuple(DesiredNode(name, False, None, None, None, HERE) for name in ("a", "b"))
    story = Story(wanted=desired(stack("web"), nodes=listed))
    for _ in range(5):
        story.sees(cluster=actual(node("a", "down"), node("stranger")))
    assert story.told() == ["node opened a", "node opened stranger", "node opened b"]
    assert story.condition("node/id-a") == "Stalled node-down"
    assert story.condition("node/id-stranger") == "node-not-listed"
    assert story.condition("node/b") == "Stalled node-missing"
    story.sees(cluster=actual(node("a"), node("b")))
    assert [one.split()[:2] for one in story.told()[3:]] == [["node", "recovered"]] * 3
    assert story.condition(CLUSTER) == "Ready converged"
