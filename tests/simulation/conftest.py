"""One swarm of three nodes a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simulation.live import Live, live_swarm


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with live_swarm(tmp_path) as opened:
        yield opened
