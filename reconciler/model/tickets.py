"""What lets a machine into the swarm, and who was given it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.model.objects import NodeRole


@dataclass(frozen=True, slots=True)
class JoinTicket:
    """A join token, and where managers that answer listen ("10.0.0.1:2377"), the leader first; never empty."""

    role: NodeRole
    token: str = field(repr=False)
    addresses: tuple[str, ...]

    @property
    def command(self) -> str:
        """What to run on the machine that is to join. It has the token in it."""
        return shlex.join(["docker", "swarm", "join", "--token", self.token, self.addresses[0]])


@dataclass(frozen=True, slots=True)
class TicketIssue:
    """That a ticket was given out, which has no token in it: `by` asked for it, for a machine called `hostname`."""

    at: datetime
    role: NodeRole
    hostname: str
    by: str
