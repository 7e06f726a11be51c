"""Git repositories and work trees, as the loop follows them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from reconciler.adapters.git.commit import GitRevision
from reconciler.adapters.git.source import GitSource
from reconciler.adapters.work_tree import WorkTreeSource
from reconciler.model.errors import SwarmctlError
from reconciler.model.revision import Revision
from reconciler.model.sources import SourceFault, SourceRevision, SourceSpec


class FollowedRepository(msgspec.Struct, frozen=True):
    """A repository that is fetched into a clone of our own."""

    source: GitSource

    @property
    def spec(self) -> SourceSpec:
        """What is followed."""
        return self.source.spec

    async def look(
        self, in_force: SourceRevision | None, *, accept_rewrite: bool = False
    ) -> SourceRevision | SourceFault:
        """Return what the remote has now, fetched and verified, or why there is nothing newer."""
        return await self.source.look(in_force, accept_rewrite=accept_rewrite)

    async def files(self, revision: SourceRevision) -> Revision:
        """Return a commit's files, fetched again where this clone does not have it."""
        fault = await self.source.bring(revision.commit)
        if fault is not None:
            raise SwarmctlError(fault.code, fault.what, why=fault.why, hint=fault.hint, passing=fault.passing)
        return self.source.revision(revision.commit)

    def done_with(self, files: Revision) -> None:
        """End what reads the clone."""
        if isinstance(files, GitRevision):
            files.close()

    async def changes(self) -> AsyncGenerator[None, None]:
        """Yield nothing: a remote tells of nothing by itself."""
        return
        yield


class FollowedTree(msgspec.Struct, frozen=True):
    """A folder of this machine."""

    source: WorkTreeSource

    @property
    def spec(self) -> SourceSpec:
        """What is followed."""
        return self.source.spec

    async def look(
        self, in_force: SourceRevision | None, *, accept_rewrite: bool = False
    ) -> SourceRevision | SourceFault:
        """Return what the files are now."""
        del accept_rewrite
        return await self.source.look(in_force)

    async def files(self, revision: SourceRevision) -> Revision:
        """Return the files as they were at the last look; raises revision-not-found for those of another."""
        with suppress(SwarmctlError):
            return self.source.revision(revision.identity)
        await self.source.look(None)
        return self.source.revision(revision.identity)

    def done_with(self, files: Revision) -> None:
        """Do nothing: they are in memory."""
        del files

    async def changes(self) -> AsyncGenerator[None, None]:
        """Yield once for each burst of changes."""
        async for _ in self.source.changes():
            yield
