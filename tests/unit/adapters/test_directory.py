"""A directory as a Revision, on real files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.adapters.directory import DirectoryRevision
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.revision import FILE_BYTES_MAX, Revision


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "stacks").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("[core]")
    (root / "swarm.yaml").write_text("kind: Cluster\n")
    (root / "stacks" / "web.yaml").write_text("services: {}\n")
    (tmp_path / "outside.txt").write_text("not yours")
    return root


def code_of(revision: Revision, path: str) -> ErrorCode:
    with pytest.raises(SwarmctlError) as caught:
        revision.read(path)
    assert caught.value.problems[0].why
    assert caught.value.problems[0].hint
    return caught.value.code


def test_a_folder_in_a_work_tree_has_the_tree_as_its_root(repository: Path) -> None:
    revision = DirectoryRevision.open(str(repository / "stacks"))
    assert (revision.root, revision.folder, revision.file) == (str(repository), "stacks", None)
    assert revision.read("swarm.yaml") == b"kind: Cluster\n"
    assert revision.display("swarm.yaml") == "../swarm.yaml"
    assert revision.display("stacks/web.yaml") == "web.yaml"


def test_a_folder_outside_git_is_its_own_root(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert DirectoryRevision.open(str(tmp_path / "a")).root == str(tmp_path / "a")


def test_a_file_may_be_named(repository: Path) -> None:
    revision = DirectoryRevision.open(str(repository / "stacks" / "web.yaml"))
    assert (revision.folder, revision.file) == ("stacks", "stacks/web.yaml")


def test_files_under_are_sorted_and_no_folders(repository: Path) -> None:
    (repository / "stacks" / "api.yml").write_text("")
    (repository / "stacks" / "deep").mkdir()
    revision = DirectoryRevision.open(str(repository))
    assert revision.files_under("stacks") == ("stacks/api.yml", "stacks/web.yaml")
    assert revision.files_under("nowhere") == ()


def test_a_folder_in_a_submodule_that_is_not_checked_out_is_not_empty(repository: Path) -> None:
    (repository / ".gitmodules").write_text('[submodule "m"]\n\tpath = shared/module\n\turl = ../m\n')
    (repository / "shared" / "module").mkdir(parents=True)
    revision = DirectoryRevision.open(str(repository))
    for folder in ("shared/module", "shared/module/stacks"):
        with pytest.raises(SwarmctlError) as caught:
            revision.files_under(folder)
        assert caught.value.code is ErrorCode.FILE_UNREADABLE
        assert "submodule update --init shared/module" in str(caught.value.problems[0].hint)
    assert revision.files_under("shared") == revision.files_under("shared/modules") == ()
    (repository / "shared" / "module" / ".git").write_text("gitdir: ../../.git/modules/m\n")
    (repository / "shared" / "module" / "a.yaml").write_text("")
    assert "shared/module/a.yaml" in revision.files_under("shared/module")


def test_a_missing_path_is_told(tmp_path: Path) -> None:
    for path in (str(tmp_path / "nothing"), "", "a\0b"):
        with pytest.raises(SwarmctlError) as caught:
            DirectoryRevision.open(path)
        assert caught.value.code is ErrorCode.PATH_NOT_FOUND


def test_a_missing_file_is_looked_for_in_the_folder_of_the_file_that_was_named(repository: Path) -> None:
    named = str(repository / "swarm.yaml")
    for opened, where in ((named, f"the folder of `{named}`"), (str(repository), f"`{repository}`")):
        with pytest.raises(SwarmctlError) as caught:
            DirectoryRevision.open(opened).read("nope.yaml")
        assert caught.value.problems[0].why == f"There is no such file in {where}."


def test_a_missing_file_is_told(repository: Path) -> None:
    revision = DirectoryRevision.open(str(repository))
    assert code_of(revision, "nope.yaml") is ErrorCode.FILE_NOT_FOUND
    assert code_of(revision, "swarm.yaml/inside") is ErrorCode.FILE_NOT_FOUND
    assert code_of(revision, "a\0b") is ErrorCode.FILE_NOT_FOUND
    assert not revision.exists("nope.yaml")


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/hostname", "stacks/../../outside.txt", ".git/config"])
def test_a_path_that_leaves_the_repository_is_refused(repository: Path, path: str) -> None:
    assert code_of(DirectoryRevision.open(str(repository)), path) is ErrorCode.PATH_ESCAPES


@pytest.mark.parametrize("target", ["../../outside.txt", "/etc/hostname", "../.git/config", "../../nowhere"])
def test_a_symlink_that_leaves_the_repository_is_refused(repository: Path, target: str) -> None:
    (repository / "stacks" / "link").symlink_to(target)
    (repository / "stacks" / "chain").symlink_to("link")
    revision = DirectoryRevision.open(str(repository))
    assert code_of(revision, "stacks/link") is ErrorCode.PATH_ESCAPES
    assert code_of(revision, "stacks/chain") is ErrorCode.PATH_ESCAPES
    assert revision.exists("stacks/link"), "so that reading it tells what is wrong"


def test_a_folder_that_is_a_symlink_outside_is_refused(repository: Path) -> None:
    (repository / "linked").symlink_to("..")
    revision = DirectoryRevision.open(str(repository))
    assert code_of(revision, "linked/outside.txt") is ErrorCode.PATH_ESCAPES
    with pytest.raises(SwarmctlError) as caught:
        revision.files_under("linked")
    assert caught.value.code is ErrorCode.PATH_ESCAPES


def test_a_sibling_with_the_roots_name_as_prefix_is_outside(repository: Path) -> None:
    (repository.parent / "repository-other").mkdir()
    (repository.parent / "repository-other" / "x").write_text("no")
    (repository / "link").symlink_to("../repository-other/x")
    assert code_of(DirectoryRevision.open(str(repository)), "link") is ErrorCode.PATH_ESCAPES


def test_a_loop_of_symlinks_is_refused(repository: Path) -> None:
    (repository / "a").symlink_to("b")
    (repository / "b").symlink_to("a")
    assert code_of(DirectoryRevision.open(str(repository)), "a") is ErrorCode.FILE_UNREADABLE


def test_a_loop_of_symlinks_hides_none_of_the_files_beside_it(repository: Path) -> None:
    (repository / "stacks" / "loop.yaml").symlink_to("loop.yaml")
    (repository / "stacks" / "nowhere.yaml").symlink_to("missing.yaml")
    files = DirectoryRevision.open(str(repository)).files_under("stacks")
    assert files == ("stacks/loop.yaml", "stacks/nowhere.yaml", "stacks/web.yaml")


def test_a_symlink_inside_is_followed(repository: Path) -> None:
    (repository / "link.yaml").symlink_to("stacks/web.yaml")
    assert DirectoryRevision.open(str(repository)).read("link.yaml") == b"services: {}\n"


def test_a_folder_read_as_a_file_is_refused(repository: Path) -> None:
    assert code_of(DirectoryRevision.open(str(repository)), "stacks") is ErrorCode.FILE_UNREADABLE


def test_a_pipe_a_socket_and_a_device_are_refused_without_waiting(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(repository / "pipe")
    monkeypatch.chdir(repository)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        revision = DirectoryRevision.open(str(repository))
        assert code_of(revision, "pipe") is ErrorCode.FILE_UNREADABLE
        assert code_of(revision, "socket") is ErrorCode.FILE_UNREADABLE
    for path in (str(repository / "pipe"), "/dev/null"):
        with pytest.raises(SwarmctlError) as caught:
            DirectoryRevision.open(path)
        assert caught.value.code is ErrorCode.FILE_UNREADABLE


def test_a_large_file_is_refused_and_the_largest_is_read(repository: Path) -> None:
    with (repository / "huge").open("wb") as file:
        file.truncate(1 << 40)
    (repository / "fits").write_bytes(b"x" * FILE_BYTES_MAX)
    revision = DirectoryRevision.open(str(repository))
    assert code_of(revision, "huge") is ErrorCode.FILE_TOO_LARGE
    assert len(revision.read("fits")) == FILE_BYTES_MAX


READ_AS_NOBODY = """
import os, sys
from reconciler.adapters.directory import DirectoryRevision
from reconciler.model.errors import SwarmctlError
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
for path in sys.argv[2:]:
    try:
        DirectoryRevision.open(sys.argv[1]).read(path) if not path.startswith("/") else DirectoryRevision.open(path)
        print("read")
    except SwarmctlError as error:
        print(error.code)
"""


def test_a_file_or_folder_without_permission_is_told(repository: Path) -> None:
    (repository / "secret.txt").write_text("x")
    (repository / "secret.txt").chmod(0)
    (repository / "closed").mkdir()
    (repository / "closed" / "x").write_text("x")
    for folder in (*repository.parents[:3], repository):
        folder.chmod(0o755)
    (repository / "closed").chmod(0)
    closed = str(repository / "closed")
    done = subprocess.run(
        [sys.executable, "-c", READ_AS_NOBODY, str(repository), "secret.txt", "closed/x", "swarm.yaml", closed],
        check=True,
        capture_output=True,
        text=True,
    )
    (repository / "closed").chmod(0o755)
    assert done.stdout.split() == ["file-unreadable", "file-unreadable", "read", "file-unreadable"]


def test_a_name_that_is_no_utf8_can_be_shown(repository: Path) -> None:
    (repository / "stacks" / os.fsdecode(b"\xff.yaml")).write_text("")
    revision = DirectoryRevision.open(str(repository))
    [name] = [path for path in revision.files_under("stacks") if "web" not in path]
    revision.display(name).encode()
