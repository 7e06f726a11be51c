"""Hostile sources: each costs a bounded amount, and nothing of it runs."""

from __future__ import annotations

import os
import subprocess

import pytest

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import (
    SourceLimits,
)
from tests.e2e.git_source import content, fault, good, source
from tests.lab.git_servers import Repository, run


def fast_import(repository: Repository, script: str) -> None:
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repository.bare, input=script.encode(), check=True)


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
