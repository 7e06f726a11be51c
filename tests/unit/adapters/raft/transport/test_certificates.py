"""Both sides of a connection that does not come to be say why; new certificates count without a restart."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.adapters.peers.certificates import NODE_DAYS
from reconciler.adapters.peers.identity import Identity
from reconciler.adapters.peers.names import NODE_FILE
from reconciler.adapters.raft.transport import TlsTransport, TransportSettings
from reconciler.adapters.raft.transport.tls import WARN_BEFORE, Contexts
from reconciler.model.replication import Address
from tests.fakes.identities import HOST, Authority

AUTHORITY, OTHER = Authority(), Authority()
PATIENCE_S = 20.0
QUICK = TransportSettings(reload_s=0.1)


@pytest.fixture
async def ends() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def started(ends: AsyncExitStack, identity: Identity) -> tuple[TlsTransport, Address]:
    transport = TlsTransport(identity, QUICK)
    address = await transport.bind()
    task = asyncio.create_task(transport.run(lambda sender, frame: None))

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    ends.push_async_callback(end)
    return transport, address


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - of two transports and a log
            await asyncio.sleep(0.01)


def lines(caplog: pytest.LogCaptureFixture, start: str) -> set[str]:
    """The codes of refusals in lines that begin so."""
    return {
        found.group(1)
        for line in caplog.messages
        if line.startswith(start) and (found := re.search(r"\[(.*?)\]", line))
    }


BAD_DIALLER = {
    "expired": ({"certificate": AUTHORITY.certificate("b", from_days=-9, days=5)}, "peers-expired", "peers-expired"),
    "early": ({"certificate": AUTHORITY.certificate("b", from_days=2)}, "peers-not-yet-valid", "peers-wrong-ca"),
    "other authority": ({"certificate": OTHER.certificate("b")}, "peers-wrong-ca", "peers-wrong-ca"),
    "no member": ({"certificate": AUTHORITY.certificate("z")}, "peers-not-a-member", "peers-not-a-member"),
    "our name": ({"certificate": AUTHORITY.certificate("a")}, "peers-wrong-name", "peers-wrong-name"),
}


@pytest.mark.parametrize("case", BAD_DIALLER)
async def test_a_dialler_is_refused_and_knows_why(
    case: str, tmp_path: Path, ends: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    bad, here, there = BAD_DIALLER[case]
    a, address = await started(ends, AUTHORITY.identity(tmp_path / "a", "a"))
    a.follow({"b": Address(HOST, 1)})
    b, _ = await started(ends, AUTHORITY.unchecked(tmp_path / "b", "b", **bad))
    b.follow({"a": address})
    await until(lambda: lines(caplog, "Connection from") and lines(caplog, "Connection to a"))
    assert lines(caplog, "Connection from") == {here}
    assert lines(caplog, "Connection to a") == {there}
    assert "a refused us" in caplog.text
    assert {code.value for code in b.refused_by().values()} == {there}
    assert not a.connected("b")
    assert not b.connected("a")


BAD_LISTENER = {
    "expired": ({"certificate": AUTHORITY.certificate("a", from_days=-9, days=5)}, "peers-expired"),
    "early": ({"certificate": AUTHORITY.certificate("a", from_days=2)}, "peers-not-yet-valid"),
    "other authority": ({"certificate": OTHER.certificate("a")}, "peers-wrong-ca"),
    "another member": ({"certificate": AUTHORITY.certificate("c")}, "peers-wrong-name"),
    "another cluster": ({"certificate": Authority("c2").certificate("a")}, "peers-wrong-ca"),
}


@pytest.mark.parametrize("case", BAD_LISTENER)
async def test_a_listener_is_refused_by_who_dials(
    case: str, tmp_path: Path, ends: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    bad, code = BAD_LISTENER[case]
    a, address = await started(ends, AUTHORITY.unchecked(tmp_path / "a", "a", **bad))
    a.follow({"b": Address(HOST, 1)})
    b, _ = await started(ends, AUTHORITY.identity(tmp_path / "b", "b"))
    b.follow({"a": address})
    await until(lambda: lines(caplog, "Connection to a"))
    assert lines(caplog, "Connection to a") == {code}
    assert not b.connected("a")


async def test_a_renewed_certificate_counts_without_a_restart(
    tmp_path: Path, ends: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    a, address = await started(ends, AUTHORITY.identity(tmp_path / "a", "a"))
    a.follow({"b": Address(HOST, 1)})
    expired = AUTHORITY.certificate("b", from_days=-9, days=5)
    b, _ = await started(ends, AUTHORITY.unchecked(tmp_path / "b", "b", certificate=expired))
    b.follow({"a": address})
    await until(b.refused_by)
    (tmp_path / "b" / NODE_FILE).write_text("in the middle of being copied")
    await until(lambda: "not taken over [peers-unreadable]" in caplog.text)
    AUTHORITY.folder(tmp_path / "b", "b")
    await until(lambda: b.connected("a"))
    assert b.refused_by() == {}


async def test_a_name_and_the_certificate_of_another_node_are_not_taken_over(
    tmp_path: Path, ends: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    await started(ends, AUTHORITY.identity(tmp_path / "a", "a"))
    AUTHORITY.folder(tmp_path / "a", "a", certificate=AUTHORITY.certificate("b"))
    await until(lambda: "not taken over [peers-wrong-name]" in caplog.text)


def test_a_new_certificate_that_was_open_to_others_counts_once_it_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contexts = Contexts(AUTHORITY.identity(tmp_path / "a", "a"))
    file = tmp_path / "a" / NODE_FILE
    AUTHORITY.identity(tmp_path / "new", "a")
    file.write_bytes((tmp_path / "new" / NODE_FILE).read_bytes())
    file.chmod(0o644)
    assert [contexts.reload() for _ in range(3)] == [False] * 3
    assert sum("peers-exposed" in line for line in caplog.messages) == 1
    file.chmod(0o600)
    assert [contexts.reload(), contexts.reload()] == [True, False]


def test_the_end_of_a_certificate_is_told_once_a_day_for_a_month(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contexts = Contexts(AUTHORITY.identity(tmp_path / "a", "a"))
    for hour in range(0, NODE_DAYS * 24, 6):
        contexts.warn_of_end(AUTHORITY.now + timedelta(hours=hour))
    assert len(caplog.messages) == WARN_BEFORE.days
    assert "peers renew" in caplog.messages[0]
