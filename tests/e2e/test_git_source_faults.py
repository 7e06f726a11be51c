"""Faults of sources: what is in force stays readable, and the code says why nothing newer is."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys

import pytest

from reconciler.adapters.git.source import GitSource
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import (
    Access,
    Rewrites,
    SourceLimits,
    SourceRevision,
    SourceSpec,
)
from tests.e2e.git_source import command_lines, content, fault, good, source, spec_of
from tests.lab.git_servers import http_server, run, silent_server


async def test_a_force_push_is_followed_and_told(tmp_path, repository):
    following = source(tmp_path, repository.bare)
    await good(following)
    second = await good(following, None)
    old = repository.commit("second")
    second = await good(following, second)
    assert second.commit == old
    repository.git("reset", "-q", "--hard", "HEAD~1")
    new = repository.commit("rewritten")
    found = await good(following, second)
    assert (found.commit, found.rewritten) == (new, True)
    assert content(following, old, "swarm.yaml") == b"first\n"


async def test_another_controller_brings_what_is_in_force_into_its_own_clone(tmp_path, repository):
    first = await good(source(tmp_path, repository.bare))
    repository.git("commit", "-q", "--amend", "-m", "other")
    repository.push()
    another = GitSource.open(str(tmp_path / "another"), spec_of(str(repository.bare)))
    await good(another)
    with pytest.raises(SwarmctlError) as caught:
        another.revision(first.commit)
    assert caught.value.code is ErrorCode.SOURCE_DAMAGED
    assert await another.bring(first.commit) is None
    assert content(another, first.commit, "swarm.yaml") == b"first\n"
    unknown = await another.bring("1" * 40)
    assert unknown is not None
    assert unknown.code is ErrorCode.REVISION_NOT_FOUND


async def test_a_rebase_is_held_where_the_source_says_so(tmp_path, repository):
    following = source(tmp_path, repository.bare, rewrites=Rewrites.HOLD)
    first = await good(following)
    repository.git("commit", "-q", "--amend", "-m", "other")
    repository.push()
    held = await fault(following, first)
    assert held.code is ErrorCode.HISTORY_REWRITTEN
    assert held.commit == repository.git("rev-parse", "HEAD")
    accepted = await following.look(first, accept_rewrite=True)
    assert isinstance(accepted, SourceRevision)
    assert accepted.commit == held.commit
    repository.git("reset", "-q", "--hard", first.commit)
    repository.commit("on top")
    assert not (await good(following, first)).rewritten


async def test_a_deleted_branch_and_an_emptied_repository_are_no_wish_to_delete(tmp_path, repository):
    following = source(tmp_path, repository.bare)
    first = await good(following)
    run(repository.bare, "symbolic-ref", "HEAD", "refs/heads/other")
    repository.push("HEAD:keep")
    run(repository.bare, "update-ref", "-d", "refs/heads/main")
    gone = await fault(following, first)
    assert gone.code is ErrorCode.REVISION_NOT_FOUND
    run(repository.bare, "update-ref", "-d", "refs/heads/keep")
    assert (await fault(following, first)).code is ErrorCode.SOURCE_EMPTY
    assert content(following, first.commit, "swarm.yaml") == b"first\n"
    repository.push()
    assert (await good(following, first)).commit == first.commit


async def test_a_path_that_is_gone_a_file_or_a_symlink_is_refused(tmp_path, repository):
    following = source(tmp_path, repository.bare, path="stacks")
    first = await good(following)
    (repository.work / "stacks" / "web.yaml").unlink()
    (repository.work / "stacks").rmdir()
    repository.commit("gone")
    assert (await fault(following, first)).code is ErrorCode.PATH_NOT_FOUND
    (repository.work / "stacks").symlink_to("/etc")
    repository.commit("link")
    linked = await fault(following, first)
    assert (linked.code, "symlink" in linked.why) == (ErrorCode.PATH_NOT_FOUND, True)
    assert linked.commit == repository.git("rev-parse", "HEAD")


async def test_a_vanished_remote(tmp_path, repository):
    following = source(tmp_path, repository.bare)
    first = await good(following)
    repository.bare.rename(tmp_path / "away")
    gone = await fault(following, first)
    assert (gone.code, gone.passing) == (ErrorCode.SOURCE_UNREACHABLE, True)
    assert content(following, first.commit, "swarm.yaml") == b"first\n"
    (tmp_path / "away").rename(repository.bare)
    assert (await good(following, first)) == first


@pytest.mark.parametrize("scheme", ["http", "git", "ssh"])
async def test_a_remote_that_never_answers(tmp_path, scheme):
    with silent_server() as port:
        known = tmp_path / "known_hosts"
        known.touch()
        access = Access(known_hosts=str(known)) if scheme == "ssh" else Access()
        url = f"{scheme}://127.0.0.1:{port}/x.git"
        following = source(tmp_path, url, access=access, limits=SourceLimits(fetch_s=0.5))
        hung = await fault(following)
    assert (hung.code, hung.passing) == (ErrorCode.SOURCE_TIMED_OUT, True)


async def test_a_refused_connection_and_an_unknown_repository(tmp_path, repository):
    with silent_server() as port:
        pass
    closed = await fault(source(tmp_path, f"http://127.0.0.1:{port}/x.git"))
    assert closed.code is ErrorCode.SOURCE_UNREACHABLE
    with http_server(repository.bare.parent) as server:
        unknown = await fault(source(tmp_path, f"{server.url}/nothing.git"))
        assert unknown.code is ErrorCode.SOURCE_UNREACHABLE


async def test_a_shallow_remote_serves_what_it_has(tmp_path, repository):
    repository.commit("second", swarm_DOT_yaml="second\n")
    shallow = tmp_path / "shallow.git"
    run(tmp_path, "clone", "-q", "--bare", "--depth=1", f"file://{repository.bare}", str(shallow))
    following = source(tmp_path, shallow)
    assert content(following, (await good(following)).commit, "swarm.yaml") == b"second\n"


@pytest.mark.parametrize("harm", ["objects", "truncated", "head", "config", "nothing left"])
async def test_a_damaged_clone_is_made_anew(tmp_path, repository, harm):
    following = source(tmp_path, repository.bare)
    first = await good(following)
    mirror = following.mirror.repository
    match harm:
        case "objects":
            for path in (mirror / "objects" / "pack").iterdir():
                path.unlink()
        case "truncated":
            for path in (mirror / "objects" / "pack").glob("*.pack"):
                path.chmod(0o600)
                path.write_bytes(path.read_bytes()[:40])
        case "head":
            (mirror / "HEAD").write_bytes(b"\0")
        case "config":
            (mirror / "config").write_text("[core\nnonsense")
        case _:
            shutil.rmtree(mirror)
    again = source(tmp_path, repository.bare)
    assert (await good(again, first)).commit == first.commit
    assert content(again, first.commit, "swarm.yaml") == b"first\n"


async def test_a_damaged_file_is_no_missing_file_and_is_mended_by_the_next_look(tmp_path, repository):
    # Its compressed bytes are turned, which nothing but reading it finds out.
    noise = os.urandom(20_000)
    repository.commit("noise", stacks__web_DOT_yaml=noise)
    following = source(tmp_path, repository.bare)
    found = await good(following)
    (pack,) = (following.mirror.repository / "objects" / "pack").glob("*.pack")
    held = pack.read_bytes()
    position = held.index(noise[8000:8016])
    pack.chmod(0o600)
    pack.write_bytes(held[:position] + bytes(16) + held[position + 16 :])
    revision = following.revision(found.commit)
    with pytest.raises(SwarmctlError) as caught:
        revision.read("stacks/web.yaml")
    assert caught.value.code is ErrorCode.SOURCE_DAMAGED
    revision.close()
    again = await good(following, found)
    assert content(following, again.commit, "stacks/web.yaml") == noise


async def test_lock_files_of_a_killed_git_stop_nothing(tmp_path, repository):
    following = source(tmp_path, repository.bare)
    first = await good(following)
    mirror = following.mirror.repository
    for name in ("shallow.lock", "packed-refs.lock", "config.lock", "refs/swarmctl/incoming.lock", "HEAD.lock"):
        (mirror / name).touch()
    (mirror / "objects" / "pack" / "tmp_pack_x").write_bytes(b"half")
    second = repository.commit("second")
    assert (await good(source(tmp_path, repository.bare), first)).commit == second
    assert not (mirror / "objects" / "pack" / "tmp_pack_x").exists()


def as_root(*words: str) -> None:
    subprocess.run(words, check=True)


async def test_a_full_disk(tmp_path, repository):
    if os.geteuid() != 0:
        pytest.skip("a small file system takes root")
    small = tmp_path / "data"
    small.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small))
    try:
        following = source(tmp_path, repository.bare)
        first = await good(following)
        repository.commit("large", large=os.urandom(600_000))
        full = await fault(following, first)
        assert (full.code, full.passing) == (ErrorCode.SOURCE_DISK_FULL, True)
        assert content(following, first.commit, "swarm.yaml") == b"first\n"
    finally:
        as_root("umount", str(small))


async def test_git_of_a_killed_controller_ends_by_itself_and_holds_the_clone_until_then(tmp_path):
    with silent_server() as port:
        url = f"git://127.0.0.1:{port}/x.git"
        script = (
            "import asyncio, sys\n"
            "from reconciler.adapters.git.source import GitSource\n"
            "from reconciler.model.sources import SourceLimits, SourceSpec\n"
            "spec = SourceSpec('infra', sys.argv[2], limits=SourceLimits(fetch_s=3))\n"
            "asyncio.run(GitSource.open(sys.argv[1], spec).look(None))\n"
        )
        line = [sys.executable, "-c", script, str(tmp_path / "data"), url]
        controller = await asyncio.create_subprocess_exec(*line)
        while not any(b"ls-remote" in one and url.encode() in one for one in command_lines()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        controller.kill()
        await controller.wait()
        following = GitSource.open(str(tmp_path / "data"), SourceSpec("infra", url))
        async with following.mirror.locked():
            assert not any(url.encode() in one for one in command_lines())


async def test_a_second_process_waits_for_its_turn_and_says_so(tmp_path, repository, monkeypatch):
    monkeypatch.setattr("reconciler.adapters.git.mirror.LOCK_WAIT_S", 0.1)
    one, two = source(tmp_path, repository.bare), source(tmp_path, repository.bare)
    async with one.mirror.locked():
        assert (await fault(two)).code is ErrorCode.SOURCE_BUSY
    await good(two)


async def test_git_that_is_not_installed_is_told_as_that(tmp_path, repository):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "timeout"):
        (tools / name).symlink_to(str(shutil.which(name)))
    following = GitSource.open(str(tmp_path / "data"), spec_of(str(repository.bare)), search_path=str(tools))
    missing = await fault(following)
    assert missing.code is ErrorCode.GIT_FAILED
    assert "installed" in missing.hint
