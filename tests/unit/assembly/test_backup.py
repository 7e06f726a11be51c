"""Backups of a daemon's swarm: made while it is written to, refused when damaged, gone on with in another folder."""

from __future__ import annotations

import asyncio
import random
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reconciler.api.faults import Refused
from reconciler.api.ports import LocalState
from reconciler.assembly import backup
from reconciler.assembly.daemon import DaemonNode, DaemonSettings, start_daemon
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from tests.free_ports import free_port

SECRET = b"a value that nobody may find in a file"


@asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[DaemonNode]:
    node = await start_daemon(DaemonSettings(str(folder), "alpha", "unix:///nowhere"))
    try:
        yield node
    finally:
        await node.stop()


async def begun(node: DaemonNode, *, autolock: bool = False) -> str:
    """Begin a swarm with a secret in it; return its node's id."""
    request: JsonObject = {"ListenAddr": f"127.0.0.1:{free_port()}", "AdvertiseAddr": "127.0.0.1"}
    if autolock:
        request["Spec"] = {"EncryptionConfig": {"AutoLockManagers": True}}
    node_id = await node.init(request)
    await create(node, Kind.SECRET, "password", SECRET)
    return node_id


async def create(node: DaemonNode, kind: Kind, name: str, data: bytes) -> None:
    cluster = node.standing().cluster
    assert cluster is not None
    await cluster.create(kind, {"Name": name, "Data": b64encode(data).decode()})


async def names(node: DaemonNode, kind: Kind) -> set[str]:
    cluster = node.standing().cluster
    assert cluster is not None, node.standing().error
    return {one.name for one in await cluster.listed(kind)}


async def written(node: DaemonNode, path: Path) -> int:
    """Put a backup into a file; return its index."""
    async with node.backup() as found:
        content = bytearray()
        while piece := await found.read():
            content += piece
            await asyncio.sleep(0)
        assert len(content) == found.size
    await asyncio.to_thread(path.write_bytes, content)
    assert backup.verify(str(path)) == found.index
    return found.index


def refusal(call: object, *arguments: object) -> SwarmctlError:
    with pytest.raises(SwarmctlError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value


async def test_what_was_acknowledged_before_a_backup_is_in_it_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    async with daemon(tmp_path / "a") as node:
        node_id = await begun(node)
        acknowledged: set[str] = set()
        enough = asyncio.Event()

        async def write(writer: int) -> None:
            for number in range(10_000):
                await create(node, Kind.CONFIG, f"c-{writer}-{number}", bytes(2_000))
                acknowledged.add(f"c-{writer}-{number}")
                if len(acknowledged) >= 60:
                    enough.set()

        writers = [asyncio.create_task(write(number)) for number in range(4)]
        await enough.wait()
        before = set(acknowledged)
        await written(node, file)
        for one in writers:
            one.cancel()
        await asyncio.wait(writers)
        assert len(acknowledged) > len(before), "it went on meanwhile"
        tokens = node.standing().cluster.join_tokens
    assert list((tmp_path / "a").rglob("*.tmp")) == []
    assert backup.restore(str(tmp_path / "b"), str(file)) == backup.verify(str(file))
    async with daemon(tmp_path / "b") as node:
        assert node.standing().state is LocalState.ACTIVE, node.standing().error
        assert node.standing().node_id == node_id
        assert before <= await names(node, Kind.CONFIG)
        assert await names(node, Kind.SECRET) == {"password"}
        assert node.standing().cluster.join_tokens == tokens
        await create(node, Kind.CONFIG, "after", b"it goes on")
    async with daemon(tmp_path / "b") as node:
        assert "after" in await names(node, Kind.CONFIG), "and again after a restart"


async def test_what_locks_its_managers_tells_nobody_anything_and_comes_back_locked(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    async with daemon(tmp_path / "a") as node:
        await begun(node, autolock=True)
        key = await node.unlock_key()
        await written(node, file)
    content = file.read_bytes()
    assert SECRET not in content
    assert b64encode(SECRET) not in content
    assert key.encode() not in content
    backup.restore(str(tmp_path / "b"), str(file))
    async with daemon(tmp_path / "b") as node:
        assert node.standing().state is LocalState.LOCKED
        with pytest.raises(Refused) as caught:
            async with node.backup():
                pass
        assert caught.value.status == 503
        await node.unlock(key)
        assert await names(node, Kind.SECRET) == {"password"}


async def test_a_damaged_backup_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    file, damaged, target = tmp_path / "backup", tmp_path / "damaged", tmp_path / "b"
    async with daemon(tmp_path / "a") as node:
        await begun(node)
        await written(node, file)
    whole, chance = file.read_bytes(), random.Random(7)
    places = [*range(0, 60), *(chance.randrange(len(whole)) for _ in range(60)), *range(len(whole) - 40, len(whole))]
    broken = [whole[:cut] for cut in (0, 10, 100, len(whole) - 1)] + [whole + b"x"]
    for place in places:
        broken.append(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
    for content in broken:
        damaged.write_bytes(content)
        error = refusal(backup.restore, str(target), str(damaged))
        assert error.code in (ErrorCode.RAFT_SNAPSHOT_CORRUPT, ErrorCode.RAFT_TOO_NEW)
        assert str(damaged) in str(error)
    assert not target.exists()
    assert refusal(backup.verify, str(damaged)).code is ErrorCode.RAFT_SNAPSHOT_CORRUPT


async def test_a_folder_in_use_or_with_a_swarm_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    async with daemon(tmp_path / "a") as node:
        await begun(node)
        await written(node, file)
        assert refusal(backup.restore, str(tmp_path / "a"), str(file)).code is ErrorCode.EMBEDDED_ALREADY_RUNNING
        await create(node, Kind.CONFIG, "later", b"x")
    assert refusal(backup.restore, str(tmp_path / "a"), str(file)).code is ErrorCode.RAFT_FOLDER_USED
    async with daemon(tmp_path / "a") as node:
        assert "later" in await names(node, Kind.CONFIG)
        await node.leave(force=True)
        with pytest.raises(Refused):
            async with node.backup():
                pass
    backup.restore(str(tmp_path / "a"), str(file))
    async with daemon(tmp_path / "a") as node:
        assert await names(node, Kind.SECRET) == {"password"}


async def test_what_does_not_fit_together_leaves_a_folder_without_a_swarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a disk that was full, or a crash: the next daemon begins outside a swarm, and the next try succeeds."""
    file = tmp_path / "backup"
    async with daemon(tmp_path / "a") as node:
        await begun(node)
        await written(node, file)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("reconciler.assembly.backup.put_back", full)
        assert refusal(backup.restore, str(tmp_path / "b"), str(file)).code is ErrorCode.RAFT_DISK_FULL
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["swarm.lock"]
    async with daemon(tmp_path / "b") as node:
        assert node.standing().state is LocalState.INACTIVE
    backup.restore(str(tmp_path / "b"), str(file))
    shutil.rmtree(tmp_path / "a")
    async with daemon(tmp_path / "b") as node:
        assert await names(node, Kind.SECRET) == {"password"}


async def test_a_backup_that_has_begun_is_whole_although_the_node_leaves_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    async with daemon(tmp_path / "a") as node:
        await begun(node)
        async with node.backup() as found:
            content = bytearray(await found.read())
            await node.leave(force=True)
            while piece := await found.read():
                content += piece
    await asyncio.to_thread(file.write_bytes, content)
    backup.restore(str(tmp_path / "b"), str(file))
    async with daemon(tmp_path / "b") as node:
        assert await names(node, Kind.SECRET) == {"password"}
