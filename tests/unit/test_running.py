"""How a controller's member of the replicated store begins, and when it refuses to."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from reconciler.controller.config import GroupConfig
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address
from reconciler.running import FOUNDED_MARK, _open_in_group
from tests.fakes.identities import Authority


async def open_and_close(group: GroupConfig, folder: Path) -> None:
    node, _ = await _open_in_group(group, str(folder))
    run = asyncio.create_task(node.run())
    await asyncio.sleep(0)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_a_member_that_lost_its_log_does_not_begin_anew_under_its_old_name(tmp_path: Path) -> None:
    peers = Authority().folder(tmp_path / "peers", "a")
    group = GroupConfig(peers=str(peers), members={"a": Address("127.0.0.1", 1), "b": Address("127.0.0.1", 2)})
    await open_and_close(group, tmp_path / "store")
    await open_and_close(group, tmp_path / "store")
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(SwarmctlError) as refused:
        await open_and_close(group, tmp_path / "store")
    assert refused.value.code is ErrorCode.RAFT_LOG_MISSING


async def test_a_member_that_can_not_note_that_it_has_begun_says_so_each_time(tmp_path: Path) -> None:
    """As below `ProtectSystem=strict`, or in a container that mounts its configuration read-only."""
    peers = Authority().folder(tmp_path / "peers", "a")
    (peers / FOUNDED_MARK).symlink_to(tmp_path / "no such folder" / "mark")
    group = GroupConfig(peers=str(peers), members={"a": Address("127.0.0.1", 1)})
    for _ in range(2):
        with pytest.raises(SwarmctlError, match="can't write to the folder") as refused:
            await open_and_close(group, tmp_path / "store")
        assert refused.value.code is ErrorCode.BAD_SETTING
    (peers / FOUNDED_MARK).unlink()
    await open_and_close(group, tmp_path / "store")
    assert (peers / FOUNDED_MARK).exists()
