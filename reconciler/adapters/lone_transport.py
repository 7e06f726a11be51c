"""The transport of a member that is alone: there is nobody to carry anything to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from reconciler.adapters.raft.ports import Received
from reconciler.consensus.values import NodeId
from reconciler.model.errors import ErrorCode
from reconciler.model.replication import Address


class LoneTransport:
    """Implements raft.ports.Transport for a group of one."""

    def send(self, to: NodeId, frame: bytes) -> bool:  # noqa: ARG002
        """Drop everything."""
        return False

    def follow(self, members: Mapping[NodeId, Address]) -> None:
        """Nobody is there to be followed."""

    def refused_by(self) -> Mapping[NodeId, ErrorCode]:
        """Nobody is there who could refuse."""
        return {}

    async def run(self, received: Received) -> None:  # noqa: ARG002
        """Do nothing until cancelled."""
        await asyncio.Event().wait()
