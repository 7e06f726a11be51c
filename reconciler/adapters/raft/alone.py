"""The transport of a group of one: nobody to talk to, and nothing listens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from reconciler.adapters.raft.ports import Received
from reconciler.consensus.values import NodeId
from reconciler.model.errors import ErrorCode
from reconciler.model.replication import Address


class NoTransport:
    """Satisfies adapters.raft.ports.Transport. A member that was in a larger group hears from none of it."""

    def send(self, to: NodeId, frame: bytes) -> bool:
        """Drop a frame."""
        del to, frame
        return False

    def follow(self, members: Mapping[NodeId, Address]) -> None:
        """Do nothing: there is no way to anybody."""
        del members

    def refused_by(self) -> Mapping[NodeId, ErrorCode]:
        """Return nobody: no one was dialled."""
        return {}

    async def run(self, received: Received) -> None:
        """Wait until cancelled."""
        del received
        await asyncio.Event().wait()
