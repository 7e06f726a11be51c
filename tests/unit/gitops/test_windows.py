"""Maintenance windows over days, midnights and changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from reconciler.gitops.windows import opening
from reconciler.model.policies import Window, WindowKind

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_window_goes_over_midnight():
    window = Window(WindowKind.ALLOW, time(22), 4 * 3600, frozenset({4}))  # Friday night
    assert opening([window], at("2026-11-21T01:59")).until == at("2026-11-21T02:00")
    assert opening([window], at("2026-11-21T01:59")).is_open
    assert not opening([window], at("2026-11-21T02:00")).is_open
    assert opening([window], at("2026-11-21T02:00")).until == at("2026-11-27T22:00")


def test_a_denial_counts_more_than_a_permission():
    always = Window(WindowKind.ALLOW, time(0), 86400)
    freeze = Window(WindowKind.DENY, time(12), 3600)
    assert opening([always, freeze], at("2026-11-21T12:30")).is_open is False
    assert opening([freeze], at("2026-11-21T11:30")).is_open
    assert opening([freeze], at("2026-11-21T11:30")).until == at("2026-11-21T12:00")
    assert opening([always], at("2026-11-21T11:30")).until is None


def test_a_window_opens_by_the_clocks_of_its_zone():
    window = Window(WindowKind.ALLOW, time(3), 3600, zone=BERLIN)
    # In the night to 2026-10-25 the clocks go back by an hour.
    assert opening([window], at("2026-10-24T00:00")).until == at("2026-10-24T01:00")
    assert opening([window], at("2026-10-25T00:00")).until == at("2026-10-25T02:00")
