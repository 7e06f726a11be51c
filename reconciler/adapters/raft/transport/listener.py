"""Accepting connections, within limits that hold before anybody has shown who they are."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial

from reconciler.adapters.raft.transport import sockets
from reconciler.adapters.raft.transport.connection import Connection
from reconciler.adapters.raft.transport.pending import Pending, source_of
from reconciler.adapters.raft.transport.refusals import ConnectionLog, Refusal
from reconciler.adapters.raft.transport.settings import TransportSettings
from reconciler.model.errors import ErrorCode
from reconciler.model.replication import Address

_log = logging.getLogger("reconciler.adapters.raft.transport")

PAUSE_S = 0.1
"""Seconds to wait when the system has no more descriptors."""


class Listener:
    """Accepts one connection in each round of the event loop, so that the members' frames come in between."""

    def __init__(
        self,
        listening: socket.socket,
        settings: TransportSettings,
        make: Callable[[str], Connection],
        refusals: ConnectionLog,
    ) -> None:
        self._socket = listening
        self._settings = settings
        self._make = make
        self._refusals = refusals
        self._pending = Pending(settings.pending_max, settings.pending_per_source_max)

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._socket)
            except OSError as error:
                _log.warning("No connection can be accepted: %s", error.strerror)
                await asyncio.sleep(PAUSE_S)
                continue
            host, port = address[:2]
            connection = self._make(str(Address(host, port)))
            leaving = self._pending.enter(connection, source_of(host))
            if leaving is not None:
                leaving.refuse(Refusal(ErrorCode.PEERS_TOO_MANY, "too many connections have not shown who they are"))
            try:
                sockets.tune(accepted, self._settings)
                await loop.connect_accepted_socket(partial(_itself, connection), accepted)
            except OSError:
                accepted.close()  # gone again already
                self._pending.leave(connection)

    def settled(self, connection: Connection) -> None:
        """A connection may be used, or is gone: it does not count here any more."""
        self._pending.leave(connection)


def _itself(connection: Connection) -> Connection:
    return connection
