"""From a source to what it asks for: look, load, and keep what is in force loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog
from msgspec.structs import replace

from reconciler.controller.loop.owners import Owners
from reconciler.controller.loop.ports import Clock, Meters, Source
from reconciler.gitops.sources import load_fault, next_look, next_status
from reconciler.manifests.compilation import Compilation
from reconciler.manifests.inputs import LoadInputs
from reconciler.manifests.load import load_again
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.revision import Revision
from reconciler.model.sources import SourceFault, SourceRevision, SourceStatus

log = structlog.stdlib.get_logger(__name__)

_UNREADABLE = frozenset({ErrorCode.SOURCE_DAMAGED, ErrorCode.GIT_FAILED})
"""What reading files fails by though nothing is wrong with them: the next look mends it."""

Inputs = Callable[[Revision], LoadInputs]
"""What turning files into a DesiredState needs besides."""


STATES_KEPT: Final = 2
"""States of a source that stay loaded: of what is in force, and of what a look has just found."""


@dataclass(slots=True)
class Following:
    """One source, and what it asks for as far as this process has read it. `look_at` is when to look next."""

    source: Source
    inputs: Inputs
    clock: Clock
    meters: Meters
    looker: str = ""
    """What no other process has, so that no two ask a remote in step."""
    owners: Owners = field(default_factory=Owners)
    """Shared with the other sources of this controller."""
    look_at: datetime | None = None
    _compiled: Compilation | None = None
    _states: dict[str, DesiredState] = field(default_factory=dict)
    """{identity: what it asks for}, the latest last; `_compiled` is that of the last."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _refused: tuple[str, SourceFault] | None = None
    """What could not be loaded, and why: it is not loaded again as long as it is the same."""

    def is_due(self, now: datetime) -> bool:
        """Return whether it is time to look at the source again."""
        return self.look_at is None or now >= self.look_at

    async def look(self, status: SourceStatus, *, accept_rewrite: bool) -> SourceStatus:
        """Return where the source stands after one look. Whatever fails, what was in force stays so.

        What is in force is loaded before the remote is asked, where this process has not yet: another controller may
        have brought it into force, or this one has just started, and drift from it must not wait for a remote.
        """
        started = self.clock.monotonic_s()
        try:
            if status.in_force is not None:
                await self._loaded(status.in_force)
        finally:
            self.owners.restored(self.source.spec.name, self.desired(status))
        found = await self.source.look(status.in_force, accept_rewrite=accept_rewrite)
        if isinstance(found, SourceRevision):
            found = await self._admitted(found)
        outcome = found.code.value if isinstance(found, SourceFault) else "same" if found == status.in_force else "new"
        self.meters.fetched(self.source.spec.name, outcome, self.clock.monotonic_s() - started)
        now = self.clock.now()
        after = next_status(status, found, now)
        self.look_at = next_look(after, self.source.spec, now, self.looker)
        again_s = (self.look_at - now).total_seconds()
        log.debug("looked", source=self.source.spec.name, outcome=outcome, again_s=again_s)
        return after

    def desired(self, status: SourceStatus) -> DesiredState | None:
        """Return what the revision in force asks for; None before there is one, or while no look has loaded it here."""
        return self._states.get(status.in_force.identity) if status.in_force is not None else None

    def elsewhere(self) -> Mapping[tuple[Kind, str], str]:
        """Return what the other sources of this controller declare: {(kind, name): whose it is}."""
        return self.owners.elsewhere(self.source.spec.name)

    async def desired_here(self, status: SourceStatus) -> DesiredState | None:
        """Return the same, loaded now if need be: for a controller that does not lead, and looks at nothing."""
        if status.in_force is not None:
            await self._loaded(status.in_force)
        return self.desired(status)

    async def at(self, commit: str) -> DesiredState:
        """Return what an earlier commit asked for. Raises SwarmctlError when it can't be read, or never was right."""
        earlier = SourceRevision(commit, "", "", "", "", datetime.fromtimestamp(0, UTC))
        async with self._turn:
            files = await self.source.files(earlier)
            try:
                return (await asyncio.to_thread(load_again, files, self.inputs(files), None)).state
            finally:
                self.source.done_with(files)

    async def _admitted(self, revision: SourceRevision) -> SourceRevision | SourceFault:
        """Return `revision` once it is loaded and speaks for no other source's cluster, or why it can't be in force."""
        found = await self._loaded(revision)
        if isinstance(found, SourceFault):
            return found
        desired = self._states[revision.identity]
        other = await self.owners.claim(self.source.spec.name, desired)
        if not other:
            return found
        return SourceFault(
            ErrorCode.DUPLICATE_OBJECT,
            f"{desired.cluster} is the cluster of source {other} already.",
            "Of two repositories with one metadata.name each would remove what the other declares.",
            "Give this one a metadata.name of its own in swarm.yaml.",
            revision.commit,
        )

    async def _loaded(self, revision: SourceRevision) -> SourceRevision | SourceFault:
        """Return `revision` once it is loaded, or why it can't be."""
        if revision.identity in self._states:
            return revision
        if self._refused is not None and self._refused[0] == revision.identity:
            return replace(self._refused[1], commit=revision.commit)
        async with self._turn:
            try:
                files = await self.source.files(revision)
            except SwarmctlError as error:
                return replace(load_fault(error, revision.commit), passing=True)
            try:
                # On a thread: a thousand services take seconds, and the group must hear from us meanwhile.
                compiled = await asyncio.to_thread(load_again, files, self.inputs(files), self._compiled)
            except SwarmctlError as error:
                fault = load_fault(error, revision.commit)
                if any(problem.code in _UNREADABLE for problem in error.problems):
                    return replace(fault, passing=True)
                self._refused = (revision.identity, fault)
                return fault
            finally:
                self.source.done_with(files)
        kept = list(self._states.items())[-(STATES_KEPT - 1) :]
        self._compiled, self._states = compiled, {**dict(kept), revision.identity: compiled.state}
        return revision
