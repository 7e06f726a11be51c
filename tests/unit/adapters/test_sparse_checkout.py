"""What is not checked out looks deleted, and would be pruned."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.work_tree import WorkTreeSource
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import SourceFault, SourceSpec

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b")


def git(tree: Path, *words: str) -> None:
    subprocess.run([*GIT, "-C", str(tree), *words], check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "infra"
    for name in ("swarm.yaml", "stacks/a.yaml", "stacks/b.yaml", "docs/c.md"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    git(tree.parent, "init", "-q", str(tree))
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "all")
    return tree


def test_a_folder_of_which_files_are_left_out_is_not_listed(tree: Path) -> None:
    git(tree, "sparse-checkout", "set", "--no-cone", "/swarm.yaml", "/stacks/a.yaml")
    with pytest.raises(SwarmctlError) as caught:
        DirectoryRevision.open(str(tree)).files_under("stacks")
    problem = caught.value.problems[0]
    assert problem.code is ErrorCode.SPARSE_CHECKOUT
    assert "stacks/b.yaml" in problem.why
    assert "docs" not in problem.why


def test_a_folder_that_is_left_out_is_not_an_empty_one(tree: Path) -> None:
    git(tree, "sparse-checkout", "set", "docs")
    assert not (tree / "stacks").exists()
    with pytest.raises(SwarmctlError) as caught:
        DirectoryRevision.open(str(tree)).files_under("stacks")
    assert caught.value.problems[0].code is ErrorCode.SPARSE_CHECKOUT


def test_a_folder_that_is_all_there_is_listed(tree: Path) -> None:
    git(tree, "sparse-checkout", "set", "stacks")
    assert not (tree / "docs").exists()
    (tree / "stacks/a.yaml").unlink()  # by hand, which does mean that it goes
    assert DirectoryRevision.open(str(tree)).files_under("stacks") == ("stacks/b.yaml",)
    (tree / "stacks/a.yaml").write_text("again")
    git(tree, "sparse-checkout", "disable")
    assert (tree / "docs").exists()
    assert DirectoryRevision.open(str(tree)).files_under("stacks") == ("stacks/a.yaml", "stacks/b.yaml")


def test_a_linked_work_tree_has_a_checkout_of_its_own(tree: Path) -> None:
    linked = tree.parent / "linked"
    git(tree, "worktree", "add", "-q", str(linked))
    git(linked, "sparse-checkout", "set", "docs")
    assert DirectoryRevision.open(str(tree)).files_under("stacks")
    with pytest.raises(SwarmctlError):
        DirectoryRevision.open(str(linked)).files_under("stacks")


async def test_a_controller_keeps_what_it_had(tree: Path) -> None:
    source = WorkTreeSource(SourceSpec("infra", str(tree)))
    before = await source.look(None)
    assert not isinstance(before, SourceFault)
    git(tree, "sparse-checkout", "set", "docs")
    found = await source.look(before)
    assert isinstance(found, SourceFault)
    assert found.code is ErrorCode.SPARSE_CHECKOUT
