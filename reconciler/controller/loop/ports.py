"""What the loop needs from outside: sources, the replicated store, people to tell, meters, a clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from reconciler.controller.ports import Cluster
from reconciler.gitops.commit_status import Posted
from reconciler.gitops.outbox import Pending
from reconciler.model.commands import Command, Outcome
from reconciler.model.forges import CommitStatus
from reconciler.model.progress import ApplyResult
from reconciler.model.replication import Address, Backup, Batch, Member, Standing
from reconciler.model.revision import Revision
from reconciler.model.sources import SourceFault, SourceRevision, SourceSpec
from reconciler.model.tables import Tables

Connect = Callable[[], Awaitable[Cluster]]
"""Opens a cluster. Raises SwarmctlError: engine-unreachable and what else an endpoint may refuse by."""


class Source(Protocol):
    """Something that is followed: a Git repository, or a work tree of this machine.

    Looks come one after another, and so do calls of `files`; these must not wait for a look that hangs.
    """

    @property
    def spec(self) -> SourceSpec:
        """What is followed."""
        ...

    async def look(
        self, in_force: SourceRevision | None, *, accept_rewrite: bool = False
    ) -> SourceRevision | SourceFault:
        """Return what there is now, fetched and verified, or why there is nothing newer."""
        ...

    async def files(self, revision: SourceRevision) -> Revision:
        """Return the files of a revision that was in force before, fetched if need be. Close them with `done_with`.

        Raises SwarmctlError when they can't be had here.
        """
        ...

    def done_with(self, files: Revision) -> None:
        """Let go of files."""
        ...

    def changes(self) -> AsyncGenerator[None, None]:
        """Yield once for each burst of changes that this machine tells of by itself; end at once where it can't.

        Raises SwarmctlError when there is nothing to watch yet.
        """
        ...


class Store(Protocol):
    """This controller's member of the replicated store: `adapters.raft.ports.ReplicatedStore` has more of it."""

    @property
    def tables(self) -> Tables:
        """What is applied here, to be read only and without an await in between."""
        ...

    @property
    def standing(self) -> Standing:
        """Who leads, as far as this member knows."""
        ...

    def may_write(self, epoch: int) -> bool:
        """Whether this member leads in `epoch` and no other can: asked just before each effect outside."""
        ...

    async def propose(self, commands: Sequence[Command], *, epoch: int | None = None) -> Outcome:
        """Carry out commands as one transaction. Raises SwarmctlError: raft-no-leader, raft-outcome-unknown, …"""
        ...

    async def read_barrier(self) -> int:
        """Wait until all that was acknowledged anywhere before is in `tables`."""
        ...

    def watch(self, after: int) -> AsyncGenerator[Batch, None]:
        """What entries changed from index `after + 1` on, without a gap. Raises SwarmctlError: raft-watch-behind."""
        ...

    def members(self) -> tuple[Member, ...]:
        """The members, by id."""
        ...

    def backup(self) -> AbstractAsyncContextManager[Backup]:
        """Offer a copy of all that is applied here."""
        ...

    async def add_member(self, member: str, address: Address) -> None:
        """Let a new member in. Raises SwarmctlError: raft-not-leader, raft-change-refused."""
        ...

    async def remove_member(self, member: str) -> None:
        """Take a member out, also a dead one."""
        ...

    async def hand_over(self, member: str | None = None) -> None:
        """Let another member lead."""
        ...


class Teller(Protocol):
    """Sends alerts. `offer` never waits and never raises; what was taken before is passed over."""

    def offer(self, waiting: Iterable[Pending]) -> None:
        """Take alerts of the outbox."""
        ...


Telling = Callable[[Callable[[str, str], None]], AbstractAsyncContextManager[Teller]]
"""Opens a Teller, which tells (alert id, sink name) once a sink has an alert or never will."""


class ForgeTeller(Protocol):
    """Posts statuses of commits. `offer` never waits and never raises; what was posted before is passed over."""

    def offer(self, source: str, wanted: Sequence[CommitStatus], posted: Posted) -> None:
        """Take what the commits of a source should say now."""
        ...


ForgeTelling = Callable[[Callable[[str, CommitStatus], None]], AbstractAsyncContextManager[ForgeTeller]]
"""Opens a ForgeTeller, which tells (source, status) once a forge has a status or never will."""


class Meters(Protocol):
    """Counts what happens. No method waits or raises."""

    def passed(self, outcome: str, seconds: float) -> None:
        """Count a pass."""
        ...

    def applied(self, result: ApplyResult, seconds: float) -> None:
        """Count an apply's actions."""
        ...

    def fetched(self, source: str, outcome: str, seconds: float) -> None:
        """Count a look at a source; `outcome` is "new", "same" or an error's code."""
        ...

    def began_to_lead(self) -> None:
        """Count that this controller leads from now on."""
        ...


class Clock(Protocol):
    """This machine's clocks."""

    def now(self) -> datetime:
        """Return this moment, aware UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards."""
        ...
