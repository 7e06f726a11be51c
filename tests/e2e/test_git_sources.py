"""Sources on real repositories and real Git servers: what is followed, what is refused, and what faults leave alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.adapters.git.source import GitSource
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import (
    Access,
    Reference,
    ReferenceKind,
    Rewrites,
    SourceFault,
    SourceLimits,
    SourceRevision,
    SourceSpec,
)
from tests.lab.git_servers import Repository, git_daemon, http_server, run, silent_server, ssh_server, sshd_path

TOKEN = "hunter2-very-secret"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path)
    made.commit("first", swarm_DOT_yaml="first\n", stacks__web_DOT_yaml="services: {}\n")
    return made


def spec_of(url: str, kind: str = "branch", value: str = "main", **more) -> SourceSpec:
    return SourceSpec("infra", url, Reference(ReferenceKind(kind), value), **more)


def source(tmp_path: Path, url: str | Path, kind: str = "branch", value: str = "main", **more) -> GitSource:
    return GitSource.open(str(tmp_path / "data"), spec_of(str(url), kind, value, **more))


async def good(following: GitSource, before: SourceRevision | None = None) -> SourceRevision:
    found = await following.look(before)
    assert isinstance(found, SourceRevision), found
    return found


async def fault(following: GitSource, before: SourceRevision | None = None) -> SourceFault:
    found = await following.look(before)
    assert isinstance(found, SourceFault), found
    assert found.what.endswith(".")
    assert found.hint
    return found


def content(following: GitSource, commit: str, path: str) -> bytes:
    revision = following.revision(commit)
    try:
        return revision.read(path)
    finally:
        revision.close()


# --- what is followed


async def test_a_branch_is_followed_and_its_files_are_read_without_a_checkout(tmp_path, repository):
    following = source(tmp_path, repository.bare)
    first = await good(following)
    assert (first.author, first.subject) == ("Ada <ada@example.org>", "first")
    assert first.reference == "refs/heads/main"
    second = repository.commit("second", swarm_DOT_yaml="second\n")
    found = await good(following, first)
    assert (found.commit, found.rewritten) == (second, False)
    assert content(following, found.commit, "swarm.yaml") == b"second\n"
    assert content(following, first.commit, "swarm.yaml") == b"first\n"
    assert not [path for path in following.mirror.folder.rglob("*") if path.name in ("swarm.yaml", "index")]


async def test_head_tags_commits_and_ranges_of_versions_are_followed(tmp_path, repository):
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "-a", "v1.0.0", "-m", "one")
    second = repository.commit("second", swarm_DOT_yaml="second\n")
    repository.git("tag", "v1.2.0")
    repository.git("tag", "v2.0.0-rc.1")
    repository.push("--tags")
    wanted = {
        ("head", ""): (second, "refs/heads/main"),
        ("tag", "v1.0.0"): (first, "refs/tags/v1.0.0"),
        ("semver", "^1"): (second, "refs/tags/v1.2.0"),
        ("semver", "<1.1"): (first, "refs/tags/v1.0.0"),
        ("commit", first): (first, first),
    }
    for (kind, value), expected in wanted.items():
        found = await good(source(tmp_path, repository.bare, kind, value))
        assert (found.commit, found.reference) == expected, (kind, value)
    repository.git("tag", "v1.3.0", first)
    repository.push("--tags")
    assert (await good(source(tmp_path, repository.bare, "semver", "^1"))).reference == "refs/tags/v1.3.0"


async def test_only_changes_below_the_path_change_the_identity(tmp_path, repository):
    following = source(tmp_path, repository.bare, path="stacks")
    first = await good(following)
    repository.commit("elsewhere", README="x")
    elsewhere = await good(following, first)
    assert elsewhere.commit != first.commit
    assert elsewhere.identity == first.identity
    repository.commit("here", stacks__web_DOT_yaml="services: {a: {image: b}}\n")
    assert (await good(following, elsewhere)).identity != first.identity


async def test_a_file_elsewhere_that_manifests_use_changes_the_identity_too(tmp_path, repository):
    repository.commit("shared", shared__env="A=1", README="x")
    following = source(tmp_path, repository.bare, path="stacks")
    first = await good(following)
    assert content(following, first.commit, "shared/env") == b"A=1"
    repository.commit("other", README="y")
    second = await good(following, first)
    repository.commit("shared again", shared__env="A=2")
    third = await good(following, second)
    assert third.identity != second.identity
    repository.commit("other again", README="z")
    assert (await good(following, third)).identity == third.identity


async def test_http_with_a_token_that_no_other_server_process_or_file_gets_to_see(tmp_path, repository):
    with http_server(repository.bare.parent, token=TOKEN) as server:
        wrong = source(tmp_path, f"{server.url}/infra.git", access=Access(token="wrong"))
        refused = await fault(wrong)
        assert refused.code is ErrorCode.SOURCE_REFUSED
        without = source(tmp_path, f"{server.url}/infra.git")
        assert (await fault(without)).code is ErrorCode.SOURCE_REFUSED
        following = source(tmp_path, f"{server.url}/infra.git", access=Access(token=TOKEN))
        assert content(following, (await good(following)).commit, "swarm.yaml") == b"first\n"
        with http_server(tmp_path, redirect_to=server.url) as redirecting:
            elsewhere = source(tmp_path, f"{redirecting.url}/infra.git", access=Access(token=TOKEN))
            assert (await fault(elsewhere)).code is ErrorCode.SOURCE_REFUSED
            assert {given for _, given in redirecting.requests} == {""}
    assert TOKEN not in repr(following)
    for path in following.mirror.folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


async def test_a_token_is_in_no_argument_of_any_process(tmp_path, repository):
    with silent_server() as port:
        limits = SourceLimits(fetch_s=2)
        url = f"http://127.0.0.1:{port}/x.git"
        following = source(tmp_path, url, access=Access(token=TOKEN), limits=limits)
        looking = asyncio.create_task(following.look(None))
        seen = ""
        while "127.0.0.1" not in seen and not looking.done():
            lines = command_lines()
            seen = next((line.decode() for line in lines if f":{port}/x.git".encode() in line), "")
            assert not any(TOKEN.encode() in line for line in lines)
            await asyncio.sleep(0.01)
        assert "ls-remote" in seen or "remote-http" in seen
        assert isinstance(await looking, SourceFault)


def command_lines() -> list[bytes]:
    """The command line of each process of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found


