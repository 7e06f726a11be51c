"""How a controller's member of the replicated store begins, and when it refuses to."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from reconciler import settings
from reconciler.controller.config import GroupConfig
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address
from reconciler.running import FOUNDED_MARK, _open_in_group, config_of, run_controller
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


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{name: a, url: 'ftp://h/x'}", "The repository's address can't be used."),
        ("{name: a, url: 'ssh://git@h/x'}", "A source over ssh needs a known_hosts file."),
        ("{name: a, url: /u, ref: {commit: abc}}", "The source can't be followed."),
        ("{name: a, url: /u, ref: {semver: '>=1 <'}}", "The range of versions makes no sense."),
        ("{name: a, url: /u, path: ../x}", "The source can't be followed."),
    ],
)
async def test_what_no_remote_and_no_chat_could_serve_is_told_with_its_place_before_anything_begins(
    tmp_path: Path, source: str, told: str
) -> None:
    (tmp_path / "chat").write_text("nothing://s3cret\n")
    file, data = tmp_path / "controller.yaml", tmp_path / "data"
    sinks = f"{{sinks: [{{name: chat, urlFile: {tmp_path}/chat}}]}}"
    spec = f"spec:\n  dataDir: {data}\n  sources:\n    - {source}\n  alerts: {sinks}\n"
    file.write_text(f"apiVersion: swarmctl/v1\nkind: Controller\n{spec}")
    with pytest.raises(SwarmctlError) as refused:
        await run_controller(config_of(str(file)), settings.read({"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}))
    found = [(one.what, str(one.place)) for one in refused.value.problems]
    assert found == [(told, f"{file}:6:7"), ("The address of alert sink chat makes no sense.", f"{file}:7:20")]
    assert "s3cret" not in str(refused.value.problems)
    assert not (data / "store").exists()
