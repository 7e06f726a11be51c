"""A network between members in one process: it delivers what is sent, unless a test cuts it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from reconciler.adapters.raft.ports import Received
from reconciler.model.errors import ErrorCode
from reconciler.model.replication import Address


class Crashed(Exception):
    """What ends a member that a test kills: no farewell, no hand-over."""


class MemberNetwork:
    """Who can reach whom. A frame arrives one turn of the event loop after it was sent, or never."""

    def __init__(self) -> None:
        self.ends: dict[str, MemberEnd] = {}
        self.cut: set[frozenset[str]] = set()
        self.frames = 0

    def end(self, name: str) -> MemberEnd:
        """A new end for a member, in the place of one that it had in an earlier life."""
        self.ends[name] = MemberEnd(self, name)
        return self.ends[name]

    def part(self, name: str) -> None:
        """Let nothing through to or from a member."""
        self.cut |= {frozenset((name, other)) for other in self.ends if other != name}

    def heal(self) -> None:
        self.cut.clear()


class MemberEnd:
    """A Transport of one member."""

    def __init__(self, network: MemberNetwork, name: str) -> None:
        self.network = network
        self.name = name
        self.followed: dict[str, Address] = {}
        self._received: Received | None = None
        self._crash: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, to: str, frame: bytes) -> bool:
        network = self.network
        if to not in self.followed or to not in network.ends or frozenset((self.name, to)) in network.cut:
            return False
        network.frames += 1
        asyncio.get_running_loop().call_soon(network.ends[to].deliver, self.name, frame)
        return True

    def follow(self, members: Mapping[str, Address]) -> None:
        self.followed = dict(members)

    def refused_by(self) -> Mapping[str, ErrorCode]:
        """Nobody is refused here: it is the others' transport that doesn't answer."""
        return {}

    async def run(self, received: Received) -> None:
        self._received = received
        try:
            await self._crash
        finally:
            self._received = None

    def crash(self) -> None:
        """Lose everything at once, as when the process is killed."""
        self.network.ends.pop(self.name, None)
        if not self._crash.done():
            self._crash.set_exception(Crashed())

    def deliver(self, sender: str, frame: bytes) -> None:
        if self._received is not None and sender in self.followed:
            self._received(sender, frame)