async def test_git_daemon(tmp_path, repository):
    with git_daemon(repository.bare.parent) as url:
        following = source(tmp_path, f"{url}/infra.git")
        assert content(following, (await good(following)).commit, "swarm.yaml") == b"first\n"


@pytest.mark.skipif(sshd_path() is None, reason="needs sshd")
async def test_ssh_with_a_key_and_a_known_host(tmp_path, repository):
    with ssh_server(tmp_path / "ssh") as server:
        access = Access(ssh_key=str(server.key), known_hosts=str(server.known_hosts))
        following = source(tmp_path, f"{server.url}{repository.bare}", access=access)
        assert content(following, (await good(following)).commit, "swarm.yaml") == b"first\n"
        no_key = Access(known_hosts=str(server.known_hosts))
        assert (await fault(source(tmp_path, f"{server.url}{repository.bare}", access=no_key))).code is (
            ErrorCode.SOURCE_REFUSED
        )
        other = tmp_path / "other_hosts"
        other.write_text("")
        stranger = Access(ssh_key=str(server.key), known_hosts=str(other))
        refused = await fault(source(tmp_path, f"{server.url}{repository.bare}", access=stranger))
        assert refused.code is ErrorCode.SOURCE_REFUSED
        assert "Host key verification failed" in refused.why


async def test_several_repositories_have_a_clone_each(tmp_path, repository):
    other = Repository.make(tmp_path, "other")
    other.commit("other", swarm_DOT_yaml="other\n")
    one = source(tmp_path, repository.bare)
    two = GitSource.open(str(tmp_path / "data"), SourceSpec("other", str(other.bare)))
    first, second = await asyncio.gather(good(one), good(two))
    assert content(one, first.commit, "swarm.yaml") == b"first\n"
    assert content(two, second.commit, "swarm.yaml") == b"other\n"


