"""What the API asks of the running controller."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from reconciler.gitops.overview import ControllerEvent, Health, Overview, Trace
from reconciler.gitops.results import HistoryEntry
from reconciler.gitops.state import Suspension
from reconciler.gitops.webhooks import Answer, WebhookRequest
from reconciler.model.objects import NodeRole
from reconciler.model.replication import Backup
from reconciler.model.tickets import JoinTicket, TicketIssue


class Controller(Protocol):
    """A member of the group. Reading works on each of them; what is asked for must reach the leader.

    All methods may raise SwarmctlError: raft-no-leader where nobody could do it, object-not-found for a stack,
    service or commit that there is not, and the replicated store's own codes, `passing` where it helps to ask again.
    """

    def health(self) -> Health:
        """Return how it is, from memory, without waiting."""
        ...

    def overview(self) -> Overview:
        """Return where everything stands, from memory, without waiting."""
        ...

    async def history(self, scope: str | None, limit: int) -> Sequence[HistoryEntry]:
        """Return the newest applies first, of one stack or of all."""
        ...

    async def events(self, scope: str | None, after: int, limit: int) -> Sequence[ControllerEvent]:
        """Return the newest events, oldest of them first, of numbers greater than `after`."""
        ...

    async def trace(self, name: str) -> Trace:
        """Return where a task (id, or the beginning of one) or a service (name or id) comes from."""
        ...

    async def sync(self, scopes: frozenset[str], by: str) -> None:
        """Look at the sources and bring these scopes ("*": all) to what Git asks for now. Does not wait for that."""
        ...

    async def suspend(self, suspension: Suspension) -> None:
        """Write nothing of a scope until it is resumed, or until its time."""
        ...

    async def resume(self, scope: str, by: str) -> None:
        """End a suspension."""
        ...

    async def rollback(self, scope: str, commit: str, by: str) -> str:
        """Put a stack back to what an earlier commit asked for, the last good one for "", and suspend it.

        Returns the commit. Git goes on asking for another one, so it stays suspended until somebody resumes it.
        """
        ...

    async def tickets(self, limit: int) -> Sequence[TicketIssue]:
        """Return who was given join commands, newest first."""
        ...

    async def issue_ticket(self, role: NodeRole, hostname: str, by: str) -> JoinTicket:
        """Return what a machine joins with, once it is written down who gets it."""
        ...

    async def rotate_token(self, role: NodeRole, by: str) -> None:
        """Have the leader make the join token of a role anew. Does not wait for that."""
        ...

    def backup(self, by: str) -> AbstractAsyncContextManager[Backup]:
        """Offer a copy of all that this member has applied of the group's state, for an `async with`."""
        ...

    async def webhook(self, request: WebhookRequest) -> Answer:
        """Check a webhook and wake what it is about."""
        ...

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return (text, content type) for Prometheus."""
        ...

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        ...

    def answered(self, method: str, route: str, status: int) -> None:
        """Count a request."""
        ...
