"""A controller that remembers what it was asked, for tests of its API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.gitops.overview import ControllerEvent, EventKind, Health, Member, Overview, Trace
from reconciler.gitops.results import HistoryEntry
from reconciler.gitops.state import LoopState, Suspension
from reconciler.gitops.webhooks import Answer, Deliveries, Forge, Receiver, WebhookRequest, receive
from reconciler.model.errors import SwarmctlError
from reconciler.model.objects import NodeRole
from reconciler.model.replication import Backup
from reconciler.model.tickets import JoinTicket, TicketIssue
from tests.unit.gitops.story import START

WEBHOOK_SECRET = "webhook-secret-7f3a"
JOIN_TOKEN = "SWMTKN-1-5c1e-9f2a"


@dataclass
class FakeController:
    """`failure` is raised by whatever waits; `hold` makes it wait first."""

    state: LoopState
    asked: list[object] = field(default_factory=list)
    counted: list[tuple[str, str, int]] = field(default_factory=list)
    failure: Exception | None = None
    hold: asyncio.Event | None = None
    told_health: Health = field(default_factory=Health)
    backup_bytes: int = len(b"all of the state")
    deliveries: Deliveries = field(default_factory=Deliveries)

    async def _ask(self, what: object) -> None:
        self.asked.append(what)
        if self.hold is not None:
            await self.hold.wait()
        if self.failure is not None:
            raise self.failure

    def health(self) -> Health:
        return self.told_health

    def overview(self) -> Overview:
        if isinstance(self.failure, SwarmctlError):
            raise self.failure
        members = (Member("one", "https://one:7980", leads=True), Member("two"))
        return Overview("prod", "one", "one", 7, members, {"infra": self.state}, START)

    async def history(self, scope: str | None, limit: int) -> Sequence[HistoryEntry]:
        await self._ask(("history", scope, limit))
        return [HistoryEntry(START, "c" * 40, "Ada", "web: 1.9.0", ("", "web"), 3, {"web": "It failed."})]

    async def events(self, scope: str | None, after: int, limit: int) -> Sequence[ControllerEvent]:
        await self._ask(("events", scope, after, limit))
        return [ControllerEvent(5, START, EventKind.APPLY, "web was applied.", "infra", "web", "c" * 40)]

    async def trace(self, name: str) -> Trace:
        await self._ask(("trace", name))
        return Trace(
            "web_api", "t1", "running", "node1", "web", "infra", "stacks/web.yaml", 4, "c" * 40, "Ada", "s", START
        )

    async def sync(self, scopes: frozenset[str], by: str) -> None:
        await self._ask(("sync", scopes, by))

    async def suspend(self, suspension: Suspension) -> None:
        await self._ask(suspension)

    async def resume(self, scope: str, by: str) -> None:
        await self._ask(("resume", scope, by))

    async def rollback(self, scope: str, commit: str, by: str) -> str:
        await self._ask(("rollback", scope, commit, by))
        return commit or "d" * 40

    async def tickets(self, limit: int) -> Sequence[TicketIssue]:
        return [TicketIssue(START, NodeRole.WORKER, "node4", "ada")][:limit]

    async def issue_ticket(self, role: NodeRole, hostname: str, by: str) -> JoinTicket:
        await self._ask(("issue", role, hostname, by))
        return JoinTicket(role, JOIN_TOKEN, ("10.0.0.1:2377", "10.0.0.2:2377"))

    async def rotate_token(self, role: NodeRole, by: str) -> None:
        await self._ask(("rotate", role, by))

    @asynccontextmanager
    async def backup(self, by: str) -> AsyncIterator[Backup]:
        await self._ask(("backup", by))
        pieces = [b"all of ", b"the state", b""]

        async def read() -> bytes:
            return pieces.pop(0)

        yield Backup(7, self.backup_bytes, read)

    async def webhook(self, request: WebhookRequest) -> Answer:
        await self._ask("webhook")
        answer, self.deliveries = receive(request, [Receiver(Forge.GITHUB, WEBHOOK_SECRET)], self.deliveries, START)
        return answer

    def metrics(self, accept: str) -> tuple[bytes, str]:
        return b"swarmctl_leader 1\n", "text/plain; version=0.0.4; charset=utf-8"

    def now(self) -> datetime:
        return START

    def answered(self, method: str, route: str, status: int) -> None:
        self.counted.append((method, route, status))
