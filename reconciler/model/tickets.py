"""What lets a machine into the swarm, and who was given it."""

from __future__ import annotations

import shlex
from datetime import datetime

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.model.objects import NodeRole


class JoinTicket(Discreet, frozen=True):
    """A join token, and where managers that answer listen ("10.0.0.1:2377"), the leader first; never empty."""

    UNSHOWN = frozenset({"token"})

    role: NodeRole
    token: str
    addresses: tuple[str, ...]

    @property
    def command(self) -> str:
        """What to run on the machine that is to join. It has the token in it."""
        return shlex.join(["docker", "swarm", "join", "--token", self.token, self.addresses[0]])


class TicketIssue(msgspec.Struct, frozen=True):
    """That a ticket was given out, which has no token in it: `by` asked for it, for a machine called `hostname`."""

    at: datetime
    role: NodeRole
    hostname: str
    by: str
