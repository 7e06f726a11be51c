"""What others wrote may be of any length; what is kept of it is not, and stays as it is from pass to pass."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from reconciler.gitops.bounded import RECORD_BYTES_MAX, TEXT_CHARS_MAX, encoded
from reconciler.gitops.drifts import PATHS_MAX
from reconciler.gitops.history import HistoryEntry
from reconciler.gitops.records import changes, from_records, to_records
from reconciler.gitops.state import Attempt
from reconciler.model.errors import ErrorCode
from reconciler.model.plan import Origin
from reconciler.model.policies import DriftMode, Policies
from reconciler.model.progress import Verdict
from reconciler.model.tables import KeyValueRecord
from tests.unit.gitops.story import START, Story, actual, node, update

LONG = "é" * 100_000


def test_a_record_of_long_texts_is_bounded_and_written_once():
    story = Story(policies=Policies(drift=DriftMode.REPORT))
    story.sees(update("web_api"))
    story.applied(verdicts={"web_api": Verdict.FAILING})
    attempt = Attempt("tree-1", "f", START, ErrorCode.TASKS_FAILING, LONG)
    scopes = {"web": replace(story.state.scope("web"), attempt=attempt)}
    long = replace(story.state, scopes=scopes)
    records = to_records(long)
    assert max(len(value) for value in records.values()) < 4 * TEXT_CHARS_MAX
    kept = from_records("infra", [KeyValueRecord("gitops", key, value, 1) for key, value in records.items()])
    assert changes(kept, long).is_empty
    assert to_records(kept) == records


def test_a_history_of_a_thousand_failed_stacks_fits_and_names_them_all():
    stacks = tuple(f"stack-{number}" for number in range(1000))
    entry = HistoryEntry(START, "c" * 64, "Ada", LONG, stacks, 1000, dict.fromkeys(stacks, LONG))
    made = encoded(entry)
    assert len(made) <= RECORD_BYTES_MAX
    back = msgspec.json.decode(made, type=HistoryEntry)
    assert (back.commit, back.scopes, set(back.failed)) == (entry.commit, stacks, set(stacks))


def test_a_drift_of_ever_so_many_fields_is_told_once_and_bounded():
    story = Story(policies=Policies(drift=DriftMode.REPORT))
    paths = [f"TaskTemplate.ContainerSpec.Env[{number}]" for number in range(3 * PATHS_MAX)]
    story.sees(update("web_api", Origin.DRIFT, *paths), cluster=actual(node("node1")))
    writes, alerts = story.writes, len(story.alerts)
    story.wait(seconds=5).sees(update("web_api", Origin.DRIFT, *paths), cluster=actual(node("node1")))
    assert (story.writes, len(story.alerts)) == (writes, alerts)
    assert len(story.state.drifts["service.web_api"].paths) == PATHS_MAX
