"""The embedded swarm's only manager, for now: applies commands, runs the brain, drives the agents.

Its state lives in memory and is gone when it stops. All of it runs in one event loop and one TaskGroup; the tables
have one writer, which encodes each command as an entry of a log and applies that: a replicated log can come between.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.manager.dispatcher import assignments_by_node, routes
from reconciler.manager.ports import AgentFactory, Clock, IdSource, Ingress, NodeAgent
from reconciler.manager.subscribers import Subscribers
from reconciler.model.assignments import Assignment, Route, RouteProblem, TaskReport
from reconciler.model.commands import Applied, Command, Outcome, ReportTask
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.tables import Tables, TaskStatus
from reconciler.model.tasks import TaskState
from reconciler.model.transactions import Transaction
from reconciler.orchestration.brain import Brain
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.machine import State, apply

PASSES_MAX = 200
"""Passes of the brain in a row before others get a turn; a healthy swarm needs a handful."""

INGRESS_RETRY = timedelta(seconds=5)
"""How long after a published port could not be had it is tried again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SwarmParts:
    """What the manager is built from."""

    clock: Clock
    ids: IdSource
    ingress: Ingress
    new_agent: AgentFactory


def _storable(text: str) -> str:
    """Return `text` with "?" for what is no Unicode, as in the name of a file: a log holds nothing else."""
    return text.encode("utf-8", "replace").decode()


class EmbeddedSwarm:
    """Owns the tables. `run` must be running for anything to happen after `propose`."""

    def __init__(self, parts: SwarmParts) -> None:
        self._state = State()
        self._brain = Brain(self._state.tables)
        self._client = f"manager/{parts.ids.new_id()}"
        self._sequence = 0
        self.subscribers = Subscribers()
        self.clock = parts.clock
        self.ids = parts.ids
        self._parts = parts
        self._changed = asyncio.Event()
        self._ended = False
        self._agents: dict[str, NodeAgent] = {}
        self._agent_tasks: dict[str, asyncio.Task[None]] = {}
        self._handed_out: dict[str, Assignment] = {}
        self._routes: tuple[Route, ...] = ()
        self._route_problems: tuple[RouteProblem, ...] = ()
        self._told: dict[tuple[str, int], bool] = {}

    @property
    def tables(self) -> Tables:
        """The replicated tables, to be read only."""
        return self._state.tables

    async def propose(self, command: Command) -> Outcome:
        """Put one command into the log and return what came of it, once it is applied.

        Raises SwarmctlError when the swarm has ended, and for what can't be written into a log.
        """
        if self._ended:
            raise SwarmctlError(
                ErrorCode.EMBEDDED_NOT_RUNNING,
                "The embedded swarm is not running.",
                why="It was stopped, or has failed.",
                hint="Start another one with `swarmctl up`.",
            )
        return self._commit(command)

    def _commit(self, command: Command) -> Outcome:
        """Apply one command as every manager would: from the bytes of an entry."""
        self._sequence += 1
        encoded = encode_transaction(Transaction(self._client, self._sequence, (command,)))
        result = apply(self._state, self._state.index + 1, encode_entry([encoded]))
        self._brain.note(result.changes)
        outcome = result.outcomes[0]
        if isinstance(outcome, Applied):
            self._changed.set()
        at = command.at.timestamp()
        for event in result.events:
            self.subscribers.publish(ClusterEvent(str(event.kind), event.action, event.object_id, event.name, at))
        return outcome

    async def report(self, report: TaskReport) -> None:
        """Take in what an agent saw. What is stale is dropped."""
        status = TaskStatus(
            state=report.state,
            message=_storable(report.message),
            err=_storable(report.err),
            timestamp=report.at,
            pid=report.pid,
            exit_code=report.exit_code,
            address=report.address,
        )
        self._commit(ReportTask(at=self.clock.now(), task_id=report.task_id, node_id=report.node_id, status=status))

    async def task_log(self, task_id: str, tail_lines: int) -> tuple[str, ...]:
        """Return the last lines that a task printed; empty when it was never placed."""
        agent = self._agents.get(self.tables.tasks[task_id].node_id)
        return await agent.task_log(task_id, tail_lines) if agent else ()

    async def run(self) -> None:
        """Serve until cancelled. If any part fails, all of it ends: no task is left running."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._orchestrate(group)
        finally:
            self.close()

    def close(self) -> None:
        """Take no more commands and tell the subscribers. For a swarm whose `run` was never begun or has ended."""
        self._ended = True
        self.subscribers.close()

    async def _orchestrate(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._changed.clear()
            wake_at = self._think()
            self._keep_agents(group)
            self._dispatch()
            wake_at = await self._publish_ports(wake_at)
            await self._sleep(wake_at)

    def _think(self) -> datetime | None:
        """Run the brain until it is quiet; return when it wants to run again."""
        for _ in range(PASSES_MAX):
            now = self.clock.now()
            decision = self._brain.decide(now, self.ids.new_id)
            outcomes = [self._commit(command) for command in decision.commands]
            if not any(isinstance(outcome, Applied) for outcome in outcomes):
                return decision.wake_at
        _log.error("The orchestrator did not come to rest in %d passes; going on.", PASSES_MAX)
        return self.clock.now() + timedelta(seconds=1)

    def _keep_agents(self, group: asyncio.TaskGroup) -> None:
        for node_id in self.tables.nodes:
            if node_id not in self._agents:
                agent = self._parts.new_agent(node_id, self.report)
                self._agents[node_id] = agent
                self._agent_tasks[node_id] = group.create_task(agent.run(), name=f"agent {node_id}")
        for node_id in [node_id for node_id in self._agents if node_id not in self.tables.nodes]:
            self._agent_tasks.pop(node_id).cancel()
            del self._agents[node_id]

    def _dispatch(self) -> None:
        sets = assignments_by_node(self.tables, self._handed_out)
        self._handed_out = {}
        for node_id, assignments in sets.items():
            self._handed_out.update(assignments.wanted)
            self._agents[node_id].assign(assignments)

    async def _publish_ports(self, wake_at: datetime | None) -> datetime | None:
        """Let the ingress follow the services; return when to look again at the latest."""
        wanted = routes(self.tables)
        if wanted != self._routes or self._route_problems:
            self._routes = wanted
            self._route_problems = await self._parts.ingress.follow(wanted)
        self._tell_problems()
        if not self._route_problems:
            return wake_at
        retry_at = self.clock.now() + INGRESS_RETRY
        return retry_at if wake_at is None else min(wake_at, retry_at)

    def _tell_problems(self) -> None:
        """Write into the output of each running task, once, which published port does not lead to it."""
        told: dict[tuple[str, int], bool] = {}
        for problem in self._route_problems:
            for task in self.tables.tasks.values():
                if task.service_id != problem.service_id or task.state is not TaskState.RUNNING:
                    continue
                key = (task.id, problem.published_port)
                told[key] = True
                agent = self._agents.get(task.node_id)
                if key not in self._told and agent is not None:
                    port, reason = problem.published_port, problem.reason
                    agent.annotate(task.id, f"swarmctl: published port {port} is not served on this host: {reason}")
        self._told = told

    async def _sleep(self, wake_at: datetime | None) -> None:
        """Wait for a change, or until `wake_at`."""
        if wake_at is None:
            await self._changed.wait()
            return
        delay_s = max((wake_at - self.clock.now()).total_seconds(), 0.0)
        try:
            async with asyncio.timeout(delay_s):
                await self._changed.wait()
        except TimeoutError:
            return
