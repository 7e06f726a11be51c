"""What the replicated store may rely on from a Transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from reconciler.adapters.raft.transport import TlsTransport, TransportSettings
from reconciler.adapters.raft.transport.connection import FRAMES_PER_TURN
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address
from tests.fakes.identities import Authority

PATIENCE_S = 20.0
QUICK = TransportSettings(retry_min_s=0.02, retry_max_s=0.1, reload_s=0.5)


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - conditions of several nodes
            await asyncio.sleep(0.005)


class Node:
    """A running transport and what it has received."""

    def __init__(self, name: str, transport: TlsTransport, address: Address) -> None:
        self.name = name
        self.transport = transport
        self.address = address
        self.received: list[tuple[str, bytes]] = []
        self.task = asyncio.create_task(transport.run(lambda sender, frame: self.received.append((sender, frame))))

    def follow(self, *others: Node) -> None:
        self.transport.follow({other.name: other.address for other in others})

    async def connected(self, *others: Node) -> None:
        await until(lambda: all(self.transport.connected(other.name) for other in others))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def frames_from(self, other: Node) -> list[bytes]:
        return [frame for sender, frame in self.received if sender == other.name]


class Group:
    """Nodes of one cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.stack = AsyncExitStack()

    async def start(
        self, name: str, *, port: int = 0, admits: Callable[[str], bool] | None = None, founding: str = ""
    ) -> Node:
        identity = self.authority.identity(self.folder / name, name, port)
        transport = TlsTransport(identity, QUICK, admits=admits, founding=lambda: founding)
        node = Node(name, transport, await transport.bind())
        self.stack.push_async_callback(node.stop)
        return node

    async def of(self, *names: str) -> list[Node]:
        nodes = [await self.start(name) for name in names]
        for node in nodes:
            node.follow(*(other for other in nodes if other is not node))
        for node in nodes:
            await node.connected(*(other for other in nodes if other is not node))
        # Two that dialled each other at once give up one of their connections, and what is on it is lost.
        await until(lambda: all(len(node.transport._connections) == len(nodes) - 1 for node in nodes))
        return nodes


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Group]:
    group = Group(folder)
    async with group.stack:
        yield group


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    async with opened(tmp_path) as found:
        yield found


async def test_frames_arrive_in_order_with_their_sender(group: Group) -> None:
    a, b, c = await group.of("a", "b", "c")
    frames = [number.to_bytes(4) * (number % 50) for number in range(2000)]
    for frame in frames:
        assert a.transport.send("b", frame)
        assert c.transport.send("b", frame)
    await until(lambda: len(b.received) == 2 * len(frames))
    assert b.frames_from(a) == frames
    assert b.frames_from(c) == frames
    assert not a.received


