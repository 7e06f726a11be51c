"""What commands get of a running controller, over a real socket."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reconciler.adapters import controller_client
from reconciler.adapters.controller_client import ControllerClient
from reconciler.controller_api import Access, ListenSettings, serve
from reconciler.gitops.results import HistoryEntry
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.certificate import self_signed
from tests.fakes.controller import FakeController
from tests.free_ports import free_port
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


async def _why(address: str, ca_file: str = "") -> str:
    with pytest.raises(SwarmctlError) as raised:
        async with ControllerClient(address, ca_file=ca_file) as client:
            await client.get("/v1/history", {})
    assert raised.value.code is ErrorCode.CONTROLLER_UNREACHABLE
    return raised.value.problems[0].why


async def test_why_nobody_answers_is_told_in_the_systems_words(tmp_path: Path) -> None:
    assert await _why(f"https://127.0.0.1:{free_port()}") == "Connection refused."
    assert await _why(f"unix://{tmp_path}/none.sock") == "No such file or directory."
    certificate, key = self_signed(tmp_path)
    (tmp_path / "other").mkdir()
    listen = ListenSettings(host="127.0.0.1", port=0, certificate=str(certificate), key=str(key))
    async with serve(LongRunning(a_busy_state()), Access(), listen) as address:
        why = await _why(address, str(self_signed(tmp_path / "other")[0]))
    assert why.startswith("Its certificate can't be trusted: ")


async def test_a_controller_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_client, "REQUEST_WAIT_S", 0.2)
    server = await asyncio.start_unix_server(lambda _reader, _writer: asyncio.sleep(60), str(tmp_path / "s"))
    async with server:
        assert await _why(f"unix://{tmp_path}/s") == "It took more than 0.2 s."


async def test_a_socket_that_is_not_ours_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_unix_connection", refused)
    with pytest.raises(SwarmctlError) as raised:
        async with ControllerClient(f"unix://{tmp_path}/s") as client:
            await client.get("/v1/history", {})
    problem = raised.value.problems[0]
    assert (problem.why, "and to root" in problem.hint) == ("Permission denied.", True)
