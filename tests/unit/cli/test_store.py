"""store: going on alone, and out of a backup, with the program's own parts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.running import _open_member, config_of, member_settings
from tests.contract.store_subject import put
from tests.fakes.identities import Authority
from tests.fakes.member_network import MemberNetwork

CONFIG = """
apiVersion: swarmctl/v1
kind: Controller
spec:
  name: lone
  dataDir: {folder}
  sources:
    - {{name: infra, url: "file://{folder}/infra"}}
"""


def configured(folder: Path, group: str = "") -> Path:
    folder.mkdir(mode=0o700)
    path = folder / "controller.yaml"
    path.write_text(CONFIG.format(folder=folder) + group)
    return path


async def working(node: RaftNode) -> asyncio.Task[None]:
    run = asyncio.create_task(node.run())
    async with asyncio.timeout(60):
        while not node.standing.leader:  # noqa: ASYNC110 - of another member
            await asyncio.sleep(0.01)
    return run


async def stopped(run: asyncio.Task[None]) -> None:
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


def swarmctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconciler.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_a_backup_is_verified_and_restored(tmp_path: Path) -> None:
    before, after = configured(tmp_path / "before"), configured(tmp_path / "after")
    node, _ = await _open_member(config_of(str(before)))
    run = await working(node)
    await node.propose([put("kept", b"1")])
    await node.back_up(str(tmp_path / "backup"))
    await stopped(run)
    assert (await asyncio.to_thread(swarmctl, "store", "verify", str(tmp_path / "backup"))).returncode == 0
    assert (
        await asyncio.to_thread(swarmctl, "store", "restore", str(tmp_path / "backup"), "-c", str(after))
    ).returncode == 0
    again, _ = await _open_member(config_of(str(after)))
    run = await working(again)
    await again.read_barrier()
    assert again.tables.records["test/kept"].value == b"1"
    await stopped(run)
    damaged = bytearray((tmp_path / "backup").read_bytes())
    damaged[-40] ^= 1
    (tmp_path / "backup").write_bytes(damaged)
    refused = await asyncio.to_thread(swarmctl, "store", "verify", str(tmp_path / "backup"))
    assert refused.returncode == 1
    assert "raft-snapshot-corrupt" in refused.stderr
    assert (await asyncio.to_thread(swarmctl, "store", "verify", str(tmp_path / "nothing"))).returncode == 1


async def test_a_survivor_goes_on_alone(tmp_path: Path) -> None:
    peers = Authority().folder(tmp_path / "peers", "a")
    group = f"  group: {{peers: {peers}, members: {{a: '127.0.0.1:1', b: '127.0.0.1:2', c: '127.0.0.1:3'}}}}\n"
    config = config_of(str(configured(tmp_path / "a", group)))
    node, _ = await _open_member(config)
    run = asyncio.create_task(node.run())
    await asyncio.sleep(0.1)
    await stopped(run)
    arguments = ("store", "force-new-group", "-c", str(tmp_path / "a" / "controller.yaml"))
    unasked = await asyncio.to_thread(swarmctl, *arguments)
    assert (unasked.returncode, "[not-confirmed]" in unasked.stderr) == (1, True)
    assert (await asyncio.to_thread(swarmctl, *arguments, "--yes")).returncode == 0
    alone = await open_node(member_settings(config), MemberNetwork().end("a"))
    run = await working(alone)
    assert [member.id for member in alone.members()] == ["a"]
    await stopped(run)
