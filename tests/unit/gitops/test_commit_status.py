"""What a forge shows beside a commit, as the loop goes on."""

from __future__ import annotations

from reconciler.gitops import commit_status
from reconciler.gitops.commit_status import Posted, due, from_records, statuses
from reconciler.model.errors import ErrorCode
from reconciler.model.forges import CommitStatus, StatusState
from reconciler.model.plan import Origin
from reconciler.model.policies import DriftMode, Policies
from reconciler.model.progress import Verdict
from reconciler.model.sources import SourceFault
from reconciler.model.tables import KeyValueRecord
from tests.unit.gitops.story import START, Story, actual, desired, node, revision, stack, update


def told(story: Story) -> list[str]:
    return [f"{one.commit[-1]} {one.state.value}: {one.description}" for one in statuses(story.state, "prod")]


def test_a_commit_is_pending_while_it_is_applied_and_a_success_when_it_has_converged() -> None:
    story = Story(wanted=desired(stack("web"), stack("db")))
    assert told(story) == []
    story.sees(update("web_api"))
    assert told(story) == ["1 pending: 2 of 3 are done; web: applying"]
    story.applied()
    story.sees()
    assert told(story) == ["1 success: The cluster is what this commit asks for."]
    [one] = statuses(story.state, "prod", "https://x.test")
    assert (one.context, one.target_url, one.commit) == ("swarmctl/prod", "https://x.test", f"{1:040x}")


def test_a_failure_says_which_stack_and_why() -> None:
    story = Story()
    story.sees(update("web_api"))
    story.applied(verdicts={"web_api": Verdict.FAILING})
    story.sees(update("web_api"))
    [one] = statuses(story.state, "prod")
    assert one.state is StatusState.FAILURE
    assert one.description.startswith("web: ")
    assert "failing" in one.description


def test_drift_and_nodes_are_no_fault_of_the_commit() -> None:
    story = Story(policies=Policies(drift=DriftMode.REPORT))
    story.sees(update("web_api", Origin.DRIFT), cluster=actual(node("node1", "down")))
    assert told(story) == ["1 success: The cluster is what this commit asks for."]


def test_putting_drift_back_makes_no_commit_pending_again() -> None:
    story = Story()
    story.sees(update("web_api"))
    story.applied()
    story.sees(update("web_api", Origin.DRIFT))
    assert told(story) == ["1 success: The cluster is what this commit asks for."]
    story.applied()
    story.found(revision(2)).sees(update("web_api"))
    assert told(story) == ["2 pending: 1 of 2 are done; web: applying"]


def test_a_commit_that_was_refused_says_so_itself_and_calls_nobody() -> None:
    story = Story()
    story.sees()
    what = "@everyone " + "x" * 400
    story.found(SourceFault(ErrorCode.SIGNATURE_MISSING, what, commit="b" * 40)).sees()
    refused = statuses(story.state, "prod")[1]
    assert (refused.commit, refused.state) == ("b" * 40, StatusState.FAILURE)
    assert len(refused.description) == commit_status.DESCRIPTION_CHARS_MAX
    assert "@everyone" not in refused.description
    assert refused.description.startswith("Not applied. ")


def test_what_was_posted_is_not_posted_again_by_whoever_leads_next() -> None:
    story = Story()
    story.sees()
    wanted = statuses(story.state, "prod")
    assert due(Posted("infra"), wanted) == wanted
    made = commit_status.command(Posted("infra", wanted), START)
    record = KeyValueRecord(made.namespace, made.key, made.value, 1)
    assert due(from_records("infra", [record]), wanted) == ()
    assert from_records("other", [record]) == Posted("other")
    story.found(revision(2)).sees(update("web_api"))
    assert [one.commit[-1] for one in due(Posted("infra", wanted), statuses(story.state, "prod"))] == ["2"]


def test_a_record_that_cannot_be_read_is_as_none() -> None:
    assert from_records("infra", [KeyValueRecord(commit_status.NAMESPACE, "source/infra", b"{", 1)]) == Posted("infra")
    assert isinstance(CommitStatus("c", StatusState.PENDING, "", ""), CommitStatus)
