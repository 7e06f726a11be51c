"""Serves the ports that services publish, for TCP and UDP. SCTP is not forwarded."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

from reconciler.adapters.ingress_udp import UdpForwarder, listen
from reconciler.model.assignments import Route, RouteProblem

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - where an engine publishes, too
CONNECT_TIMEOUT_S = 3.0
CONNECTIONS_MAX = 2048
"""Forwarded connections at a time, over all ports; one more is closed at once."""

PIECE_BYTES = 64 * 1024


@dataclass(slots=True)
class _Listener:
    """One published port. `turn` counts connections, for round-robin."""

    route: Route
    server: asyncio.Server | UdpForwarder | None = None
    turn: int = 0
    connections: set[asyncio.Task[None]] = field(default_factory=set)


class PortIngress:
    """Listens on each published port of this host and forwards to the running tasks in turn.

    A task that refuses is passed over; when none accepts, the connection is closed. Tasks that are processes listen on
    loopback, and so does this for them. With `engine_publishes` the node's engine publishes the ports in host mode
    itself, on all addresses, and so does this the others.
    """

    def __init__(self, *, engine_publishes: bool = False) -> None:
        self._engine_publishes = engine_publishes
        self._address = EVERYWHERE if engine_publishes else LOOPBACK
        self._listeners: dict[tuple[str, int], _Listener] = {}
        self._connections = 0

    async def follow(self, routes: tuple[Route, ...]) -> tuple[RouteProblem, ...]:
        """Serve exactly `routes` from now on; return those whose port can't be had. Ports in use stay open."""
        problems: list[RouteProblem] = []
        wanted: dict[tuple[str, int], Route] = {}
        for route in routes:
            if route.is_host_mode and self._engine_publishes:
                continue
            first = wanted.setdefault((route.protocol, route.published_port), route)
            if first.service_id != route.service_id:
                problems.append(_problem(route, f"service {first.service_name} publishes it on this host already"))
        for key in [key for key in self._listeners if key not in wanted]:
            self._close(self._listeners.pop(key))
        for key, route in wanted.items():
            listener = self._listeners.setdefault(key, _Listener(route))
            listener.route = route
            if listener.server is None and (reason := await self._open(listener)):
                problems.append(_problem(route, reason))
        return tuple(problems)

    async def _open(self, listener: _Listener) -> str:
        """Begin to listen; return why that is impossible, or ""."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(listener, reader, writer)

        port = listener.route.published_port
        try:
            if listener.route.protocol == "udp":
                listener.server = UdpForwarder(listen(self._address, port), lambda: listener.route)
            else:
                listener.server = await asyncio.start_server(serve, self._address, port, limit=PIECE_BYTES)
        except OSError as error:
            return os.strerror(error.errno).lower() if error.errno else "it can't be listened on"
        return ""

    def _close(self, listener: _Listener) -> None:
        if listener.server is not None:
            listener.server.close()
        for connection in listener.connections:
            connection.cancel()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        listeners, self._listeners = list(self._listeners.values()), {}
        open_connections = [connection for listener in listeners for connection in listener.connections]
        for listener in listeners:
            self._close(listener)
        if open_connections:
            await asyncio.wait(open_connections)

    async def _serve(self, listener: _Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        if this is None or self._connections >= CONNECTIONS_MAX:
            writer.close()
            return
        listener.connections.add(this)
        self._connections += 1
        try:
            await _forward(listener, reader, writer)
        except (OSError, asyncio.CancelledError):
            # The peer went away, or the port is published no more: either way this connection is over. This task
            # belongs to the server alone, nobody waits for its cancellation.
            return
        finally:
            listener.connections.discard(this)
            self._connections -= 1
            writer.close()


def _problem(route: Route, reason: str) -> RouteProblem:
    return RouteProblem(route.service_id, route.published_port, reason, route.protocol)


async def _forward(listener: _Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    backend = await _connect(listener)
    if backend is None:
        return
    backend_reader, backend_writer = backend
    try:
        async with asyncio.TaskGroup() as directions:
            directions.create_task(_copy(reader, backend_writer))
            directions.create_task(_copy(backend_reader, writer))
    except* OSError:
        pass  # a side that hung up ends both directions
    finally:
        backend_writer.close()


async def _connect(listener: _Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Return a connection to the next task that accepts one, or None."""
    targets = listener.route.targets
    listener.turn += 1
    for step in range(len(targets)):
        address, port = targets[(listener.turn + step) % len(targets)]
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await asyncio.open_connection(address, port, limit=PIECE_BYTES)
        except (OSError, TimeoutError):
            continue
    return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until the sender is done, then say so to the receiver."""
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
