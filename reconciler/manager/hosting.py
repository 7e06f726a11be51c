"""What this host does for the swarm: runs the agents of its nodes, and serves the published ports."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from reconciler.manager.dispatcher import Dispatcher, routes
from reconciler.manager.ports import AgentFactory, Clock, Ingress, NodeAgent, ReportSink
from reconciler.model.assignments import Route, RouteProblem
from reconciler.model.changes import Change
from reconciler.model.tables import Tables
from reconciler.model.tasks import TaskState

INGRESS_RETRY = timedelta(seconds=5)
"""How long after a published port could not be had it is tried again."""


class Hosting:
    """Follows the tables. `changed` tells it that there is something new in them."""

    def __init__(
        self, tables: Callable[[], Tables], clock: Clock, ingress: Ingress, new_agent: AgentFactory, report: ReportSink
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._ingress = ingress
        self._new_agent = new_agent
        self._report = report
        self._news = asyncio.Event()
        self._agents: dict[str, NodeAgent] = {}
        self._agent_tasks: dict[str, asyncio.Task[None]] = {}
        self._dispatcher = Dispatcher()
        self._routes: tuple[Route, ...] = ()
        self._route_problems: tuple[RouteProblem, ...] = ()
        self._told: dict[tuple[str, str, int], bool] = {}

    def changed(self, changes: Iterable[Change] | None = None) -> None:
        """Look soon at what entries of the log have changed; None: at everything."""
        if changes is None:
            self._dispatcher.look_everywhere()
        else:
            self._dispatcher.note(self._tables(), changes)
        self._news.set()

    def agent_of(self, node_id: str) -> NodeAgent | None:
        """Return the agent of a node, None when it is not on this host."""
        return self._agents.get(node_id)

    def let_go(self) -> None:
        """At the end leave all tasks running."""
        for agent in self._agents.values():
            agent.let_go()

    async def run(self) -> None:
        """Serve until cancelled; if any agent fails, all of it ends."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                self._keep_agents(group)
                self._dispatch()
                await self._sleep(await self._publish_ports())

    def _keep_agents(self, group: asyncio.TaskGroup) -> None:
        nodes = self._tables().nodes
        for node_id in nodes:
            if node_id not in self._agents:
                agent = self._new_agent(node_id, self._report)
                self._agents[node_id] = agent
                self._agent_tasks[node_id] = group.create_task(agent.run(), name=f"agent {node_id}")
        for node_id in [node_id for node_id in self._agents if node_id not in nodes]:
            self._agent_tasks.pop(node_id).cancel()
            del self._agents[node_id]

    def _dispatch(self) -> None:
        for node_id, assignments in self._dispatcher.take(self._tables()).items():
            self._agents[node_id].assign(assignments)

    async def _publish_ports(self) -> datetime | None:
        """Let the ingress follow the services; return when to look again at the latest."""
        wanted = routes(self._tables())
        if wanted != self._routes or self._route_problems:
            self._routes = wanted
            self._route_problems = await self._ingress.follow(wanted)
        self._tell_problems()
        return self._clock.now() + INGRESS_RETRY if self._route_problems else None

    def _tell_problems(self) -> None:
        """Write into the output of each running task, once, which published port does not lead to it."""
        told: dict[tuple[str, str, int], bool] = {}
        for problem in self._route_problems:
            for task in self._tables().tasks.values():
                if task.service_id != problem.service_id or task.state is not TaskState.RUNNING:
                    continue
                key = (task.id, problem.protocol, problem.published_port)
                told[key] = True
                agent = self._agents.get(task.node_id)
                if key not in self._told and agent is not None:
                    port, reason = problem.published_port, problem.reason
                    agent.annotate(task.id, f"swarmctl: published port {port} is not served on this host: {reason}")
        self._told = told

    async def _sleep(self, wake_at: datetime | None) -> None:
        """Wait for a change, or until `wake_at`."""
        if wake_at is None:
            await self._news.wait()
            return
        delay_s = max((wake_at - self._clock.now()).total_seconds(), 0.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._news.wait()
