"""What commands get of a running controller, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reconciler.adapters import controller_client
from reconciler.adapters.controller_client import ControllerClient
from reconciler.controller_api import Access, ListenSettings, serve
from reconciler.gitops.results import HistoryEntry
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.controller import FakeController
from tests.unit.controller_api.conftest import a_busy_state
from tests.unit.gitops.story import START

APPLIES = 20_000


class LongRunning(FakeController):
    """A controller that has applied much: its answer takes many reads."""

    async def history(self, scope: str | None, limit: int) -> Sequence[HistoryEntry]:
        return [HistoryEntry(START, "c" * 40, "Ada", "web", ("web",), 1, {})] * APPLIES


@asynccontextmanager
async def asking(folder: Path) -> AsyncIterator[ControllerClient]:
    path = str(folder / "api.sock")
    listen = ListenSettings(unix_path=path)
    serving = serve(LongRunning(a_busy_state()), Access(local=True), listen)
    async with serving, ControllerClient(f"unix://{path}") as client:
        yield client


async def test_an_answer_that_comes_in_many_pieces_is_read_whole(tmp_path: Path) -> None:
    async with asking(tmp_path) as client:
        found = await client.get("/v1/history", {})
    assert len(found["applies"]) == APPLIES


async def test_an_answer_beyond_what_is_taken_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_client, "ANSWER_BYTES_MAX", 100_000)
    async with asking(tmp_path) as client:
        with pytest.raises(SwarmctlError) as raised:
            await client.get("/v1/history", {})
    assert raised.value.code is ErrorCode.CONTROLLER_UNREACHABLE
