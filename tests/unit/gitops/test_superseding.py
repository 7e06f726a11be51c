"""Applies go on beside the passes: what they hold, what they leave, and what is remembered of several at once."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from reconciler.gitops.look import Decision, Look
from reconciler.gitops.results import suspended
from reconciler.gitops.state import Suspension
from reconciler.gitops.superseding import Standing, only_awaited, over, released, resuming, superseded
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Origin, TaskEffect
from reconciler.model.policies import DriftMode
from reconciler.model.progress import ActionStatus, Verdict
from tests.unit.gitops.story import START, Story, desired, plan, revision, services, stack, update

DONE, WAITING, RUNNING = ActionStatus.DONE, ActionStatus.WAITING, ActionStatus.RUNNING
PLAN = plan(*(replace(update(name), effect=TaskEffect.ROLLING) for name in ("a_api", "b_api")))


def two() -> Story:
    return Story(wanted=desired(stack("a"), stack("b"), stack("c")))


def seen(story: Story) -> Look:
    """What was seen last."""
    assert story.look is not None
    return story.look


def decided(story: Story) -> Decision:
    """What was decided last."""
    assert story.decision is not None
    return story.decision


def left(story: Story, *actions: Action, **statuses: ActionStatus) -> frozenset[str]:
    """Which of a and b an apply of the first revision leaves, when these are planned now."""
    if not story.look:
        story.sees()
    look = replace(seen(story), plan=plan(*actions), busy=frozenset("ab"))
    return superseded(standing_of(story, statuses), look, story.state, story.now)


def standing_of(story: Story, statuses: dict[str, ActionStatus], **verdicts: Verdict) -> Standing:
    """An apply of a and b, by how their writes stand and by what is known of their services."""
    return Standing(
        PLAN,
        seen(story),
        "ab",
        revision().identity,
        {f"service.{name}_api": one for name, one in statuses.items()},
        {f"{name}_api": one for name, one in verdicts.items()},
    )


def test_what_is_not_brought_by_another_revision_supersedes_nothing():
    assert left(two(), update("a_api"), a=DONE, b=RUNNING) == set()


def test_a_commit_for_another_stack_leaves_an_apply_that_only_waits_alone():
    story = two().found(revision(2))
    assert left(story, update("c_api"), a=DONE, b=WAITING) == set()


def test_a_commit_for_a_stack_that_is_awaited_takes_its_place_and_the_others_are_awaited_still():
    story = two().found(revision(2))
    assert left(story, update("a_api"), update("c_api"), a=DONE, b=DONE) == {"a"}


@pytest.mark.parametrize("status", [ActionStatus.FAILED, ActionStatus.SKIPPED, RUNNING])
def test_what_is_not_written_is_left_to_the_newer_revision_whatever_that_asks_for(status):
    story = two().found(revision(2))
    assert left(story, a=DONE, b=status) == {"b"}
    assert left(story, a=DONE) == {"b"}, "what has not even begun"


def test_drift_of_what_is_awaited_and_what_may_not_be_written_now_take_the_place_of_nothing():
    story = two().found(revision(2))
    assert left(story, update("a_api", Origin.DRIFT), a=DONE, b=DONE) == set()
    story.state = suspended(story.state, Suspension("a", START))
    assert left(story, update("a_api"), a=DONE, b=DONE) == set()


def test_while_the_cluster_is_away_only_what_is_not_written_is_left():
    story = two().found(revision(2))
    story.sees_nothing()
    assert superseded(standing_of(story, {"a": DONE}), seen(story), story.state, story.now) == {"b"}


def test_what_is_still_awaited_writes_nothing_and_minds_its_own_services_only():
    story = two()
    story.sees(*PLAN.actions)
    whole = replace(PLAN, services=("a_api", "b_api", "c_api"), atomic_stacks=("a", "b"), inventory=frozenset("x"))
    kept = only_awaited(whole, seen(story), {"b"})
    assert (kept.actions, kept.services, kept.atomic_stacks, kept.inventory) == ((), ("b_api",), ("b",), None)


def given_back(story: Story, statuses: dict[str, ActionStatus], *actions: Action, **verdicts: Verdict) -> frozenset:
    """Which of a and b an apply gives back, when these are planned now."""
    if not story.look:
        story.sees()
    standing = standing_of(story, statuses, **verdicts)
    return released(standing, replace(seen(story), plan=plan(*actions), busy=frozenset("ab")), story.state, story.now)


def test_a_stack_that_has_converged_is_given_back_when_there_is_something_to_write_to_it():
    story, both, verdicts = two(), {"a": DONE, "b": DONE}, {"a": Verdict.PROGRESSING, "b": Verdict.CONVERGED}
    assert given_back(story, both, update("b_api", Origin.DRIFT), update("a_api"), **verdicts) == {"b"}
    assert given_back(story, both, **verdicts) == set(), "one entry and one alert tell of all that a commit brings"
    assert given_back(story, both, update("b_api"), a=Verdict.PROGRESSING) == set(), "nothing is known of it yet"
    held = replace(story.policies, drift=DriftMode.REPORT)
    story.look = replace(seen(story), policies=held)
    assert given_back(story, both, update("b_api", Origin.DRIFT), **verdicts) == set()
    story.look = replace(seen(story), forced=frozenset("b"))
    assert given_back(story, both, update("b_api", Origin.DRIFT), **verdicts) == {"b"}


@pytest.mark.parametrize("status", [RUNNING, WAITING, ActionStatus.FAILED])
def test_what_could_not_be_written_is_given_back_and_what_is_on_its_way_is_not(status):
    story, statuses = two(), {"a": DONE, "b": status}
    found = given_back(story, statuses, update("b_api"), a=Verdict.PROGRESSING)
    assert found == ({"b"} if status is ActionStatus.FAILED else set())


def test_an_atomic_stack_is_kept_until_all_of_its_apply_has_ended():
    story = two()
    story.sees()
    standing = standing_of(story, {"a": DONE, "b": DONE}, a=Verdict.PROGRESSING, b=Verdict.CONVERGED)
    standing = replace(standing, plan=replace(PLAN, atomic_stacks=("b",)))
    assert released(standing, replace(seen(story), plan=plan(update("b_api"))), story.state, story.now) == set()


def told_early(story: Story, statuses: dict[str, ActionStatus], **verdicts: Verdict) -> frozenset[str]:
    """What of an apply of a and b is told before it has ended."""
    if not story.look:
        story.sees()
    return over(standing_of(story, statuses, **verdicts))


BAD = sorted(set(Verdict) - {Verdict.CONVERGED, Verdict.PROGRESSING})


@pytest.mark.parametrize("verdict", BAD)
def test_a_stack_that_has_ended_badly_is_told_while_another_one_is_awaited(verdict: Verdict):
    both = {"a": DONE, "b": DONE}
    assert told_early(two(), both, a=Verdict.PROGRESSING, b=verdict) == {"b"}
    assert told_early(two(), {"a": WAITING, "b": DONE}, b=verdict) == {"b"}, "the other is not looked at yet"
    assert told_early(two(), both, a=Verdict.CONVERGED, b=verdict) == set(), "the apply ends now, and tells of both"


def test_what_is_well_waits_for_the_rest_of_its_commit():
    assert told_early(two(), {"a": DONE, "b": DONE}, a=Verdict.PROGRESSING, b=Verdict.CONVERGED) == set()
    assert told_early(two(), {"a": DONE, "b": DONE}) == set(), "nothing is known yet"


def test_a_stack_one_of_whose_services_is_on_its_way_has_not_ended():
    story = two()
    story.sees()
    one = replace(update("b_db"), effect=TaskEffect.ROLLING)
    wanted = dataclasses.replace(story.wanted.objects[1], name="b_db")
    look = replace(seen(story), desired=replace(story.wanted, objects=(*story.wanted.objects, wanted)))
    standing = standing_of(story, {"a": DONE, "b": DONE}, a=Verdict.PROGRESSING, b=Verdict.FAILING)
    more = replace(standing, look=look, plan=replace(PLAN, actions=(*PLAN.actions, one)))
    db = {**standing.statuses, "service.b_db": DONE}
    assert over(replace(more, statuses=db)) == set(), "it may be what the other one lacks"
    assert over(replace(more, statuses=db, services={**standing.services, "b_db": Verdict.CONVERGED})) == {"b"}
    assert over(more) == set(), "it is not written yet"
    assert over(replace(more, statuses={**db, "service.b_db": ActionStatus.FAILED})) == {"b"}


def test_what_was_left_because_of_a_failure_is_told_with_it_and_what_nobody_could_send_is_not():
    after = replace(update("b_api", after=("service.a_api",)), effect=TaskEffect.ROLLING)
    three = plan(PLAN.actions[0], after, replace(update("c_api"), effect=TaskEffect.ROLLING))
    story = two()
    story.sees()
    statuses = {"a": ActionStatus.FAILED, "b": ActionStatus.SKIPPED, "c": DONE}
    standing = replace(standing_of(story, statuses), plan=three, scopes="abc")
    assert over(standing) == {"a", "b"}
    away = replace(
        standing, statuses={**standing.statuses, "service.a_api": DONE}, services={"a_api": Verdict.CONVERGED}
    )
    assert over(away) == set(), "its endpoint is gone, which the apply will say"


def test_an_atomic_stack_is_told_once_it_was_put_back():
    story = two()
    story.sees()
    standing = standing_of(story, {"a": DONE, "b": DONE}, a=Verdict.PROGRESSING, b=Verdict.PAUSED)
    atomic = replace(standing, plan=replace(PLAN, atomic_stacks=("b",)))
    assert over(atomic) == set()
    assert over(replace(atomic, undone=("b",), services={**atomic.services, "b_api": Verdict.CONVERGED})) == {"b"}


def test_stacks_do_not_wait_for_nodes_and_are_told_together():
    story = two()
    story.sees()
    promotes = replace(update("n"), id="node.n2", kind=Kind.NODE, name="n2", stack=None)
    standing = standing_of(story, {"a": DONE, "b": DONE}, a=Verdict.CONVERGED, b=Verdict.PROGRESSING)
    nodes = replace(standing, plan=plan(promotes, *PLAN.actions), scopes=("", "a", "b"))
    assert over(nodes) == set()
    well = dict.fromkeys(("a_api", "b_api"), Verdict.CONVERGED)
    assert over(replace(nodes, services=well)) == {"a", "b"}
    done = {**nodes.statuses, "node.n2": DONE}
    assert over(replace(nodes, statuses=done)) == set(), "the nodes wait for stacks, as stacks for each other"


def test_a_failure_that_was_told_early_is_one_entry_and_one_alert_and_the_rest_another():
    story = two()
    story.sees(update("a_api"), update("b_api"))
    whole, look = decided(story), seen(story)
    story.decision, story.look = replace(whole, applying=("b",)), replace(look, busy=frozenset("a"))
    entry = story.wait(seconds=5).applied(verdicts={"b_api": Verdict.TIMED_OUT, "a_api": Verdict.PROGRESSING}).entry
    assert (entry.scopes, entry.actions, list(entry.failed)) == (("b",), 1, ["b"])
    assert list(story.state.begun) == ["a"]
    behind = services(a_api=Verdict.PROGRESSING, b_api=Verdict.PROGRESSING, c_api=Verdict.CONVERGED)
    for _ in range(3):
        decision = story.wait(seconds=5).sees(busy=frozenset("a"), assessments=behind)
        assert (decision.entry, decision.resumed, story.told()) == (None, (), ["failed opened b"])
    assert (story.condition("a"), story.condition("b")) == ("Reconciling applying", "Stalled apply-failed")
    story.decision, story.look = replace(whole, applying=("a",)), look
    entry = story.applied(verdicts={"b_api": Verdict.TIMED_OUT}).entry
    assert (entry.scopes, entry.actions, entry.failed) == (("a",), 1, {})
    assert story.told() == ["failed opened b", "deployed notice a"]
    story.wait(seconds=5).sees()
    assert story.told()[2:] == ["failed recovered b"], "it has converged after all"
    assert story.state.scope("b").attempt is None


def test_whoever_leads_next_tells_of_a_failure_before_the_rest_has_ended_and_not_twice():
    story = two()
    story.sees(update("a_api"), update("b_api"))
    mixed = services(a_api=Verdict.PROGRESSING, b_api=Verdict.FAILING, c_api=Verdict.CONVERGED)
    decision = story.sees(assessments=mixed)
    assert (decision.entry.scopes, list(decision.entry.failed), decision.resumed) == (("b",), ["b"], ("a",))
    assert story.told() == ["failed opened b"]
    again = story.sees(assessments=mixed, busy=frozenset("a"))
    assert (again.entry, story.told()) == (None, ["failed opened b"])


def test_whoever_leads_next_tells_of_a_failure_while_it_writes_the_rest_of_that_commit():
    story = two()
    story.sees(update("a_api"), update("b_api"), update("c_api"))
    mixed = services(a_api=Verdict.PROGRESSING, b_api=Verdict.FAILING, c_api=Verdict.CONVERGED)
    decision = story.sees(update("a_api"), assessments=mixed)
    assert (decision.applying, decision.entry.scopes, list(decision.entry.failed)) == (("a",), ("b",), ["b"])
    assert set(story.state.begun) == {"a", "c"}, "what is well is told with the rest"
    assert story.told() == ["failed opened b"]


# --- what a pass decides beside them ---


def test_a_stack_that_is_awaited_holds_only_itself_and_what_depends_on_it():
    story = Story(wanted=desired(stack("a"), stack("b", "a"), stack("c")))
    decision = story.sees(update("a_api"), update("b_api"), update("c_api"), busy=frozenset("a"))
    assert decision.applying == ("c",)
    assert {one.scope: one.reason.value for one in decision.held} == {"a": "applying", "b": "dependency-not-ready"}
    assert decision.awaited == ("a",)
    assert story.condition("a") == "Reconciling applying"


def test_what_depends_on_a_stack_waits_though_its_tasks_run_as_long_as_it_is_awaited():
    story = Story(wanted=desired(stack("a"), stack("b", "a")))
    assert story.sees(update("b_api"), busy=frozenset("a")).applying == ()
    assert story.sees(update("b_api")).applying == ("b",)


def test_no_further_apply_begins_when_enough_are_under_way():
    story = two()
    assert story.sees(update("c_api"), busy=frozenset("a"), is_full=True).applying == ()
    assert story.sees(update("c_api"), busy=frozenset("a")).applying == ("c",)


def test_what_an_atomic_stack_may_need_to_go_back_to_is_not_removed_while_it_is_awaited():
    story = two()
    gone = replace(update("net"), id="network.net", type=ActionType.DELETE, kind=Kind.NETWORK, stack=None, spec=None)
    atomic = replace(plan(gone, update("c_api")), atomic_stacks=("a", "c"))
    decision = story.sees(plan=atomic, busy=frozenset("a"))
    assert decision.applying == ("c",)
    assert decision.plan.atomic_stacks == ("c",), "whoever brings the other one about puts it back"
    assert story.sees(plan=atomic, busy=frozenset("b")).applying == ("", "c")


def test_what_an_apply_replaces_is_no_drift_meanwhile():
    story = two()
    again = replace(update("a_api", Origin.DRIFT), type=ActionType.CREATE, changes=())
    story.sees(again, busy=frozenset("a"))
    assert (dict(story.state.drifts), story.told()) == ({}, [])
    story.sees(again)
    assert list(story.state.drifts) == ["service.a_api"]


# --- what is remembered of several ---


def test_each_apply_is_told_by_itself_also_when_a_newer_commit_came_beside_it():
    story = two()
    story.sees(update("a_api"), update("b_api"))
    first, first_look = story.decision, story.look
    story.found(revision(2)).wait(seconds=30)
    story.sees(update("c_api"), busy=frozenset("ab"))
    entry = story.applied().entry
    assert (entry.commit, entry.scopes, entry.actions) == (revision(2).commit, ("c",), 1)
    assert set(story.state.begun) == {"a", "b"}

    story.decision, story.look = first, first_look
    entry = story.applied(verdicts={"a_api": Verdict.FAILING}).entry
    assert (entry.commit, entry.scopes, tuple(entry.failed)) == (revision().commit, ("a", "b"), ("a",))
    assert story.state.source.in_force == revision(2)
    assert story.state.scope("b").applied.commit == revision().commit
    assert story.state.begun == {}
    assert story.told() == ["deployed notice c", "deployed notice b"]
    # The revision in force asks for the same of a: it is not tried once more because of the commit for c.
    assert story.state.scope("a").attempt.identity == revision(2).identity
    assert story.sees(update("a_api")).applying == ()


def test_whoever_leads_next_finishes_an_apply_that_a_newer_commit_had_left_alone():
    story = two()
    story.sees(update("a_api"))
    story.found(revision(2))
    story.sees(update("c_api"), busy=frozenset("a"))
    entries = [story.sees().entry, story.sees().entry]
    assert {(one.commit, one.scopes, one.actions) for one in entries} == {
        (revision().commit, ("a",), 1),
        (revision(2).commit, ("c",), 1),
    }
    assert not [one for entry in entries for one in entry.failed]
    assert story.state.scope("a").applied.commit == revision().commit
    assert story.sees().entry is None


def test_what_an_earlier_leader_has_written_is_awaited_by_the_next_one_as_that_commit():
    story = two()
    behind = services(a_api=Verdict.PROGRESSING, b_api=Verdict.CONVERGED, c_api=Verdict.CONVERGED)
    story.sees(update("a_api"))
    assert story.sees(busy=frozenset("a"), assessments=behind).resumed == (), "somebody awaits it"
    story.found(revision(2))
    story.sees(update("c_api"), busy=frozenset("a"), assessments=behind)
    assert story.sees(update("a_api", Origin.DRIFT), busy=frozenset("bc"), assessments=behind).resumed == ()
    assert story.sees(busy=frozenset("c"), assessments=behind, is_full=True).resumed == ()
    decision = story.sees(busy=frozenset("c"), assessments=behind)
    assert decision.resumed == ("a",)
    story.decision = resuming(decision, seen(story))
    assert (story.decision.applying, story.decision.plan.actions) == (("a",), ())
    entry = story.applied(verdicts={"a_api": Verdict.TIMED_OUT}).entry
    assert (entry.commit, entry.subject, entry.scopes, entry.actions) == (revision().commit, "change 1", ("a",), 1)
    assert (tuple(entry.failed), list(story.state.begun)) == (("a",), ["c"])
    assert story.state.source.in_force == revision(2)


def test_what_an_earlier_leader_has_written_waits_for_the_rest_of_its_commit():
    story = two()
    behind = services(a_api=Verdict.PROGRESSING, b_api=Verdict.CONVERGED, c_api=Verdict.CONVERGED)
    story.sees(update("a_api"), update("b_api"))
    assert story.sees(update("b_api"), assessments=behind).resumed == ()
    story.applied()
    assert story.sees(assessments=behind).resumed == ("a",)


def test_an_apply_that_an_earlier_leader_began_waits_for_the_rest_of_its_commit_but_for_no_other():
    story = two()
    story.sees(update("a_api"), update("b_api"))
    assert story.sees(busy=frozenset("b")).entry is None
    story.found(revision(2))
    story.sees(busy=frozenset("ab"))
    story.sees(update("c_api"), busy=frozenset("ab"))
    entry = story.sees(busy=frozenset("c")).entry
    assert (entry.commit, entry.scopes, entry.failed) == (revision().commit, ("a", "b"), {})
