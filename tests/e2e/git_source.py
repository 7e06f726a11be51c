"""A source on a real repository, as tests ask for it and look at what it has found."""

from __future__ import annotations

import contextlib
from pathlib import Path

from reconciler.adapters.git.source import GitSource
from reconciler.model.sources import (
    Reference,
    ReferenceKind,
    SourceFault,
    SourceRevision,
    SourceSpec,
)

TOKEN = "hunter2-very-secret"


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


def command_lines() -> list[bytes]:
    """The command line of each process of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found
