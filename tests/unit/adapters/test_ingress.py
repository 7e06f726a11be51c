"""Published ports of this host: who answers behind them, over TCP and UDP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reconciler.adapters.ingress import PortIngress
from reconciler.model.assignments import Route
from tests.free_ports import free_port

WAIT_S = 60.0
HERE = "127.0.0.1"


class Echo(asyncio.DatagramProtocol):
    """A task that answers datagrams with its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(self.name.encode() + b" " + data, addr)


@asynccontextmanager
async def udp_tasks(*names: str) -> AsyncIterator[dict[str, tuple[str, int]]]:
    """Run tasks; return {name: where it listens}."""
    loop = asyncio.get_running_loop()
    transports, found = [], {}
    for name in names:
        transport, _ = await loop.create_datagram_endpoint(lambda name=name: Echo(name), local_addr=(HERE, 0))  # type: ignore[misc]
        transports.append(transport)
        found[name] = transport.get_extra_info("sockname")
    try:
        yield found
    finally:
        for transport in transports:
            transport.close()


class Client:
    """One sender of datagrams, with a port of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((HERE, 0))

    async def ask(self) -> str:
        """Return what answers; a datagram may be lost while a task's end is found out."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_S):
            while True:
                self._socket.sendto(b"hello", (HERE, self._port))
                try:
                    async with asyncio.timeout(1):
                        return (await loop.sock_recv(self._socket, 100)).decode()
                except TimeoutError:
                    continue

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
async def ingress() -> AsyncIterator[PortIngress]:
    made = PortIngress()
    yield made
    await made.close()


async def test_datagrams_of_a_client_go_to_one_task_and_those_of_clients_to_all(ingress: PortIngress) -> None:
    port = free_port(socket.SOCK_DGRAM)
    async with udp_tasks("one", "two") as tasks:
        route = Route("s", "web", port, tuple(tasks.values()), "udp")
        assert await ingress.follow((route,)) == ()
        clients = [Client(port) for _ in range(2)]
        first = [await client.ask() for client in clients]
        assert sorted(first) == ["one hello", "two hello"]
        assert [await client.ask() for client in clients] == first
        left = first[0].split()[0]
        await ingress.follow((Route("s", "web", port, (tasks[left],), "udp"),))
        assert [await client.ask() for client in clients] == [f"{left} hello"] * 2
        for client in clients:
            client.close()


async def test_a_number_serves_both_protocols_and_is_free_once_it_is_published_no_more(ingress: PortIngress) -> None:
    port = free_port()
    routes = (Route("s", "web", port, (), "tcp"), Route("s", "web", port, (), "udp"))
    assert await ingress.follow(routes) == ()
    other = PortIngress()
    problems = await other.follow(routes)
    assert [(one.protocol, one.reason) for one in problems] == [
        ("tcp", "address already in use"),
        ("udp", "address already in use"),
    ]
    await ingress.follow(())
    assert await other.follow(routes) == ()
    await other.close()


async def test_what_the_engine_publishes_is_left_to_it() -> None:
    port = free_port()
    beside = PortIngress(engine_publishes=True)
    with socket.create_server((HERE, port)):
        assert await beside.follow((Route("s", "web", port, (), is_host_mode=True),)) == ()
        (problem,) = await beside.follow((Route("s", "web", port, ()),))
        assert problem.published_port == port
    await beside.close()
