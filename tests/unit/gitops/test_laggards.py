"""Controllers that can't take over the leader's snapshot: told once, and once when that is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from reconciler.gitops.laggards import Laggard, look
from reconciler.model.alerts import AlertPhase
from reconciler.model.replication import Address, Member

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
WELL = Member("node2", Address("10.0.0.2", 7946), voter=True, leader=False, behind=0)
REFUSING = replace(WELL, behind=4000, refuses="It is too new.")
KNOWN = {"node2": Laggard("node2", "It is too new.", NOW, 5000)}


def test_who_refuses_is_told_once_however_often_one_looks() -> None:
    first = look({}, [REFUSING], 5000, NOW)
    assert first.found == KNOWN
    (alert,) = first.alerts
    assert (alert.phase, alert.subject) == (AlertPhase.OPENED, "node2")
    assert "It is too new." in alert.message
    assert look(KNOWN, [REFUSING], 6000, LATER).alerts == ()
    assert look(KNOWN, [REFUSING], 6000, LATER).found == KNOWN


def test_another_reason_is_written_down_and_told_nobody() -> None:
    now = look(KNOWN, [replace(REFUSING, refuses="The disk is full.")], 6000, LATER)
    assert now.found == {"node2": Laggard("node2", "The disk is full.", NOW, 5000)}
    assert now.alerts == ()


def test_who_has_what_was_missing_has_caught_up_and_that_is_told_once() -> None:
    now = look(KNOWN, [replace(WELL, behind=1000)], 6000, LATER)
    assert now.found == {}
    (alert,) = now.alerts
    assert (alert.phase, alert.since, alert.at) == (AlertPhase.RECOVERED, NOW, LATER)
    assert alert.key == look({}, [REFUSING], 5000, NOW).alerts[0].key
    assert look(now.found, [WELL], 6000, LATER).alerts == ()


def test_who_says_nothing_to_a_new_leader_has_not_caught_up() -> None:
    for quiet in (replace(WELL, behind=5999), replace(WELL, behind=None), replace(WELL, behind=1001)):
        assert look(KNOWN, [quiet], 6000, LATER).found == KNOWN
        assert look(KNOWN, [quiet], 6000, LATER).alerts == ()


def test_who_is_a_member_no_more_is_forgotten() -> None:
    now = look(KNOWN, [replace(WELL, id="node1")], 6000, LATER)
    assert (now.found, now.alerts) == ({}, ())


def test_who_is_well_is_no_news() -> None:
    assert look({}, [WELL, replace(WELL, id="node3", behind=None)], 6000, NOW).found == {}
