"""The port of the replicated store, and what its implementations need of a transport.

Two implement it: ours (`node.py`, on `reconciler.consensus`) and one on PySyncObj. Both pass the same contract tests.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from reconciler.consensus.values import NodeId
from reconciler.model.commands import Command, Outcome
from reconciler.model.errors import ErrorCode
from reconciler.model.replication import Address, Batch, Member, Standing
from reconciler.model.tables import Tables
from reconciler.model.transactions import Expectation

Work: TypeAlias = Callable[[int], Awaitable[None]]
"""What a leader does, given its epoch. It is cancelled when leading ends, and awaited before another may lead."""


class ReplicatedStore(Protocol):
    """One member of a group that replicates Tables. All of it belongs to one event loop.

    Every method that needs the group raises SwarmctlError: `raft-no-leader` when none was found within the patience
    given at the start, `raft-outcome-unknown` when a proposal may or may not come into force, `raft-overloaded` when
    too much waits already, `raft-removed` on a node that is a member no more, `raft-stopped` after the end of `run`.
    """

    async def run(self) -> None:
        """Take part until cancelled, then hand leadership on and close the folder. Ends by itself when removed.

        Raises SwarmctlError when this node can't go on: raft-disk-failed, raft-inconsistent, raft-work-stuck, and what
        the transport raises. The process should then end. A disk that is full is waited for.
        """
        ...

    @property
    def tables(self) -> Tables:
        """What is applied here, to be read only and without an await in between; `tables.index` says up to where."""
        ...

    @property
    def standing(self) -> Standing:
        """Who leads, right now. Local."""
        ...

    def may_write(self, epoch: int) -> bool:
        """Whether this node leads in `epoch` and no other can: to be asked just before each effect outside."""
        ...

    async def propose(
        self, commands: Sequence[Command], *, epoch: int | None = None, expectations: Sequence[Expectation] = ()
    ) -> Outcome:
        """Carry out commands as one transaction, from any member; return when it is applied here.

        Proposals that wait at the same time share entries and syncs. A proposal is repeated after a change of leaders
        and takes effect at most once.
        """
        ...

    async def read_barrier(self) -> int:
        """Wait until all that was acknowledged anywhere before this call is in `tables`; return the index."""
        ...

    def watch(self, after: int) -> AsyncGenerator[Batch, None]:
        """What entries changed from index `after + 1` on, without a gap. Begin at `tables.index`.

        Raises SwarmctlError (raft-watch-behind) when `after` is no longer kept, or the reader is too slow: then read
        the tables anew. The iterator is to be closed.
        """
        ...

    async def lead(self, work: Work) -> None:
        """Run `work` whenever this node leads, until cancelled. Only one may be under way.

        What `work` raises is raised here, while this node leads on: its caller decides whether the node stops. A work
        that returns is not run again in the same epoch. One that goes on after its cancellation ends `run`.
        """
        ...

    def members(self) -> tuple[Member, ...]:
        """The members as of the newest entry here, by id."""
        ...

    async def add_member(self, member: NodeId, address: Address) -> None:
        """Let a new node in as a learner; it becomes a voter as soon as it has caught up. Only the leader does it.

        Raises SwarmctlError: raft-not-leader (naming who is), raft-change-refused with the reason.
        """
        ...

    async def remove_member(self, member: NodeId) -> None:
        """Take a member out, also a dead one. A leader that removes itself hands leadership on first."""
        ...

    async def hand_over(self, member: NodeId | None = None) -> None:
        """Let another voter lead: the given one, or the one that is furthest. Returns when this node leads no more."""
        ...


Received: TypeAlias = Callable[[NodeId, bytes], None]
"""Called with who sent a frame, as its certificate says, and its content. Never blocks, never raises."""


class Transport(Protocol):
    """Carries frames between members, each over mutual TLS.

    They may be lost; those that arrive from one node keep their order.
    """

    def send(self, to: NodeId, frame: bytes) -> bool:
        """Put a frame into the queue for a member; False when it was dropped: no connection, or the queue is full.

        Nothing is handed to `received` from inside this call.
        """
        ...

    def follow(self, members: Mapping[NodeId, Address]) -> None:
        """Who the other members are from now on: connections to all others are closed, and theirs refused."""
        ...

    def refused_by(self) -> Mapping[NodeId, ErrorCode]:
        """Which members refuse this node, and what they said when it dialled them last."""
        ...

    async def run(self, received: Received) -> None:
        """Listen, connect and carry until cancelled. Raises SwarmctlError when the address can't be had."""
        ...
