"""A leader that is gone in the midst of an apply: the next one finishes its books as well."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.model.errors import ErrorCode
from reconciler.model.plan import Origin
from reconciler.model.progress import Verdict
from tests.unit.gitops.story import Story, desired, plan, revision, services, stack, update


def three() -> Story:
    return Story(wanted=desired(stack("a"), stack("b"), stack("c")))


def writes() -> tuple:
    return tuple(update(f"{name}_api") for name in "abc")


def test_what_a_dead_leader_had_written_is_told_with_what_the_next_one_writes():
    story = three()
    story.sees(*writes())
    story.sees(update("c_api"))
    entry = story.applied().entry
    assert (entry.commit, entry.scopes, entry.actions, entry.failed) == (revision().commit, ("a", "b", "c"), 3, {})
    assert {name: one.applied.commit for name, one in story.state.scopes.items() if one.applied} == dict.fromkeys(
        "abc", revision().commit
    )
    assert story.told() == ["deployed notice a, b, c"]
    assert "(3 writes)" in story.alerts[0].message
    assert story.state.begun == {}


def test_an_apply_whose_leader_died_after_its_last_write_is_in_the_history():
    story = three()
    story.sees(*writes())
    entry = story.sees().entry
    assert (entry.scopes, entry.actions, entry.failed) == (("a", "b", "c"), 3, {})
    assert story.told() == ["deployed notice a, b, c"]
    assert story.sees().entry is None


def test_what_is_still_on_its_way_is_told_once_it_has_ended():
    story = three()
    story.sees(*writes())
    behind = services(a_api=Verdict.PROGRESSING, b_api=Verdict.CONVERGED, c_api=Verdict.CONVERGED)
    assert story.sees(assessments=behind).entry.scopes == ("b", "c")
    assert story.sees(assessments=behind).entry is None
    broken = services(a_api=Verdict.FAILING, b_api=Verdict.CONVERGED, c_api=Verdict.CONVERGED)
    entry = story.sees(assessments=broken).entry
    assert (entry.scopes, tuple(entry.failed)) == (("a",), ("a",))
    assert story.state.scope("a").applied is None


def test_a_newer_commit_ends_what_a_dead_leader_began_and_nothing_is_claimed_of_it():
    story = three()
    story.sees(*writes())
    decision = story.found(revision(2)).sees(update("a_api"))
    assert decision.entry.commit == revision().commit
    assert tuple(decision.entry.failed) == ("a", "b", "c")
    assert "had not ended when" in decision.entry.failed["b"]
    assert story.state.scope("b").applied is None
    assert story.applied().entry.scopes == ("a",)


def test_an_apply_that_fails_leaves_nothing_open():
    story = three()
    story.sees(*writes())
    story.applied(failed={"service.a_api": ErrorCode.APPLY_FAILED})
    assert story.state.begun == {}
    assert story.sees().entry is None


def test_a_dead_leader_that_only_put_drift_back_has_deployed_nothing():
    story = three()
    story.sees(update("a_api", Origin.DRIFT))
    assert story.sees().entry.scopes == ("a",)
    assert not [one for one in story.told() if one.startswith("deployed")]


def test_while_the_cluster_is_away_nothing_is_known_of_what_was_begun():
    story = three()
    story.sees(*writes())
    assert story.sees_nothing().entry is None
    assert story.sees().entry.scopes == ("a", "b", "c")


def test_a_stack_that_still_waits_to_be_written_is_not_told_with_what_it_waits_for():
    story = Story(wanted=desired(stack("a"), stack("b", "a")))
    after = update("b_api", after=("service.a_api",))
    story.sees(update("a_api"), after)
    decision = story.sees(update("a_api"), after, assessments=())
    story.decision = replace(decision, plan=plan(update("a_api")), applying=("a",))
    assert story.applied().entry.scopes == ("a",)
    assert story.state.scope("b").applied is None
