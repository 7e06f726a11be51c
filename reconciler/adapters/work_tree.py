"""A local work tree that the controller follows: its files as they lie there, and a wake-up when one changes.

What is in force of a Git repository is a commit; of a work tree it is what its files were at one moment. They are read
whole, and once: a file that is changed while a plan is made belongs to the next look.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import posixpath
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec
import watchfiles

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.revision_errors import checked_parts, not_found, shown_path, too_large
from reconciler.adapters.sparse_checkout import refuse_left_out
from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.revision import FILE_BYTES_MAX
from reconciler.model.sources import SourceFault, SourceRevision, SourceSpec

BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of all files below the path; manifests are small, and they are held in memory."""
SETTLE_MS: Final = 200
"""Milliseconds without a further change that end a burst: an editor, or `git checkout`, writes several files."""
POLL_MS: Final = 1000
"""Milliseconds between two looks where the system tells of no changes: on a network share, for example."""
_SKIPPED: Final = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules"})


class WorkTreeRevision(Discreet, frozen=True):
    """The files of a work tree at one moment. Satisfies reconciler.model.revision.Revision.

    `contents` are the files below `folder` by their paths from the root; for one too large to be held it is None. Files
    elsewhere in the work tree are read when they are first asked for, and noted in `elsewhere`.
    """

    UNSHOWN = frozenset({"contents", "elsewhere"})

    root: str
    label: str
    folder: str
    commit: str | None = None
    contents: dict[str, bytes | None] = msgspec.field(default_factory=dict)
    elsewhere: set[str] = msgspec.field(default_factory=set)

    def display(self, path: str) -> str:
        """Return `path` relative to the folder that the user named."""
        return shown_path(path, self.folder)

    def exists(self, path: str) -> bool:
        """Return whether a file lies at `path`."""
        name = posixpath.normpath(path)
        return name in self.contents or (self._is_elsewhere(name) and self._top().exists(name))

    def read(self, path: str) -> bytes:
        """Return a file's content as it was."""
        shown = self.display(path)
        name = "/".join(checked_parts(posixpath.normpath(path), shown))
        if name not in self.contents and self._is_elsewhere(name):
            self.contents[name] = self._top().read(name)
        if name not in self.contents:
            raise not_found(shown, self.label, None)
        content = self.contents[name]
        if content is None:
            raise too_large(shown, FILE_BYTES_MAX + 1)
        return content

    def files_under(self, folder: str) -> tuple[str, ...]:
        """Return the files directly in `folder`, sorted."""
        wanted = posixpath.normpath(folder) if folder else ""
        if self._is_elsewhere(f"{wanted}/"):
            return self._top().files_under(wanted)
        return tuple(sorted(name for name in self.contents if posixpath.dirname(name) == wanted))

    def _is_elsewhere(self, name: str) -> bool:
        if not self.folder or name.startswith(f"{self.folder}/"):
            return False
        self.elsewhere.add(name)
        return True

    def _top(self) -> DirectoryRevision:
        return DirectoryRevision(self.root, self.label, self.folder)


@dataclass(slots=True)
class WorkTreeSource:
    """Follows one folder of this machine. `spec.url` is its absolute path; `spec.path` a folder in it."""

    spec: SourceSpec
    _latest: WorkTreeRevision | None = None
    _identity: str = ""
    _elsewhere: set[str] = field(default_factory=set)

    async def look(self, in_force: SourceRevision | None) -> SourceRevision | SourceFault:
        """Return what the files are now, or why they can't be read. They are never written."""
        try:
            found = await asyncio.to_thread(self._read)
        except SwarmctlError as error:
            problem = error.problems[0]
            return SourceFault(problem.code, problem.what, problem.why, problem.hint, passing=True)
        self._latest, self._identity = found, _identity(found.contents)
        identity = self._identity
        if in_force is not None and in_force.identity == identity:
            return in_force
        moment = datetime.now(UTC)
        return SourceRevision("", identity, "work tree", "", "files in the work tree", moment)

    def revision(self, identity: str) -> WorkTreeRevision:
        """Return the files of the last look. Raises revision-not-found for those of any other."""
        if self._latest is None or self._identity != identity:
            raise SwarmctlError(
                ErrorCode.REVISION_NOT_FOUND,
                f"The files of {self.spec.name} have changed.",
                why="A work tree has no history.",
                hint="Look again.",
            )
        return self._latest

    def _read(self) -> WorkTreeRevision:
        top = DirectoryRevision.open(posixpath.join(self.spec.url, self.spec.path) if self.spec.path else self.spec.url)
        refuse_left_out(top.root, top.folder, top.label)
        contents: dict[str, bytes | None] = {}
        size = 0
        for name in self._names(top):
            try:
                content: bytes | None = top.read(name)
            except SwarmctlError as error:
                if error.code is ErrorCode.FILE_NOT_FOUND:
                    continue  # it went away while we looked
                if error.code in (ErrorCode.PATH_ESCAPES, ErrorCode.FILE_UNREADABLE):
                    continue  # a symlink out, a device, a closed file: what names it is told that it isn't there
                content = None
            contents[name] = content
            size += len(content or b"")
            if size > BYTES_MAX or len(contents) > self.spec.limits.files:
                raise _too_much(self.spec)
        return WorkTreeRevision(top.root, self.spec.name, top.folder, None, contents, self._elsewhere)

    def _names(self, top: DirectoryRevision) -> list[str]:
        """Return the paths of all files below the source's folder, from the root, sorted."""
        start = os.path.join(top.root, top.folder)
        found: list[str] = []
        for folder, folders, files in os.walk(start):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED)
            found += [os.path.relpath(os.path.join(folder, name), top.root) for name in files]
            if len(found) > self.spec.limits.files:
                raise _too_much(self.spec)
        return sorted({*found, *self._elsewhere})

    async def changes(self, stop: asyncio.Event | None = None) -> AsyncIterator[None]:
        """Yield once for each burst of changes below the folder, until `stop` is set or the folder is gone.

        It only wakes a look: what changed is not told. Raises path-not-found when the folder is not there at first.
        """
        top = await asyncio.to_thread(DirectoryRevision.open, os.path.join(self.spec.url, self.spec.path))
        folder = os.path.join(top.root, top.folder)
        watching = watchfiles.awatch(
            folder,
            watch_filter=_matters,
            debounce=SETTLE_MS * 8,
            step=SETTLE_MS,
            poll_delay_ms=POLL_MS,
            stop_event=stop,
            ignore_permission_denied=True,
        )
        async for _ in watching:
            yield


def _matters(_: watchfiles.Change, path: str) -> bool:
    return _SKIPPED.isdisjoint(path.split(os.sep))


def _identity(contents: Mapping[str, bytes | None]) -> str:
    digest = hashlib.sha256()
    for name in sorted(contents):
        content = contents[name]
        digest.update(f"{name}\0{-1 if content is None else len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content or b"")
    return digest.hexdigest()


def _too_much(spec: SourceSpec) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.SOURCE_TOO_LARGE,
        f"The work tree of {spec.name} is larger than may be taken.",
        why=f"It has more than {spec.limits.files:,} files, or {BYTES_MAX:,} bytes.",
        hint="Follow a folder of it.",
    )
