"""The Transport of the replicated store over mutual TLS."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from reconciler.adapters.peers.identity import Identity
from reconciler.adapters.raft.ports import Received
from reconciler.adapters.raft.transport import sockets
from reconciler.adapters.raft.transport.channel import Rooms
from reconciler.adapters.raft.transport.connection import Connection, Shared
from reconciler.adapters.raft.transport.links import Links
from reconciler.adapters.raft.transport.listener import Listener
from reconciler.adapters.raft.transport.refusals import ConnectionLog, Refusal, Refused
from reconciler.adapters.raft.transport.settings import TransportSettings
from reconciler.adapters.raft.transport.tls import Contexts
from reconciler.model.errors import ErrorCode
from reconciler.model.replication import Address

SWEEP_S = 1.0
"""Seconds between two looks at frames that take too long."""
BACKOFF = 1.6


class TlsTransport:
    """Listens on the address of `identity`, dials every followed member, and uses whatever connection there is.

    Only those that are followed are let in, and whom `admits` names: a node that doesn't know its members yet, or not
    the newest, waits for a leader of which it may not even know the address. None admits nobody else. A group of one
    follows nobody, so nobody is let in.
    """

    def __init__(
        self,
        identity: Identity,
        settings: TransportSettings | None = None,
        *,
        admits: Callable[[str], bool] | None = None,
        founding: Callable[[], str] = str,
    ) -> None:
        """`founding` as RaftNode tells it."""
        self.settings = settings or TransportSettings()
        self._identity = identity
        self._admits_too = admits
        self._contexts = Contexts(identity)
        self._shared = Shared(self, identity.cluster, self.settings, Rooms(), founding)
        self._told = ConnectionLog()
        self._links = Links(identity.node)
        self._members: dict[str, Address] = {}
        self._diallers: dict[str, asyncio.Task[None]] = {}
        self._vacant: dict[str, asyncio.Event] = {}
        self._refused_by: dict[str, ErrorCode] = {}
        self._connections: set[Connection] = set()
        self._socket: socket.socket | None = None
        self._listener: Listener | None = None
        self._group: asyncio.TaskGroup | None = None
        self._received: Received | None = None

    async def bind(self) -> Address:
        """Take the address already, before `run`; return it with the port that the system chose for 0.

        Raises SwarmctlError (peers-listen-failed).
        """
        if self._socket is None:
            self._socket = await sockets.listen(self._identity.listen)
        return Address(self._identity.listen.host, self._socket.getsockname()[1])

    def send(self, to: str, frame: bytes) -> bool:
        """Put a frame into the queue for a member; False when it was dropped: no connection, or the queue is full."""
        connection = self._links.get(to)
        return connection is not None and connection.send(frame)

    def connected(self, to: str) -> bool:
        """Whether there is a connection with a member."""
        return self._links.get(to) is not None

    def refused_by(self) -> Mapping[str, ErrorCode]:
        """Which members refuse this node, and what they said when it dialled them last."""
        return {node: code for node, code in self._refused_by.items() if node in self._members}

    def follow(self, members: Mapping[str, Address]) -> None:
        """Who the other members are from now on: connections to all others are closed, and theirs refused."""
        self._members = {node: address for node, address in members.items() if node != self._identity.node}
        self._shut_out_others()
        for node in tuple(self._diallers):
            if node not in self._members:
                self._diallers.pop(node).cancel()
                self._vacant.pop(node).set()
        self._dial_all()

    async def run(self, received: Received) -> None:
        """Listen, connect and carry until cancelled. Raises SwarmctlError when the address can't be had."""
        await self.bind()
        assert self._socket is not None
        self._received = received
        self._listener = Listener(self._socket, self.settings, self._connection, self._told)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._listener.run(), name="raft listener")
                group.create_task(self._look_after(), name="raft connections")
                self._dial_all()
        finally:
            self._group = self._received = None
            self._diallers.clear()
            for connection in tuple(self._connections):
                connection.retire()
            self._socket.close()
            self._socket = None

    def _admits(self, node: str) -> bool:
        return node in self._members or (self._admits_too is not None and self._admits_too(node))

    def _shut_out_others(self) -> None:
        """Close the connections of all that may not be here, or not any more."""
        for connection in tuple(self._connections):
            if connection.node and not self._admits(connection.node):
                connection.abort()

    def _dial_all(self) -> None:
        """Have one task for each member that keeps a connection to it."""
        if self._group is None:
            return
        for node in self._members:
            if node not in self._diallers:
                vacant = self._vacant.setdefault(node, asyncio.Event())
                if self._links.get(node) is None:
                    vacant.set()
                else:
                    vacant.clear()
                self._diallers[node] = self._group.create_task(self._keep_connected(node), name=f"raft to {node}")

    async def _keep_connected(self, node: str) -> None:
        """Dial whenever there is no connection. Ends only when cancelled."""
        wait_s, vacant = 0.0, self._vacant[node]
        while True:
            await vacant.wait()
            if wait_s:
                await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - members shouldn't dial in step
            if not vacant.is_set():
                continue
            began_s = asyncio.get_running_loop().time()
            if await self._dial(node):
                await vacant.wait()
            lived_s = asyncio.get_running_loop().time() - began_s
            steady = lived_s > self.settings.steady_after_s
            wait_s = 0.0 if steady else min(self.settings.retry_max_s, max(self.settings.retry_min_s, wait_s * BACKOFF))

    async def _dial(self, node: str) -> bool:
        """Try once; return whether there is a connection now."""
        address = self._members[node]
        connection = self._connection(str(address), node)
        try:
            connecting = await sockets.connect(address, self.settings)
            await asyncio.get_running_loop().create_connection(lambda: connection, sock=connecting)
            await connection.settled()
        except Refused:
            return False  # logged by `refused`
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            refusal = Refusal(ErrorCode.PEERS_UNREACHABLE, why)
            self._told.dialled_refused(node, str(address), refusal, self._now_s())
            return False
        except asyncio.CancelledError:
            connection.abort()
            raise
        return True

    def _connection(self, address: str, expected: str | None = None) -> Connection:
        context = self._contexts.server if expected is None else self._contexts.client
        return Connection(context, self._shared, address, expected)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _look_after(self) -> None:
        """Refuse frames that take too long and who is admitted no more, notice new certificates, tell what was not
        logged.
        """
        loop = asyncio.get_running_loop()
        reload_s = loop.time() + self.settings.reload_s
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = loop.time()
            self._shut_out_others()
            for connection in self._links.all():
                connection.check_pace(now_s)
            if now_s >= reload_s:
                self._contexts.reload()
                self._contexts.warn_of_end(datetime.now(UTC))
                reload_s = now_s + self.settings.reload_s
            self._told.tell_withheld(now_s)

    # What a Connection asks and tells: its Owner.

    def began(self, connection: Connection) -> None:
        """Keep it, to close it at the end."""
        self._connections.add(connection)

    def admit(self, connection: Connection, node: str) -> Refusal | None:
        """Whether an accepted node may stay: a member, no second time at once, and as nobody else."""
        if node == self._identity.node:
            return Refusal(ErrorCode.PEERS_WRONG_NAME, f"it shows a certificate of {node}, which is this node's name")
        if node not in self._members:
            if not self._admits(node):
                return Refusal(ErrorCode.PEERS_NOT_A_MEMBER, f"{node} is not a member")
            if self._links.get(node) is None and len(self._links) >= self.settings.unfollowed_max:
                return Refusal(ErrorCode.PEERS_TOO_MANY, "too many nodes before this one knows its members")
        if not self._links.would_take(connection, self._now_s()):
            return Refusal(ErrorCode.PEERS_CONNECTED, "both have dialled at once, and the other connection stays")
        return None

    def opened(self, connection: Connection) -> None:
        """Use a connection from now on."""
        if self._listener is not None:
            self._listener.settled(connection)
        node = connection.node
        if self._received is None or not self._admits(node) or not self._links.would_take(connection, self._now_s()):
            connection.retire()
            return
        self._links.take(connection)
        self._refused_by.pop(node, None)
        if node in self._vacant:
            self._vacant[node].clear()
        self._told.opened(node, self._identity.node if connection.dialled else node, self._now_s())

    def received(self, connection: Connection, frame: bytes) -> None:
        """Hand a frame on, if it comes over the connection in use."""
        if self._received is not None and self._links.get(connection.node) is connection:
            self._received(connection.node, frame)

    def refused(self, connection: Connection, refusal: Refusal) -> None:
        """Log why a connection does not come to be, or ends."""
        if refusal.code is ErrorCode.PEERS_CONNECTED or self._links.get(connection.expected or "") is not None:
            return  # both had dialled at once
        if connection.expected is not None:
            if refusal.theirs:
                self._refused_by[connection.expected] = refusal.code
            self._told.dialled_refused(connection.expected, connection.address, refusal, self._now_s())
        else:
            self._told.accepted_refused(connection.address, refusal, self._now_s())

    def ended(self, connection: Connection) -> None:
        """Dial again if that was the one in use."""
        self._connections.discard(connection)
        if self._listener is not None:
            self._listener.settled(connection)
        if self._links.drop(connection) and connection.node in self._vacant:
            self._told.ended(connection.node, self._now_s())
            self._vacant[connection.node].set()
