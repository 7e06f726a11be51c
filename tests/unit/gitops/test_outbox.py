"""The outbox: an alert goes out once, whichever controller leads, and is not lost with one of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from reconciler.gitops import outbox as boxes
from reconciler.gitops.outbox import Outbox, delivered, from_records, queued, to_records, waiting_for
from reconciler.model.alerts import Alert, AlertKind, AlertPhase
from reconciler.model.commands import DeleteRecord, PutRecord
from reconciler.model.plan import Origin
from reconciler.model.tables import KeyValueRecord
from tests.unit.gitops.story import START, Story, update
from tests.unit.gitops.test_alert_text import ALERT

ROUTES = {"chat": None, "mail": frozenset({AlertKind.FAILED})}


def after(box: Outbox, *alerts: Alert, at: datetime = START, source: str = "infra") -> Outbox:
    return queued(box, source, alerts, ROUTES, at)


def kept(box: Outbox) -> Outbox:
    """What another controller has of it."""
    return from_records([KeyValueRecord(boxes.NAMESPACE, key, value, 1) for key, value in to_records(box).items()])


def test_an_alert_waits_for_the_sinks_that_want_it_until_each_has_it() -> None:
    failure = replace(ALERT, kind=AlertKind.FAILED, key="failed/web")
    box = after(Outbox(), ALERT, failure)
    assert [one.alert.key for one in waiting_for(box, "chat")] == [ALERT.key, failure.key]
    [for_mail] = waiting_for(box, "mail")
    box = delivered(box, for_mail.id, "mail")
    assert waiting_for(box, "mail") == ()
    assert len(waiting_for(box, "chat")) == 2
    assert delivered(box, for_mail.id, "mail") == box
    for one in waiting_for(box, "chat"):
        box = delivered(box, one.id, "chat")
    assert not box.pending


def test_the_next_leader_that_decides_the_same_once_more_tells_nothing_twice() -> None:
    box = kept(after(Outbox(), ALERT))
    again = replace(ALERT, at=START + timedelta(seconds=4), since=START + timedelta(seconds=4))
    assert after(box, again) == box
    [one] = waiting_for(box, "chat")
    assert after(delivered(box, one.id, "chat"), again).pending == {}


def test_an_incident_that_comes_back_is_told_again() -> None:
    box, told = Outbox(), []
    for hour in range(3):
        for phase in (AlertPhase.OPENED, AlertPhase.RECOVERED):
            at = START + timedelta(hours=hour)
            box = after(box, replace(ALERT, phase=phase, at=at), at=at)
            told.append(len(box.pending))
    assert told == [1, 2, 3, 4, 5, 6]


def test_the_same_incident_of_two_repositories_is_two() -> None:
    box = after(after(Outbox(), ALERT), ALERT, source="other")
    assert len(box.pending) == 2


def test_a_node_that_is_away_is_one_incident_however_many_repositories_are_followed() -> None:
    down = replace(ALERT, kind=AlertKind.NODE, key="node/n1")
    back = replace(down, phase=AlertPhase.RECOVERED, at=START + timedelta(minutes=1))
    again = replace(down, at=START + timedelta(minutes=2))
    box = Outbox()
    for alert in (down, back, again):
        for source in ("infra", "shop"):
            box = after(box, alert, source=source)
    assert [one.alert.phase for one in waiting_for(box, "chat")] == [one.phase for one in (down, back, again)]


def test_a_hundred_passes_with_a_leader_that_dies_after_each_are_one_alert_and_one_recovery() -> None:
    box, sent = Outbox(), []
    story = Story()
    story.sees()
    before = story.state
    for _ in range(100):
        story.state = before  # the outbox was written, the leader died before the state was
        story.wait(seconds=10).sees(update("web_api", Origin.DRIFT))
        assert story.decision is not None
        box = kept(after(box, *story.decision.alerts, at=story.now))
        for one in waiting_for(box, "chat"):
            sent.append(one.alert.phase)
            box = kept(delivered(box, one.id, "chat"))
    drifted = story.state
    for _ in range(3):
        story.state = drifted
        story.wait(seconds=10).sees()
        assert story.decision is not None
        box = kept(after(box, *story.decision.alerts, at=story.now))
        sent += [one.alert.phase for one in waiting_for(box, "chat")]
        for one in waiting_for(box, "chat"):
            box = kept(delivered(box, one.id, "chat"))
    assert sent == [AlertPhase.OPENED, AlertPhase.RECOVERED]


def test_what_waits_is_bounded_and_grows_old() -> None:
    many = [replace(ALERT, key=f"drift/{number}", at=START + timedelta(seconds=number)) for number in range(500)]
    box = after(Outbox(), *many)
    assert len(box.pending) == boxes.PENDING_MAX
    assert box.dropped == 300
    assert {one.alert.key for one in box.pending.values()} == {one.key for one in many[300:]}
    assert after(box, at=START + timedelta(days=2)).pending == {}


def test_what_waits_for_a_sink_that_is_gone_is_forgotten() -> None:
    assert boxes.without_other_sinks(after(Outbox(), ALERT), {"mail"}).pending == {}


def test_only_what_changed_is_proposed() -> None:
    empty, box = Outbox(), after(Outbox(), ALERT)
    made = boxes.commands(empty, box, START)
    assert [type(one) for one in made] == [PutRecord, PutRecord]
    assert boxes.commands(box, box, START) == ()
    [one] = waiting_for(box, "chat")
    gone = boxes.commands(box, delivered(box, one.id, "chat"), START)
    assert [type(each) for each in gone] == [DeleteRecord]


def test_a_record_that_cannot_be_read_is_passed_over() -> None:
    assert from_records([KeyValueRecord(boxes.NAMESPACE, "pending/x", b"{", 1)]) == Outbox()
