"""A network between members in one process: it delivers what is sent, unless a test cuts it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

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
        self.admits: Callable[[str], bool] = lambda node: False
        self._received: Received | None = None
        self._crash: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, to: str, frame: bytes) -> bool:
        network = self.network
        if to not in network.ends or frozenset((self.name, to)) in network.cut or not self._is_linked(to):
            return False
        network.frames += 1
        asyncio.get_running_loop().call_soon(network.ends[to].deliver, self.name, frame)
        return True

    def _is_linked(self, other: str) -> bool:
        """Whether one of the two dials, and the other lets it in."""
        ends = (self, self.network.ends[other])
        return any(to.name in by.followed and to.lets_in(by.name) for by, to in (ends, ends[::-1]))

    def lets_in(self, other: str) -> bool:
        """Whether another member may talk to this one."""
        return other in self.followed or self.admits(other)

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
        if self._received is not None and self.lets_in(sender):
            self._received(sender, frame)
