"""The embedded swarm's manager: proposes commands, leads while the store says so, drives the agents of this host.

Its state is the replicated store's. All of it runs in one event loop and one TaskGroup.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from reconciler.manager.chronicle import Chronicle
from reconciler.manager.hosting import Hosting
from reconciler.manager.leading import Leader
from reconciler.manager.ports import AgentFactory, Clock, IdSource, Ingress, Store
from reconciler.manager.reports import Reports
from reconciler.manager.subscribers import Subscribers
from reconciler.model.commands import Command, Outcome
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.output import LogLine
from reconciler.model.replication import Batch
from reconciler.model.tables import Tables


class SwarmParts(msgspec.Struct, frozen=True):
    """What the manager is built from."""

    clock: Clock
    ids: IdSource
    ingress: Ingress
    new_agent: AgentFactory


class EmbeddedSwarm:
    """A manager on a store that somebody else runs. `run` must be running for anything to come of proposals."""

    def __init__(self, store: Store, parts: SwarmParts) -> None:
        self._store = store
        self.clock = parts.clock
        self.ids = parts.ids
        self.subscribers = Subscribers(lambda: self.tables.index)
        self._ended = False
        self._chronicle = Chronicle()
        self._seen = store.tables.index
        self._leader = Leader(store, parts.clock, parts.ids)
        self._reports = Reports(store, parts.clock)
        self._hosting = Hosting(lambda: self.tables, parts.clock, parts.ingress, parts.new_agent, self._reports.add)

    @property
    def tables(self) -> Tables:
        """The replicated tables, to be read only."""
        return self._store.tables

    def pass_over_the_past(self) -> None:
        """Tell nobody of what the log holds already. For a swarm that goes on, whose `run` has not begun."""
        self._seen = self.tables.index
        self._chronicle.take_in(self.tables)

    async def propose(self, *commands: Command) -> Outcome:
        """Put commands into the log, as one transaction, and return what came of it, once it is applied.

        Raises SwarmctlError when the swarm has ended, when the store can't take it now (raft-...), and for what can't
        be written into a log.
        """
        if self._ended:
            raise SwarmctlError(
                ErrorCode.EMBEDDED_NOT_RUNNING,
                "The embedded swarm is not running.",
                why="It was stopped, or has failed.",
                hint="Start another one with `swarmctl up`.",
            )
        return await self._store.propose(commands)

    async def task_output(self, task_id: str, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        """Return the last lines that a task printed; empty when it was never placed, or not on this host."""
        agent = self._hosting.agent_of(self.tables.tasks[task_id].node_id)
        return await agent.task_output(task_id, tail_lines, since_ns) if agent else ()

    async def run(self) -> None:
        """Serve until cancelled. If any part fails, all of it ends: no task is left running."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._store.lead(self._leader.work), name="leader")
                group.create_task(self._reports.run(), name="reports")
                group.create_task(self._hosting.run(), name="hosting")
                group.create_task(self._tell_changes(), name="changes")
        finally:
            self.close()

    def let_go(self) -> None:
        """At the end leave the tasks running, for a successor to take over."""
        self._hosting.let_go()

    def close(self) -> None:
        """Take no more commands and tell the subscribers. For a swarm whose `run` was never begun or has ended."""
        self._ended = True
        self.subscribers.close()

    async def _tell_changes(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._store.watch(self._seen)) as batches:
                    async for batch in batches:
                        self._tell(batch)
            except SwarmctlError as error:
                if error.code is not ErrorCode.RAFT_WATCH_BEHIND:
                    raise
                # Events only wake a reader, which reads everything anew: those in between are not missed.
                self.subscribers.lose_all("More has changed at once than is remembered.")
                self._seen = self.tables.index
                self._hosting.changed()

    def _tell(self, batch: Batch) -> None:
        self._seen = batch.index
        self._hosting.changed(batch.changes)
        at = self.clock.now().timestamp()
        for event in batch.events:
            attributes = self._chronicle.attributes(event, self.tables)
            told = ClusterEvent(str(event.kind), event.action, event.object_id, event.name, at, attributes)
            self.subscribers.publish(told, batch.index)