async def test_the_users_repository_is_never_written(tmp_path, repository):
    def everything() -> dict[str, bytes]:
        tops = (repository.bare, repository.work)
        return {str(p): p.read_bytes() for top in tops for p in top.rglob("*") if p.is_file()}

    before = everything()
    for url in (repository.bare, repository.work):
        following = source(tmp_path, url)
        await good(following)
    assert everything() == before


# --- faults: what is in force stays readable, and the code says why nothing newer is


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


def fast_import(repository: Repository, script: str) -> None:
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repository.bare, input=script.encode(), check=True)


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


# --- attacks: each costs a bounded amount, and nothing of it runs


async def test_a_huge_file_is_never_read(tmp_path, repository):
    with (repository.work / "stacks" / "huge.yaml").open("wb") as file:
        file.truncate(16 << 20)
    repository.git("config", "core.bigFileThreshold", "1m")
    repository.git("config", "core.compression", "1")
    repository.commit("huge")
    following = source(tmp_path, repository.bare)
    found = await good(following)
    with pytest.raises(SwarmctlError) as caught:
        content(following, found.commit, "stacks/huge.yaml")
    assert caught.value.code is ErrorCode.FILE_TOO_LARGE
    assert content(following, found.commit, "swarm.yaml") == b"first\n"


async def test_a_pack_beyond_its_limit_is_cut_off_and_nothing_of_it_is_kept(tmp_path, repository):
    following = source(tmp_path, repository.bare, limits=SourceLimits(pack_bytes=1_000_000))
    first = await good(following)
    repository.commit("large", large=os.urandom(3_000_000))
    refused = await fault(following, first)
    assert (refused.code, refused.passing) == (ErrorCode.SOURCE_TOO_LARGE, False)
    await following.look(first)
    assert sum(path.stat().st_size for path in following.mirror.folder.rglob("*")) < 600_000
    assert content(following, first.commit, "swarm.yaml") == b"first\n"


async def test_a_hundred_thousand_files_are_refused_below_the_path_only(tmp_path, repository):
    lines = ["blob\nmark :1\ndata 1\nx\ncommit refs/heads/many\ncommitter A <a@b> 0 +0000\ndata 1\nm\n"]
    lines += [f"M 100644 :1 stacks/{number // 1000}/{number}.yaml\n" for number in range(100_000)]
    lines += ["M 100644 :1 small/swarm.yaml\n"]
    fast_import(repository, "".join(lines))
    everything = source(tmp_path, repository.bare, "branch", "many")
    refused = await fault(everything)
    assert refused.code is ErrorCode.SOURCE_TOO_LARGE
    await good(source(tmp_path, repository.bare, "branch", "many", path="small"))


async def test_links_out_submodules_hooks_and_commands_in_the_configuration_do_nothing(tmp_path, repository):
    canary = tmp_path / "canary"
    script = f"#!/bin/sh\ntouch {canary}\n"
    for top in (repository.bare, repository.work / ".git"):
        (top / "hooks").mkdir(exist_ok=True)
        for hook in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc", "post-index-change"):
            (top / "hooks" / hook).write_text(script)
            (top / "hooks" / hook).chmod(0o755)
        for key in (
            "core.fsmonitor",
            "core.sshCommand",
            "core.askPass",
            "core.pager",
            "core.gitProxy",
            "gpg.program",
            "core.alternateRefsCommand",
            "uploadpack.packObjectsHook",
            "diff.external",
            "filter.x.smudge",
        ):
            run(top, "config", key, f"touch {canary}")
    shadow = repository.work / "stacks" / "shadow.yaml"
    shadow.symlink_to("/etc/shadow")
    (repository.work / ".gitattributes").write_text("* filter=x\n")
    repository.git("-c", "core.fsmonitor=false", "-c", "filter.x.smudge=cat", "add", "-A")
    first = repository.git("rev-parse", "HEAD")
    repository.git(
        "-c", "core.fsmonitor=false", "update-index", "--add", "--cacheinfo", f"160000,{first},stacks/module"
    )
    modules = '[submodule "m"]\n\tpath = stacks/module\n\turl = ext::sh -c touch%20x\n'
    (repository.work / ".gitmodules").write_text(modules)
    repository.git("-c", "core.fsmonitor=false", "commit", "-q", "-m", "hostile")
    for top in (repository.work,):
        run(top, "config", "--unset", "core.fsmonitor")
    canary.unlink(missing_ok=True)
    following = source(tmp_path, repository.work)
    found = await good(following)
    revision = following.revision(found.commit)
    for path, code in (
        ("stacks/shadow.yaml", ErrorCode.PATH_ESCAPES),
        ("stacks/module", ErrorCode.FILE_UNREADABLE),
        ("stacks/module/x", ErrorCode.FILE_UNREADABLE),
    ):
        with pytest.raises(SwarmctlError) as caught:
            revision.read(path)
        assert caught.value.code is code, path
    revision.close()
    assert not canary.exists()


