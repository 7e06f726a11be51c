"""A commit as a Revision, on real repositories."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.git import GitRevision
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.revision import FILE_BYTES_MAX


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "stacks").mkdir(parents=True)
    (tmp_path / "outside.txt").write_text("not yours")
    git(root, "init", "-q", "-b", "main")
    (root / "swarm.yaml").write_text("first\n")
    (root / "stacks" / "web.yaml").write_text("services: {}\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    git(root, "tag", "plain")
    git(root, "tag", "-a", "annotated", "-m", "x")
    (root / "swarm.yaml").write_text("second\n")
    git(root, "commit", "-qam", "second")
    return root


def commit_all(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "more")


def code_of(root: Path, path: str) -> ErrorCode:
    with pytest.raises(SwarmctlError) as caught:
        GitRevision.open(str(root), "main").read(path)
    assert caught.value.problems[0].why
    assert caught.value.problems[0].hint
    return caught.value.code


def open_code(path: str, revision: str) -> ErrorCode:
    with pytest.raises(SwarmctlError) as caught:
        GitRevision.open(path, revision)
    return caught.value.code


def test_sha_short_sha_branch_and_tags_name_a_commit(repository: Path) -> None:
    first = git(repository, "rev-parse", "plain")
    for name in (first, first[:8], "plain", "annotated", "main~1", "HEAD^", "refs/tags/plain"):
        revision = GitRevision.open(str(repository), name)
        assert revision.read("swarm.yaml") == b"first\n", name
        assert revision.commit == first
    assert GitRevision.open(str(repository), "main").read("swarm.yaml") == b"second\n"


@pytest.mark.parametrize("kind", ["tag", "branch"])
@pytest.mark.parametrize(("of", "characters"), [("plain", 7), ("plain^{tree}", 6), ("plain:swarm.yaml", 4)])
def test_a_branch_or_tag_that_reads_as_an_object_s_id_is_meant_first(
    repository: Path, kind: str, of: str, characters: int
) -> None:
    name = git(repository, "rev-parse", of)[:characters]
    git(repository, kind, name, "main")
    for revision, commit in ((name, "main"), (f"{name}~1", "plain"), (f"{name}^{{}}", "main")):
        assert GitRevision.open(str(repository), revision).commit == git(repository, "rev-parse", f"{commit}^0")


def test_an_id_may_be_in_capitals(repository: Path) -> None:
    first = git(repository, "rev-parse", "plain")
    assert GitRevision.open(str(repository), first[:9].upper()).commit == first


def test_what_a_partial_clone_lacks_comes_with_the_command_of_the_hint(repository: Path, tmp_path: Path) -> None:
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", repository.as_uri(), "clone")
    clone = tmp_path / "clone"
    with pytest.raises(SwarmctlError) as caught:
        GitRevision.open(str(clone), "origin/main~1").read("swarm.yaml")
    [*_, command] = re.findall("`(git .*?)`", caught.value.problems[0].hint)
    git(clone, *command.split()[1:])
    assert GitRevision.open(str(clone), "origin/main~1").read("swarm.yaml") == b"first\n"


def test_packed_objects_and_remote_branches_are_read(repository: Path, tmp_path: Path) -> None:
    git(repository, "gc", "-q")
    git(tmp_path, "clone", "-q", str(repository), "clone")
    revision = GitRevision.open(str(tmp_path / "clone"), "origin/main")
    assert revision.read("swarm.yaml") == b"second\n"
    first = git(repository, "rev-parse", "plain")
    assert GitRevision.open(str(repository), first[:7]).read("swarm.yaml") == b"first\n"


def test_the_work_tree_and_index_play_no_part(repository: Path) -> None:
    (repository / "swarm.yaml").write_text("changed, not committed")
    (repository / "new.yaml").write_text("staged")
    git(repository, "add", "new.yaml")
    shutil.rmtree(repository / "stacks")
    before = git(repository, "status", "--porcelain")
    revision = GitRevision.open(str(repository / "stacks"), "main")
    assert revision.read("swarm.yaml") == b"second\n"
    assert (revision.folder, revision.files_under("stacks")) == ("stacks", ("stacks/web.yaml",))
    assert not revision.exists("new.yaml")
    assert git(repository, "status", "--porcelain") == before


def test_symlinks_in_a_circle_or_to_nowhere_are_listed_as_in_the_folder(repository: Path) -> None:
    (repository / "stacks" / "loop.yaml").symlink_to("loop.yaml")
    (repository / "stacks" / "nowhere.yaml").symlink_to("missing.yaml")
    (repository / "stacks" / "folder.yaml").symlink_to(".")
    commit_all(repository)
    files = GitRevision.open(str(repository), "main").files_under("stacks")
    assert files == DirectoryRevision.open(str(repository)).files_under("stacks")
    assert files == ("stacks/loop.yaml", "stacks/nowhere.yaml", "stacks/web.yaml")


def test_a_file_may_be_named(repository: Path) -> None:
    revision = GitRevision.open(str(repository / "stacks" / "web.yaml"), "main")
    assert (revision.folder, revision.file) == ("stacks", "stacks/web.yaml")
    assert revision.display("stacks/web.yaml") == "web.yaml"


def test_a_path_that_the_commit_lacks_is_told(repository: Path) -> None:
    assert open_code(str(repository / "nope"), "main") is ErrorCode.PATH_NOT_FOUND


@pytest.mark.parametrize(
    "name",
    ["nope", "", "-x", "a b", "../../etc/passwd", "main:swarm.yaml", "0" * 40, "main~9", ":/x", "@{9}", "main^{tree}"],
)
def test_a_missing_revision_is_told(repository: Path, name: str) -> None:
    assert open_code(str(repository), name) is ErrorCode.REVISION_NOT_FOUND


def test_a_near_name_is_suggested(repository: Path) -> None:
    with pytest.raises(SwarmctlError) as caught:
        GitRevision.open(str(repository), "mian")
    assert "`main`" in caught.value.problems[0].hint


def test_the_folder_here_is_told_apart_from_the_end_of_a_sentence(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    with pytest.raises(SwarmctlError) as caught:
        GitRevision.open(".", "nope")
    assert str(caught.value) == "The revision 'nope' does not exist in the repository of `.`."


def test_an_empty_repository_has_no_revision(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    with pytest.raises(SwarmctlError) as caught:
        GitRevision.open(str(tmp_path), "HEAD")
    assert caught.value.code is ErrorCode.REVISION_NOT_FOUND
    assert "no commit yet" in caught.value.problems[0].why
    assert "Commit something" in caught.value.problems[0].hint


def test_a_folder_outside_git_is_told(tmp_path: Path) -> None:
    assert open_code(str(tmp_path), "main") is ErrorCode.NOT_A_GIT_REPOSITORY
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    assert open_code(str(tmp_path), "main") is ErrorCode.NOT_A_GIT_REPOSITORY


def test_a_bare_repository_is_read(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    assert GitRevision.open(str(tmp_path / "bare.git"), "main").read("swarm.yaml") == b"second\n"
    assert GitRevision.open(str(tmp_path / "bare.git" / "stacks"), "main").folder == "stacks"


def test_a_linked_work_tree_is_read(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"), "plain")
    assert GitRevision.open(str(tmp_path / "linked"), "HEAD").read("swarm.yaml") == b"first\n"


def test_a_shallow_clone_says_that_it_is_shallow(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    assert GitRevision.open(str(tmp_path / "shallow"), "main").read("swarm.yaml") == b"second\n"
    with pytest.raises(SwarmctlError) as caught:
        GitRevision.open(str(tmp_path / "shallow"), git(repository, "rev-parse", "plain"))
    assert caught.value.code is ErrorCode.REVISION_NOT_FOUND
    assert "shallow" in caught.value.problems[0].why
    assert "git fetch" in caught.value.problems[0].hint


def test_a_shallow_clone_of_a_detached_head_has_a_commit(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "-q", "--detach", "plain")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(SwarmctlError) as caught:
        GitRevision.open(str(tmp_path / "shallow"), "main")
    assert "shallow" in caught.value.problems[0].why
    assert GitRevision.open(str(tmp_path / "shallow"), "HEAD").read("swarm.yaml") == b"first\n"


def test_an_empty_revision_is_told_as_such(repository: Path) -> None:
    with pytest.raises(SwarmctlError) as caught:
        GitRevision.open(str(repository), "")
    assert caught.value.code is ErrorCode.REVISION_NOT_FOUND
    assert "empty" in caught.value.problems[0].why


def test_a_repository_of_another_owner_is_read(repository: Path) -> None:
    if os.getuid() == 0:
        for path in [repository, *repository.rglob("*")]:
            os.chown(path, 65534, 65534, follow_symlinks=False)
    assert GitRevision.open(str(repository), "main").read("swarm.yaml") == b"second\n"


def test_nothing_of_the_configuration_is_run(repository: Path) -> None:
    marker = repository / "ran"
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand", "diff.external", "alias.cat-file"):
        git(repository, "config", key, f"!touch {marker}" if key.startswith("alias") else f"touch {marker}")
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    assert GitRevision.open(str(repository), "main").read("swarm.yaml") == b"second\n"
    assert not marker.exists()


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/hostname", "stacks/../../outside.txt", ".git/config"])
def test_a_path_that_leaves_the_repository_is_refused(repository: Path, path: str) -> None:
    assert code_of(repository, path) is ErrorCode.PATH_ESCAPES


@pytest.mark.parametrize("target", ["../../outside.txt", "/etc/hostname", "../../nowhere", "deep/../../../outside.txt"])
def test_a_symlink_that_leaves_the_repository_is_refused(repository: Path, target: str) -> None:
    (repository / "stacks" / "link").symlink_to(target)
    (repository / "stacks" / "chain").symlink_to("link")
    (repository / "stacks" / "deep").mkdir()
    (repository / "stacks" / "deep" / "x").write_text("")
    commit_all(repository)
    assert code_of(repository, "stacks/link") is ErrorCode.PATH_ESCAPES
    assert code_of(repository, "stacks/chain") is ErrorCode.PATH_ESCAPES
    assert GitRevision.open(str(repository), "main").exists("stacks/link")


def test_a_loop_of_symlinks_is_refused(repository: Path) -> None:
    (repository / "a").symlink_to("b")
    (repository / "b").symlink_to("a")
    commit_all(repository)
    assert code_of(repository, "a") is ErrorCode.FILE_UNREADABLE


def test_symlinks_inside_are_followed(repository: Path) -> None:
    (repository / "folder").symlink_to("stacks")
    (repository / "stacks" / "back.yaml").symlink_to("../swarm.yaml")
    commit_all(repository)
    revision = GitRevision.open(str(repository), "main")
    assert revision.read("folder/back.yaml") == b"second\n"
    assert revision.files_under("folder") == ("folder/back.yaml", "folder/web.yaml")


def test_a_folder_and_a_missing_file_are_told(repository: Path) -> None:
    assert code_of(repository, "stacks") is ErrorCode.FILE_UNREADABLE
    assert code_of(repository, "nope") is ErrorCode.FILE_NOT_FOUND
    assert code_of(repository, "swarm.yaml/inside") is ErrorCode.FILE_NOT_FOUND


def test_a_submodule_is_told(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(repository), "other")
    git(repository, "submodule", "add", "-q", str(tmp_path / "other"), "module")
    commit_all(repository)
    assert code_of(repository, "module") is ErrorCode.FILE_UNREADABLE
    assert code_of(repository, "module/swarm.yaml") is ErrorCode.FILE_UNREADABLE
    for folder in ("module", "module/stacks"):
        with pytest.raises(SwarmctlError, match="cannot be read"):  # an empty one would let stacks seem deleted
            GitRevision.open(str(repository), "main").files_under(folder)


def test_a_large_file_is_refused_and_the_largest_is_read(repository: Path) -> None:
    (repository / "large").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    (repository / "fits").write_bytes(b"x" * FILE_BYTES_MAX)
    commit_all(repository)
    assert code_of(repository, "large") is ErrorCode.FILE_TOO_LARGE
    assert len(GitRevision.open(str(repository), "main").read("fits")) == FILE_BYTES_MAX


def test_a_missing_object_is_told(repository: Path) -> None:
    blob = git(repository, "rev-parse", "main:swarm.yaml")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert code_of(repository, "swarm.yaml") is ErrorCode.GIT_FAILED


def test_a_damaged_object_is_told(repository: Path) -> None:
    blob = git(repository, "rev-parse", "main:swarm.yaml")
    path = repository / ".git" / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"\0damaged")
    assert code_of(repository, "swarm.yaml") is ErrorCode.GIT_FAILED


def test_a_damaged_configuration_does_no_harm(repository: Path) -> None:
    (repository / ".git" / "config").write_text("[core\nnonsense")
    assert GitRevision.open(str(repository), "main").read("swarm.yaml") == b"second\n"


def test_an_object_format_that_is_not_read_is_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256")
    assert open_code(str(tmp_path), "main") is ErrorCode.GIT_FAILED
