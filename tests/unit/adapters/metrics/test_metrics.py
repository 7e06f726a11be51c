"""What a scrape shows of a loop's memory and of what was counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from reconciler.adapters.metrics import Metrics, Remembered, remembered
from reconciler.adapters.notify.outlet import OutletStatus
from reconciler.gitops.results import suspended
from reconciler.gitops.state import Suspension
from reconciler.model.plan import Origin
from reconciler.model.policies import DriftMode, Policies
from reconciler.model.progress import ActionProgress, ActionStatus, ApplyResult
from reconciler.model.replication import Address, Member
from tests.unit.gitops.story import START, Story, plan, update


def scraped(metrics: Metrics) -> dict[str, float]:
    text, _ = metrics.exposition()
    found = {}
    for family in parsed(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def drifted() -> Story:
    story = Story(policies=Policies(drift=DriftMode.REPORT))
    story.sees(update("web_api", Origin.DRIFT))
    return story


def test_a_scrape_of_the_leader_says_who_can_not_follow_and_one_of_another_only_of_itself() -> None:
    at = Address("10.0.0.1", 7946)
    seen = [
        Member("one", at, voter=True, leader=True, behind=0, silent_s=0.0),
        Member("two", at, voter=True, leader=False, behind=4000, silent_s=0.25, refuses="It is too new."),
    ]
    found = scraped(Metrics(lambda: Remembered(START, "one", leading=True, epoch=7, members=seen)))
    assert {name: number for name, number in found.items() if name.startswith("swarmctl_member")} == {
        "swarmctl_member_snapshot_refused{member=one}": 0,
        "swarmctl_member_snapshot_refused{member=two}": 1,
        "swarmctl_member_behind_entries{member=one}": 0,
        "swarmctl_member_behind_entries{member=two}": 4000,
        "swarmctl_member_silent_seconds{member=one}": 0,
        "swarmctl_member_silent_seconds{member=two}": 0.25,
    }
    seen = [Member("one", at, voter=True, leader=True), Member("two", at, voter=True, leader=False, refuses="Too new.")]
    found = scraped(Metrics(lambda: Remembered(START, "two", members=seen)))
    assert {name: number for name, number in found.items() if name.startswith("swarmctl_member")} == {
        "swarmctl_member_snapshot_refused{member=two}": 1
    }, "it does not know how the others are"


def test_a_scrape_says_what_drifted_for_how_long_and_who_leads() -> None:
    story = drifted()
    states = [suspended(story.state, Suspension("*", START, "ada"))]
    now = START + timedelta(minutes=10)
    found = scraped(Metrics(lambda: Remembered(now, "one", True, 7, states, {"cluster-events": 3})))
    assert found["swarmctl_drift_seconds{object=service.web_api,source=infra,stack=web}"] == 600
    assert found["swarmctl_drifted_objects{source=infra}"] == 1
    assert found["swarmctl_condition{condition=Ready,kind=stack,name=web,reason=drifted,source=infra}"] == 0
    assert found["swarmctl_incidents_open{kind=drift,source=infra}"] == 1
    assert found["swarmctl_suspended{scope=*,source=infra}"] == 1
    assert found["swarmctl_leader{member=one}"] == 1
    assert found["swarmctl_epoch{}"] == 7
    assert found["swarmctl_queue_length{queue=cluster-events}"] == 3
    assert found[f"swarmctl_revision_info{{commit={1:040x},source=infra}}"] == 1
    assert found["swarmctl_source_ready{code=,source=infra}"] == 1
    assert any(name.startswith("process_resident_memory_bytes") for name in found)


def test_what_is_over_has_no_series_left() -> None:
    story = drifted()
    metrics = Metrics(lambda: Remembered(story.now, "one", states=[story.state]))
    assert "swarmctl_drift_seconds{object=service.web_api,source=infra,stack=web}" in scraped(metrics)
    story.wait(seconds=5).sees()
    found = scraped(metrics)
    assert "swarmctl_drift_seconds{object=service.web_api,source=infra,stack=web}" not in found
    assert found["swarmctl_drifted_objects{source=infra}"] == 0


def test_what_happens_is_counted() -> None:
    sinks = [OutletStatus("chat", waiting=2, sent=5, failed_tries=1, failing="no")]
    metrics = Metrics(lambda: Remembered(START, "one", sinks=sinks))
    action = update("web_api")
    metrics.applied(ApplyResult(plan(action), (ActionProgress(action, ActionStatus.DONE),)), 3.0)
    metrics.passed("idle", 0.02)
    metrics.fetched("infra", "same", 0.1)
    metrics.webhook("github", "push")
    metrics.request("GET", "/v1/status", 200)
    metrics.began_to_lead()
    found = scraped(metrics)
    assert found["swarmctl_writes_total{action=update,kind=service,outcome=done}"] == 1
    assert found["swarmctl_passes_total{outcome=idle}"] == 1
    assert found["swarmctl_pass_duration_seconds_count{}"] == 1
    assert found["swarmctl_apply_duration_seconds_sum{}"] == 3
    assert found["swarmctl_fetch_duration_seconds_count{outcome=same,source=infra}"] == 1
    assert found["swarmctl_alerts_total{outcome=sent,sink=chat}"] == 5
    assert found["swarmctl_queue_length{queue=sink/chat}"] == 2
    assert found["swarmctl_sink_failing{sink=chat}"] == 1
    assert found["swarmctl_leaderships_total{}"] == 1


def test_a_cluster_that_drifts_as_a_whole_has_bounded_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "SERIES_MAX", 10)
    story = Story(policies=Policies(drift=DriftMode.REPORT))
    story.sees(*(update(f"web_{number}", Origin.DRIFT) for number in range(50)))
    found = scraped(Metrics(lambda: Remembered(START, "one", states=[story.state])))
    assert len([name for name in found if name.startswith("swarmctl_drift_seconds")]) == 10
    assert found["swarmctl_drifted_objects{source=infra}"] == 50


def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    text, kind = Metrics(lambda: Remembered(START, "one")).exposition("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert list(parsed_openmetrics(text.decode()))
    assert text.endswith(b"# EOF\n")


def test_two_controllers_in_one_process_have_their_own() -> None:
    one, two = (Metrics(lambda: Remembered(START, "x")) for _ in range(2))
    one.began_to_lead()
    assert scraped(two)["swarmctl_leaderships_total{}"] == 0