async def test_an_object_that_git_fsck_refuses_is_not_taken(tmp_path, repository):
    content_of = '[submodule "../../x"]\n\tpath = x\n\turl = -u./payload\n'
    (repository.work / ".gitmodules").write_text(content_of)
    repository.commit("hostile modules")
    refused = await fault(source(tmp_path, repository.bare))
    assert refused.code is ErrorCode.SOURCE_UNSAFE


def forge(repository: Repository, raw: bytes) -> None:
    """Make a commit object of these bytes the head of main."""
    line = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
    done = subprocess.run(line, cwd=repository.bare, input=raw, capture_output=True, check=True)
    run(repository.bare, "update-ref", "refs/heads/main", done.stdout.decode().strip())


async def test_a_commit_whose_texts_are_not_fit_to_print(tmp_path, repository):
    tree = repository.git("rev-parse", "HEAD^{tree}")
    who = b"\xff\x1b[31mEve\x07 <e@x> 1 +0000"
    raw = b"tree %s\nauthor %s\ncommitter %s\n\n\x1b]0;x\x07%s\n" % (tree.encode(), who, who, b"y" * 5000)
    forge(repository, raw)
    found = await good(source(tmp_path, repository.bare))
    assert (found.author + found.subject).isprintable()
    assert len(found.subject) <= 200


async def test_a_remote_with_a_hundred_thousand_tags_is_asked_for_those_that_matter(tmp_path, repository):
    commit = repository.git("rev-parse", "HEAD")
    lines = [f"{commit} refs/tags/build-{number:06}\n" for number in range(100_000)]
    (repository.bare / "packed-refs").write_text(
        "# pack-refs with: peeled fully-peeled sorted \n" + "".join(lines) + f"{commit} refs/tags/v1.0.0\n"
    )
    assert (await good(source(tmp_path, repository.bare))).commit == commit
    assert (await good(source(tmp_path, repository.bare, "tag", "v1.0.0"))).commit == commit
    assert (await good(source(tmp_path, repository.bare, "semver", ">=1"))).reference == "refs/tags/v1.0.0"


async def test_git_that_is_not_installed_is_told_as_that(tmp_path, repository):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "timeout"):
        (tools / name).symlink_to(str(shutil.which(name)))
    following = GitSource.open(str(tmp_path / "data"), spec_of(str(repository.bare)), search_path=str(tools))
    missing = await fault(following)
    assert missing.code is ErrorCode.GIT_FAILED
    assert "installed" in missing.hint


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% canary",
        "ext::x",
        "--upload-pack=touch",
        "-x",
        "https://user:password@example.org/x",
        "ftp://example.org/x",
        "ssh://-oProxyCommand=x/x",
        "fd::17",
        "relative/path",
        "",
        "http://h/a b",
        "http:///x",
        "https://h/x?token=y",
    ],
)
def test_addresses_that_are_refused_before_git_sees_them(tmp_path, url):
    with pytest.raises(SwarmctlError) as caught:
        source(tmp_path, url)
    assert caught.value.code is ErrorCode.SOURCE_INVALID
    assert "password@" not in str(caught.value.problems)


def test_ssh_without_known_hosts_is_refused(tmp_path):
    with pytest.raises(SwarmctlError) as caught:
        source(tmp_path, "git@example.org:x/y.git")
    assert caught.value.code is ErrorCode.SOURCE_INVALID
