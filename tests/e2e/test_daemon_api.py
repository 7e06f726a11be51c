"""The daemon's API at its worst: what no client should send, and what a real engine says to it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.conformance.__main__ import a_daemon_on, compared
from tests.fuzz.api import fuzz_a_daemon
from tests.lab.lab import Lab

REQUESTS = 500


def test_no_request_makes_the_daemon_fail_or_hang() -> None:
    with tempfile.TemporaryDirectory(prefix="fz-") as folder:
        found = fuzz_a_daemon(Path(folder), REQUESTS, seed=7)
    assert found.wrong == []
    assert found.endings["200"], "some of them were good"


@pytest.mark.engine
def test_a_refusal_is_that_of_an_engine(lab: Lab) -> None:
    engine = lab.outsider
    with tempfile.TemporaryDirectory(prefix="bad-") as folder, a_daemon_on(engine, Path(folder)) as daemon:
        differences, count = compared(engine.host, daemon.host)
    assert count > 400
    assert differences == []
