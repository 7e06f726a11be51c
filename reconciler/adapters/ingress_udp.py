"""Forwards one published UDP port. A client's datagrams go to one task as long as it goes on sending, as in IPVS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from reconciler.model.assignments import Route

IDLE_S = 60.0
"""Seconds without a datagram either way after which a client is forgotten."""

CLIENTS_MAX = 1024
"""Clients of one port at a time; the datagrams of one more are dropped, as UDP may."""

DATAGRAM_BYTES = 65_535

_Peer: TypeAlias = tuple[str, int]


@dataclass(slots=True)
class _Client:
    """A socket of this client's own toward its task, which tells the answers apart."""

    socket: socket.socket
    target: _Peer
    forgetting: asyncio.TimerHandle


class UdpForwarder:
    """Listens on one port. `route` tells where to forward, whenever a new client comes."""

    def __init__(self, listening: socket.socket, route: Callable[[], Route]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._route = route
        self._clients: dict[_Peer, _Client] = {}
        self._turn = 0
        self._loop.add_reader(listening, self._receive)

    def close(self) -> None:
        """Listen no longer, and forget all clients."""
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for peer in list(self._clients):
            self._forget(peer)

    def _receive(self) -> None:
        try:
            datagram, peer = self._listening.recvfrom(DATAGRAM_BYTES)
        except OSError:
            return
        client = self._client(peer)
        if client is None:
            return
        try:
            client.socket.send(datagram)
        except OSError:  # nobody listens there (any more): the next datagram may go elsewhere
            self._forget(peer)

    def _client(self, peer: _Peer) -> _Client | None:
        targets = self._route().targets
        client = self._clients.get(peer)
        if client is not None and client.target not in targets:
            self._forget(peer)
            client = None
        if client is not None:
            client.forgetting.cancel()
            client.forgetting = self._forget_later(peer)
            return client
        if not targets or len(self._clients) >= CLIENTS_MAX:
            return None
        self._turn += 1
        return self._new_client(peer, targets[self._turn % len(targets)])

    def _new_client(self, peer: _Peer, target: _Peer) -> _Client | None:
        outward = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        outward.setblocking(False)
        try:
            outward.connect(target)
        except OSError:
            outward.close()
            return None
        client = self._clients[peer] = _Client(outward, target, self._forget_later(peer))
        self._loop.add_reader(outward, self._answer, peer, client)
        return client

    def _forget_later(self, peer: _Peer) -> asyncio.TimerHandle:
        return self._loop.call_later(IDLE_S, self._forget, peer)

    def _answer(self, peer: _Peer, client: _Client) -> None:
        try:
            datagram = client.socket.recv(DATAGRAM_BYTES)
            self._listening.sendto(datagram, peer)
        except BlockingIOError:
            return
        except OSError:
            self._forget(peer)

    def _forget(self, peer: _Peer) -> None:
        client = self._clients.pop(peer, None)
        if client is not None:
            client.forgetting.cancel()
            self._loop.remove_reader(client.socket)
            client.socket.close()


def listen(address: str, port: int) -> socket.socket:
    """Return a socket that receives datagrams. Raises OSError."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.setblocking(False)
    try:
        listening.bind((address, port))
    except OSError:
        listening.close()
        raise
    return listening