class InTurns(list[tuple[str, bytes]]):
    """What has arrived, and how much of it at most in one turn of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0

    def append(self, arrived: tuple[str, bytes]) -> None:
        super().append(arrived)
        if not self.now:
            asyncio.get_running_loop().call_soon(self._turn)
        self.now += 1
        self.most = max(self.most, self.now)

    def _turn(self) -> None:
        self.now = 0


async def test_a_flood_of_tiny_frames_leaves_others_their_turn(group: Group) -> None:
    a, b = await group.of("a", "b")
    b.received = arrived = InTurns()
    frames = [number.to_bytes(2) for number in range(10_000)]
    assert all(a.transport.send("b", frame) for frame in frames)
    await until(lambda: len(arrived) == len(frames))
    assert b.frames_from(a) == frames
    assert arrived.most <= FRAMES_PER_TURN


async def test_a_frame_of_the_greatest_size_arrives_and_a_greater_one_is_not_sent(group: Group) -> None:
    a, b = await group.of("a", "b")
    largest = bytes(QUICK.frame_bytes_max)
    assert a.transport.send("b", largest)
    assert not a.transport.send("b", largest + b"!")
    assert a.transport.send("b", b"")
    await until(lambda: len(b.received) == 2)
    assert [len(frame) for frame in b.frames_from(a)] == [len(largest), 0]


async def test_a_frame_to_nobody_is_dropped(group: Group) -> None:
    a, _ = await group.of("a", "b")
    assert not a.transport.send("z", b"hello")


async def test_a_full_queue_drops(group: Group) -> None:
    a, b = await group.of("a", "b")
    taken = 0
    while a.transport.send("b", bytes(1024 * 1024)):
        taken += 1
        assert taken < 1000
    assert taken >= QUICK.queue_bytes_max // (1024 * 1024) - 1
    await until(lambda: len(b.received) == taken)
    assert a.transport.send("b", b"again")


async def test_a_node_that_starts_again_is_found_again(group: Group) -> None:
    a, b = await group.of("a", "b")
    await b.stop()
    await until(lambda: not a.transport.send("b", b"lost"))
    again = await group.start("b", port=b.address.port)
    again.follow(a)
    await until(lambda: a.transport.send("b", b"found"))
    await until(lambda: again.frames_from(a) == [b"found"])


async def test_who_is_not_followed_is_cut_off_and_kept_out(group: Group) -> None:
    a, b, c = await group.of("a", "b", "c")
    a.follow(b)
    await until(lambda: not a.transport.connected("c") and not c.transport.connected("a"))
    await until(lambda: c.transport.refused_by() == {"a": ErrorCode.PEERS_NOT_A_MEMBER})
    assert not c.transport.send("a", b"still here")
    assert a.transport.send("b", b"goes on")
    await until(lambda: b.frames_from(a) == [b"goes on"])


async def test_those_that_began_with_different_members_dont_talk(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, c = [await group.start(name, founding=founding) for name, founding in (("a", "1"), ("b", "2"), ("c", ""))]
    for node in (a, b, c):
        node.follow(*({a, b, c} - {node}))
    await c.connected(a, b)

    def told() -> int:
        a.transport.send("b", b"a says so")
        b.transport.send("a", b"b says so")
        return caplog.text.count("[peers-founded-apart]")

    await until(lambda: told() >= 2)
    assert (a.frames_from(b), b.frames_from(a)) == ([], [])


async def test_a_joining_node_answers_before_it_knows_any_address(group: Group) -> None:
    a, b = await group.of("a", "b")
    new = await group.start("new", admits=lambda node: True)
    new.follow()
    a.follow(b, new)
    await until(lambda: a.transport.send("new", b"welcome"))
    await until(lambda: new.frames_from(a) == [b"welcome"])
    assert new.transport.send("a", b"thanks")
    await until(lambda: a.frames_from(new) == [b"thanks"])


async def test_a_node_that_has_joined_lets_nobody_in_but_members(group: Group) -> None:
    a, b, c = await group.of("a", "b", "c")
    joined = False
    new = await group.start("new", admits=lambda node: not joined)
    new.follow(a)
    a.follow(b, c, new)
    c.follow(a, b, new)
    await until(lambda: a.transport.connected("new") and c.transport.connected("new"))
    joined = True
    new.follow(a)
    await until(lambda: c.transport.refused_by() == {"new": ErrorCode.PEERS_NOT_A_MEMBER})
    assert not c.transport.connected("new")
    assert a.transport.connected("new")
    assert a.transport.refused_by() == {}


async def test_who_is_admitted_no_more_is_cut_off(group: Group) -> None:
    a, b = await group.of("a", "b")
    admitted = {"b"}
    new = await group.start("new", admits=lambda node: node in admitted)
    new.follow()
    a.follow(b, new)
    b.follow(a, new)
    await until(lambda: b.transport.connected("new"))
    await until(lambda: a.transport.refused_by() == {"new": ErrorCode.PEERS_NOT_A_MEMBER})
    admitted.clear()
    await until(lambda: b.transport.refused_by() == {"new": ErrorCode.PEERS_NOT_A_MEMBER})
    assert not new.transport.connected("b")


async def test_a_node_alone_lets_nobody_in(group: Group) -> None:
    a, b = await group.start("a"), await group.start("b")
    a.follow()
    b.follow(a)
    await until(lambda: b.transport.refused_by() == {"a": ErrorCode.PEERS_NOT_A_MEMBER})
    assert not b.transport.send("a", b"")
    assert a.received == []


async def test_members_that_dial_each_other_at_once_keep_one_connection(group: Group) -> None:
    nodes = await group.of(*"abcde")

    def all_told() -> bool:
        """Tell all, also again: what is sent while one of two connections is given up may be lost."""
        for node in nodes:
            for other in nodes:
                node.transport.send(other.name, b"")
        return all(len({sender for sender, _ in node.received}) == 4 for node in nodes)

    await until(all_told)
    assert all(len(node.transport._connections) == 4 for node in nodes)


async def test_a_taken_address_is_an_error(group: Group) -> None:
    a = await group.start("a")
    identity = group.authority.identity(group.folder / "b", "b", a.address.port)
    with pytest.raises(SwarmctlError) as caught:
        await TlsTransport(identity).run(lambda sender, frame: None)
    assert caught.value.code is ErrorCode.PEERS_LISTEN_FAILED


async def test_what_was_sent_before_the_end_arrives(group: Group) -> None:
    a, b = await group.of("a", "b")
    frames = [bytes([number]) * 1000 for number in range(50)] + [bytes([number % 256]) for number in range(1000)]
    assert all(a.transport.send("b", frame) for frame in frames)
    await a.stop()
    await until(lambda: not b.transport.connected("a"))
    assert b.frames_from(a) == frames


async def test_a_member_can_be_dialled_by_a_name(group: Group) -> None:
    a, b = await group.start("a"), await group.start("b")
    a.follow(b)
    b.transport.follow({"a": Address("localhost", a.address.port)})
    await b.connected(a)


async def test_a_name_that_nobody_has_is_tried_again_until_it_is_right(group: Group) -> None:
    a, b = await group.start("a"), await group.start("b")
    a.transport.follow({"b": Address("no-such-host.invalid", 1)})
    b.transport.follow({"a": Address("no-such-host.invalid", 1)})
    await asyncio.sleep(0)
    assert not b.transport.connected("a")
    b.follow(a)
    await b.connected(a)
