"""A daemon's node: what it does in its folder while swarms begin and end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.api.ports import LocalState
from reconciler.assembly import daemon, node_state, runtimes
from reconciler.assembly.daemon import DaemonSettings, start_daemon
from reconciler.assembly.manager import Manager, ManagerSettings, open_manager
from reconciler.assembly.node_certificate import kept
from reconciler.assembly.node_state import NodeState
from reconciler.assembly.runtimes import RuntimeKind
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind
from tests.free_ports import free_port


class SlowWriting:
    """Stands before a call that writes to the folder, makes it slow, and counts those that are under way."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call, self.begun, self.underway = call, 0, 0

    def __call__(self, *arguments: Any) -> Any:
        self.begun, self.underway = self.begun + 1, self.underway + 1
        time.sleep(0.3)
        try:
            return self.call(*arguments)
        finally:
            self.underway -= 1


async def test_who_has_left_writes_no_more_to_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = SlowWriting(kept)
    monkeypatch.setattr("reconciler.assembly.certifying.kept", writing)
    node = await start_daemon(DaemonSettings(str(tmp_path), "alpha", "unix:///nowhere"))
    try:
        await node.init({"ListenAddr": f"127.0.0.1:{free_port()}", "AdvertiseAddr": "127.0.0.1"})
        async with asyncio.timeout(60):
            while writing.begun < 2:  # noqa: ASYNC110 - the look at the certificate that follows, in a thread
                await asyncio.sleep(0.01)
        await node.leave(force=True)
        assert writing.underway == 0
        assert not any(path.is_file() for path in (tmp_path / "certificates").rglob("*"))
    finally:
        await node.stop()


async def test_containers_never_become_processes_because_their_engine_is_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A swarm goes on with the runtime that it has, unless another is asked for."""
    monkeypatch.setattr(runtimes, "DEFAULT_ENGINE", f"unix://{tmp_path}/engine.sock")
    settings = DaemonSettings(str(tmp_path), "alpha", "unix:///nowhere", runtime=RuntimeKind.AUTO)
    node_state.save(tmp_path, NodeState("cluster", "node", "127.0.0.1", 2377, runtime="docker"))
    with pytest.raises(SwarmctlError, match="No Docker Engine answers"):
        await start_daemon(settings)
    await (await start_daemon(replace(settings, runtime=RuntimeKind.PROCESS))).stop()
    known = node_state.load(tmp_path)
    assert known is not None
    assert known.runtime == "process"
    await (await start_daemon(settings)).stop()


async def test_what_pings_like_an_engine_and_tells_nothing_is_none(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n[1]")
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "engine.sock")
    async with server:
        host = f"unix://{tmp_path}/engine.sock"
        with pytest.raises(SwarmctlError, match="No Docker Engine answers"):
            await runtimes.choose(RuntimeKind.DOCKER, host, "alpha")


async def test_a_manager_that_can_not_write_yet_begins_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DaemonSettings(str(tmp_path), "alpha", "unix:///nowhere")
    first = await start_daemon(settings)
    await first.init({"ListenAddr": f"127.0.0.1:{free_port()}", "AdvertiseAddr": "127.0.0.1"})
    await first.stop()
    room = asyncio.Event()

    async def opened(wanted: ManagerSettings) -> Manager:
        if not room.is_set():
            raise SwarmctlError(ErrorCode.RAFT_NO_LEADER, "It found no leader within 10 s.")
        return await open_manager(wanted)

    monkeypatch.setattr(daemon, "open_manager", opened)
    monkeypatch.setattr(daemon, "AGAIN_S", 0.01)
    node = await start_daemon(settings)
    try:
        assert (node.standing().state, node.standing().error) == (LocalState.ERROR, daemon.WAITS)
        room.set()
        async with asyncio.timeout(60):
            while node.standing().state is not LocalState.ACTIVE:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        assert node.standing().error == ""
    finally:
        await node.stop()


async def test_a_manager_that_can_not_write_can_be_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened(_: ManagerSettings) -> Manager:
        raise SwarmctlError(ErrorCode.RAFT_NO_LEADER, "It found no leader within 10 s.")

    monkeypatch.setattr(daemon, "open_manager", opened)
    node_state.save(tmp_path, NodeState("cluster", "node", "127.0.0.1", 2377))
    node = await start_daemon(DaemonSettings(str(tmp_path), "alpha", "unix:///nowhere"))
    await node.leave(force=True)
    assert node.standing().state is LocalState.INACTIVE
    await node.stop()


async def test_events_are_told_once_and_what_was_before_a_restart_is_known(tmp_path: Path) -> None:
    settings = DaemonSettings(str(tmp_path), "alpha", "unix:///nowhere")
    spec = {"Name": "web", "Mode": {"Replicated": {"Replicas": 0}}, "TaskTemplate": {"ContainerSpec": {"Image": "a:1"}}}
    first = await start_daemon(settings)
    await first.init({"ListenAddr": f"127.0.0.1:{free_port()}", "AdvertiseAddr": "127.0.0.1"})
    cluster: Any = first.standing().cluster
    await cluster.create(Kind.SERVICE, spec)
    await first.stop()
    node = await start_daemon(settings)
    try:
        cluster = node.standing().cluster
        web = await cluster.get(Kind.SERVICE, "web")
        spec["TaskTemplate"] = {"ContainerSpec": {"Image": "a:2"}}
        await cluster.update(Kind.SERVICE, web.id, web.version, spec)
        async with asyncio.timeout(60):
            while not cluster.recent_events():  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        (told,) = cluster.recent_events()
        assert (told.kind, told.action) == ("service", "update")
        assert dict(told.attributes) == {"name": "web", "image.new": "a:2", "image.old": "a:1"}
    finally:
        await node.stop()
