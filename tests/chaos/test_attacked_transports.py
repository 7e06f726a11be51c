"""The connections between members, while somebody floods one of them or answers in the place of another."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path

import pytest

from reconciler.adapters.raft.transport import TlsTransport
from reconciler.adapters.raft.transport.framing import HEADER
from reconciler.adapters.raft.transport.tls import PROTOCOL
from reconciler.model.replication import Address
from tests.chaos import attackers
from tests.chaos.attacked_group import QUICK
from tests.fakes.identities import HOST, Authority

PATIENCE_S = 30.0


async def test_members_find_each_other_while_somebody_floods_them(tmp_path: Path) -> None:
    authority = Authority()
    one, other = (TlsTransport(authority.identity(tmp_path / name, name), QUICK) for name in ("a", "b"))
    address = await one.bind()
    one.follow({"b": Address(HOST, 1)})  # only b dials: it has to come in through the flooded door
    enough, flooded = threading.Event(), [0]

    def flood() -> None:
        while not enough.is_set():
            with contextlib.ExitStack() as stack:
                for _ in range(50):
                    stack.enter_context(contextlib.closing(attackers.connected((address.host, address.port))))
                    flooded[0] += 1

    floods = [threading.Thread(target=flood) for _ in range(2)]
    runs = [asyncio.create_task(transport.run(lambda sender, frame: None)) for transport in (one, other)]
    try:
        for thread in floods:
            thread.start()
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(5):
                other.follow({"a": address})
                while not other.connected("a"):  # noqa: ASYNC110 - nothing tells it
                    await asyncio.sleep(0.01)
                other.follow({})
                while other.connected("a") or one.connected("b"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert flooded[0] >= 100
    finally:
        enough.set()
        for thread in floods:
            await asyncio.to_thread(thread.join)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)


async def test_a_member_that_answers_nonsense_is_refused_and_dialled_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Deeper than anybody decodes, and no UTF-8: what comes first on a connection decides whether it is used."""
    authority, asked = Authority(), [0]
    one = TlsTransport(authority.identity(tmp_path / "a", "a"), QUICK)
    authority.folder(tmp_path / "b", "b")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "b" / "node.pem")
    context.set_alpn_protocols([PROTOCOL])
    nonsense = [b"\x93\xa0\xa0" + b"\x91" * 1019 + b"\x01", b"\x92\xa2\xff\xfe\xa0"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = nonsense[asked[0] % len(nonsense)]
        asked[0] += 1
        writer.write(HEADER.pack(len(greeting)) + greeting)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0, ssl=context) as server:
        one.follow({"b": Address(HOST, server.sockets[0].getsockname()[1])})
        run = asyncio.create_task(one.run(lambda sender, frame: None))
        try:
            async with asyncio.timeout(PATIENCE_S):
                while asked[0] < 4:  # noqa: ASYNC110 - nothing tells it
                    await asyncio.sleep(0.01)
            assert not one.connected("b")
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
    assert "its greeting makes no sense" in caplog.text
    assert "Traceback" not in caplog.text
