"""Refused connections are logged one by one while they are few, and counted when they are many."""

from __future__ import annotations

import re

import pytest

from reconciler.adapters.raft.transport.refusals import BURST, TELL_EVERY_S, ConnectionLog, Refusal
from reconciler.model.errors import ErrorCode

EXPIRED = Refusal(ErrorCode.PEERS_EXPIRED, "its certificate has expired")


def test_each_of_few_has_a_line_with_source_code_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    ConnectionLog().accepted_refused("10.0.0.9:4711", EXPIRED, 5.0)
    assert caplog.messages == ["Connection from 10.0.0.9:4711 refused [peers-expired]: its certificate has expired"]


def test_many_are_counted_and_none_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog()
    for number in range(1000):
        log.accepted_refused("10.0.0.9:1", EXPIRED, number / 1000)
    assert len(caplog.messages) == BURST
    log.tell_withheld(1.0)
    assert len(caplog.messages) == BURST
    log.tell_withheld(1.0 + TELL_EVERY_S)
    assert caplog.messages[-1] == f"{1000 - BURST} more connections refused [peers-expired]"
    log.tell_withheld(99.0)
    assert len(caplog.messages) == BURST + 1


def test_the_next_line_tells_what_was_withheld(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog()
    for _ in range(BURST + 7):
        log.accepted_refused("10.0.0.9:1", EXPIRED, 0.0)
    log.accepted_refused("10.0.0.9:1", EXPIRED, 2.0)
    assert caplog.messages[-1].endswith("(7 more like it were not logged)")


def test_one_kind_does_not_hide_another(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog()
    for _ in range(BURST + 7):
        log.accepted_refused("10.0.0.9:1", EXPIRED, 0.0)
    log.accepted_refused("10.0.0.8:1", Refusal(ErrorCode.PEERS_WRONG_CA, "another authority"), 0.0)
    log.dialled_refused("n2", "10.0.0.2:7946", EXPIRED, 0.0)
    assert "10.0.0.8" in caplog.messages[-2]
    assert "n2 at 10.0.0.2:7946" in caplog.messages[-1]


def test_a_member_that_is_away_for_an_hour_is_a_line_each_half_minute(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog()
    for tick in range(4 * 3600):
        log.dialled_refused("n2", "10.0.0.2:7946", Refusal(ErrorCode.PEERS_UNREACHABLE, "no answer"), tick / 4)
        log.tell_withheld(tick / 4)
    assert 100 < len(caplog.messages) < 130
    told = sum(int(number) for line in caplog.messages for number in re.findall(r"(\d+) more", line))
    assert told + len(caplog.messages) > 4 * 3600 - 130


def test_a_member_that_comes_and_goes_all_the_time_is_counted_as_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = ConnectionLog()
    for number in range(500):
        log.opened("node-2", "node-2", number / 1000)
        log.ended("node-2", number / 1000)
    log.opened("node-3", "node-1", 0.5)
    assert len(caplog.messages) == BURST + 1
    assert caplog.messages[0] == "Connected with node-2, which node-2 dialled"
    assert caplog.messages[-1] == "Connected with node-3, which node-1 dialled"
    log.tell_withheld(1.0 + TELL_EVERY_S)
    assert caplog.messages[-1] == f"{1000 - BURST} more connections with node-2"
