"""What a daemon remembers of the containers that it could not remove."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from reconciler.assembly import left_behind
from reconciler.assembly.left_behind import LEFT_FILE, LeftBehind

ENGINE = "unix:///engine.sock"


class Removal:
    """Stands for the removal on an engine that is away until `back`."""

    def __init__(self) -> None:
        self.back = False
        self.removed: list[str] = []

    async def __call__(self, node_id: str, engine_host: str) -> bool:
        assert engine_host == ENGINE
        if self.back:
            self.removed.append(node_id)
        return self.back


@pytest.fixture
def removal(monkeypatch: pytest.MonkeyPatch) -> Removal:
    made = Removal()
    monkeypatch.setattr(left_behind, "end_containers", made)
    monkeypatch.setattr(left_behind, "AGAIN_S", 0.0)
    return made


async def test_what_can_not_be_removed_is_removed_later_also_by_a_successor(tmp_path: Path, removal: Removal) -> None:
    first = LeftBehind(tmp_path, ENGINE)
    await first.note("one")
    await first.end()
    await first.close()
    second = LeftBehind(tmp_path, ENGINE)
    await second.note("two")
    await second.end()
    removal.back = True
    async with asyncio.timeout(60):
        while (tmp_path / LEFT_FILE).exists():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    await second.close()
    assert removal.removed == ["one", "two"]


async def test_a_node_that_has_not_left_after_all_keeps_its_containers(tmp_path: Path, removal: Removal) -> None:
    left = LeftBehind(tmp_path, ENGINE)
    await left.note("one")
    removal.back = True
    await left.keep("one")
    await left.end()
    assert removal.removed == []
    assert not (tmp_path / LEFT_FILE).exists()


async def test_processes_leave_nothing_on_an_engine(tmp_path: Path, removal: Removal) -> None:
    left = LeftBehind(tmp_path, None)
    await left.note("one")
    await left.end()
    assert removal.removed == []
    assert not (tmp_path / LEFT_FILE).exists()


async def test_a_damaged_file_is_told_and_stops_nothing(
    tmp_path: Path, removal: Removal, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / LEFT_FILE).write_text("5")
    await LeftBehind(tmp_path, ENGINE).end()
    assert "can't be read" in caplog.text
