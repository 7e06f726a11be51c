"""Sources on real repositories and real Git servers: what is followed."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.adapters.git.source import GitSource
from reconciler.model.errors import ErrorCode
from reconciler.model.sources import (
    Access,
    SourceFault,
    SourceLimits,
    SourceSpec,
)
from tests.e2e.git_source import TOKEN, command_lines, content, fault, good, source
from tests.lab.git_servers import Repository, git_daemon, http_server, silent_server, ssh_server, sshd_path

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
