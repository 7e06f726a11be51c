"""A local work tree as a source, on a real folder."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from reconciler.adapters.work_tree import WorkTreeSource
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import SourceFault, SourceLimits, SourceRevision, SourceSpec


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / ".git").mkdir(parents=True)
    (top / "prod" / "stacks").mkdir(parents=True)
    (top / "prod" / "swarm.yaml").write_text("first\n")
    (top / "prod" / "stacks" / "web.yaml").write_text("services: {}\n")
    (top / "README").write_text("x")
    return top


def following(tree: Path, **more) -> WorkTreeSource:
    return WorkTreeSource(SourceSpec("infra", str(tree), path="prod", **more))


async def good(source: WorkTreeSource, before: SourceRevision | None = None) -> SourceRevision:
    found = await source.look(before)
    assert isinstance(found, SourceRevision), found
    return found


async def test_the_files_are_those_of_one_moment(tree):
    source = following(tree)
    found = await good(source)
    revision = source.revision(found.identity)
    (tree / "prod" / "swarm.yaml").write_text("second\n")
    (tree / "prod" / "stacks" / "new.yaml").write_text("x\n")
    assert revision.read("prod/swarm.yaml") == b"first\n"
    assert revision.files_under("prod/stacks") == ("prod/stacks/web.yaml",)
    assert not revision.exists("prod/stacks/new.yaml")
    assert (revision.folder, revision.display("prod/swarm.yaml")) == ("prod", "swarm.yaml")
    after = await good(source, found)
    assert source.revision(after.identity).read("prod/swarm.yaml") == b"second\n"
    with pytest.raises(SwarmctlError) as caught:
        source.revision(found.identity)
    assert caught.value.code is ErrorCode.REVISION_NOT_FOUND


async def test_only_contents_below_the_path_change_the_identity(tree):
    source = following(tree)
    first = await good(source)
    (tree / "README").write_text("y")
    (tree / ".git" / "index").write_text("y")
    os.utime(tree / "prod" / "swarm.yaml")
    assert await good(source, first) is first
    (tree / "prod" / "stacks" / "web.yaml").rename(tree / "prod" / "stacks" / "shop.yaml")
    assert (await good(source, first)).identity != first.identity


async def test_a_file_elsewhere_that_manifests_use_counts_as_well(tree):
    source = following(tree)
    first = await good(source)
    assert source.revision(first.identity).read("README") == b"x"
    second = await good(source, first)
    (tree / "README").write_text("y")
    third = await good(source, second)
    assert len({first.identity, second.identity, third.identity}) == 3
    assert (await good(source, third)) is third


async def test_links_out_pipes_and_large_files_do_no_harm(tree):
    (tree / "prod" / "shadow.yaml").symlink_to("/etc/shadow")
    os.mkfifo(tree / "prod" / "pipe.yaml")
    with (tree / "prod" / "large.yaml").open("wb") as file:
        file.truncate(1 << 30)
    source = following(tree)
    revision = source.revision((await good(source)).identity)
    for name, code in (
        ("shadow", ErrorCode.FILE_NOT_FOUND),
        ("pipe", ErrorCode.FILE_NOT_FOUND),
        ("large", ErrorCode.FILE_TOO_LARGE),
    ):
        with pytest.raises(SwarmctlError) as caught:
            revision.read(f"prod/{name}.yaml")
        assert caught.value.code is code
    with pytest.raises(SwarmctlError) as caught:
        revision.read("../outside")
    assert caught.value.code is ErrorCode.PATH_ESCAPES


async def test_a_folder_that_is_gone_or_too_full_is_told(tree):
    source = following(tree, limits=SourceLimits(files=1))
    full = await source.look(None)
    assert isinstance(full, SourceFault)
    assert full.code is ErrorCode.SOURCE_TOO_LARGE
    (tree / "prod").rename(tree / "away")
    gone = await source.look(None)
    assert isinstance(gone, SourceFault)
    assert gone.code is ErrorCode.PATH_NOT_FOUND


async def test_a_change_wakes(tree):
    source = following(tree)
    woken: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()

    async def watch() -> None:
        async for _ in source.changes(stop):
            woken.put_nowait("changed")

    watching = asyncio.create_task(watch())
    try:
        number = 0
        while woken.empty():  # the watch needs a moment to begin
            number += 1
            (tree / "prod" / "stacks" / "web.yaml").write_text(f"# {number}\n")
            await asyncio.sleep(0.05)
    finally:
        stop.set()
        await watching
