"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.lab.lab import Lab, why_not

hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

WHY_NO_ENGINES = why_not()


PROGRAMS = Path(__file__).parent / "e2e"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that run the program itself, which tools/test runs beside the others."""
    if PROGRAMS in item.path.parents:
        item.add_marker("program")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs real engines where none can run, or fail it if REQUIRE_ENGINES=1 says that they must.

    Here and not in the fixture, so that all of them are reported on one line.
    """
    if WHY_NO_ENGINES is None or item.get_closest_marker("engine") is None:
        return
    if os.environ.get("REQUIRE_ENGINES") == "1":
        pytest.fail(f"REQUIRE_ENGINES=1, but {WHY_NO_ENGINES}", pytrace=False)
    pytest.skip(WHY_NO_ENGINES)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Real Docker Engines, one lab for the whole run: a Swarm of three, and one engine outside any swarm.

    Tests that ask for it are marked `engine`.
    """
    with Lab() as started:
        yield started
