"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab.lab import Lab, why_not


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Real Docker Engines, one lab for the whole run: a Swarm of three, and one engine outside any swarm.

    Where none can run, tests that ask for it are skipped, or fail if REQUIRE_ENGINES=1 says that they must run.
    """
    reason = why_not()
    if reason and os.environ.get("REQUIRE_ENGINES") == "1":
        pytest.fail(f"REQUIRE_ENGINES=1, but {reason}")
    if reason:
        pytest.skip(reason)
    with Lab() as started:
        yield started
