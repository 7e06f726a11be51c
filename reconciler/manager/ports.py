"""What a manager needs from outside: a replicated store, a clock, ids, agents, an ingress."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from reconciler.model.assignments import AssignmentSet, Route, RouteProblem, TaskReport
from reconciler.model.commands import Command, Outcome
from reconciler.model.output import LogLine
from reconciler.model.replication import Batch
from reconciler.model.tables import Tables


class Store(Protocol):
    """The replicated store, as much of it as a manager uses. Its methods raise SwarmctlError (raft-...)."""

    @property
    def tables(self) -> Tables:
        """What is applied here, to be read only and without an await in between."""
        ...

    async def propose(self, commands: Sequence[Command], *, epoch: int | None = None) -> Outcome:
        """Carry out commands as one transaction; return when it is applied here, and as durable as the store is."""
        ...

    def watch(self, after: int) -> AsyncGenerator[Batch, None]:
        """What entries changed from index `after + 1` on, without a gap; raises raft-watch-behind."""
        ...

    async def lead(self, work: Callable[[int], Awaitable[None]]) -> None:
        """Run `work` with the epoch whenever this node leads, until cancelled."""
        ...


class Clock(Protocol):
    def now(self) -> datetime:
        """Return this moment, aware UTC."""
        ...


class IdSource(Protocol):
    def new_id(self) -> str:
        """Return an id that nobody has: 25 characters of base 36."""
        ...

    def new_join_token(self) -> str:
        """Return an unguessable join token."""
        ...


class NodeAgent(Protocol):
    """The agent of one node, as its manager sees it."""

    async def run(self) -> None:
        """Serve until cancelled; then no task of this node is left running, unless it was told to let go of them."""
        ...

    def let_go(self) -> None:
        """At the end leave the tasks running, for a successor to take over."""
        ...

    def assign(self, assignments: AssignmentSet) -> None:
        """Take over what the node shall run from now on. Returns at once."""
        ...

    async def task_output(self, task_id: str, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        """Return the last lines of a task's output that are younger than `since_ns`, oldest first."""
        ...

    def annotate(self, task_id: str, line: str) -> None:
        """Add a line of the swarm's own to a task's output."""
        ...


ReportSink: TypeAlias = Callable[[TaskReport], Awaitable[None]]

AgentFactory: TypeAlias = Callable[[str, ReportSink], NodeAgent]
"""Makes the agent of the node with that id, which sends its reports to the sink."""


class Ingress(Protocol):
    """Serves published ports on this host."""

    async def follow(self, routes: tuple[Route, ...]) -> tuple[RouteProblem, ...]:
        """Serve exactly `routes` from now on; return those whose port can't be had."""
        ...
