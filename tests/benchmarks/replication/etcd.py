"""Three etcd members on loopback, and a client that speaks its gRPC API.

The messages are few and small, so they are written by hand (rpc.proto of etcd 3.4: PutRequest, TxnRequest).
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.free_ports import free_ports

START_S = 30.0
TRANSACTION_MAX = 2_000


def is_installed() -> bool:
    """Whether etcd is there (Debian: etcd-server), and a gRPC client for Python."""
    try:
        import grpc  # noqa: F401
    except ImportError:
        return False
    return shutil.which("etcd") is not None


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    size, head = len(content), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + content


def _put_request(key: str, value: bytes) -> bytes:
    return _field(1, key.encode()) + _field(2, value)


class EtcdStore:
    """etcd's KV service, through one channel to the leader."""

    def __init__(self, channel: Any) -> None:
        self._put = channel.unary_unary("/etcdserverpb.KV/Put")
        self._txn = channel.unary_unary("/etcdserverpb.KV/Txn")

    async def put(self, key: str, value: bytes) -> None:
        await self._put(_put_request(key, value))

    async def put_all(self, keys: Sequence[str], value: bytes) -> None:
        await self._txn(b"".join(_field(2, _field(2, _put_request(key, value))) for key in keys))


@asynccontextmanager
async def etcd_group(folder: Path, members: int = 3) -> AsyncIterator[EtcdStore]:
    """Start members with their data in `folder`, peers over TLS as ours are; the client talks to the leader."""
    import grpc.aio

    ports = free_ports(2 * members)
    clients, peers = ports[:members], ports[members:]
    cluster = ",".join(f"m{number}=https://127.0.0.1:{port}" for number, port in enumerate(peers))
    started = [_start(folder, number, clients[number], peers[number], cluster) for number in range(members)]
    try:
        leader = await _leader(clients)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{leader}") as channel:
            yield EtcdStore(channel)
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def _start(folder: Path, number: int, client: int, peer: int, cluster: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            "etcd", "--name", f"m{number}", "--data-dir", str(folder / f"m{number}"), "--log-level", "error",
            "--listen-client-urls", f"http://127.0.0.1:{client}",
            "--advertise-client-urls", f"http://127.0.0.1:{client}",
            "--listen-peer-urls", f"https://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"https://127.0.0.1:{peer}",
            "--initial-cluster", cluster, "--peer-auto-tls", "--max-txn-ops", str(TRANSACTION_MAX),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


async def _leader(ports: list[int]) -> int:
    """The client port of the member that leads, once there is one (etcdserverpb.Maintenance/Status)."""
    import grpc.aio

    async with asyncio.timeout(START_S):
        while True:
            for port in ports:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    try:
                        answer = await channel.unary_unary("/etcdserverpb.Maintenance/Status")(b"", timeout=1.0)
                    except grpc.aio.AioRpcError:
                        continue
                numbers = _numbers(answer)
                if numbers.get(4) and numbers[4] == _numbers(numbers[1]).get(2):  # leader = header.member_id
                    return port
            await asyncio.sleep(0.1)


def _numbers(message: bytes) -> dict[int, Any]:
    """The fields of a protobuf message by number: varints as int, others as bytes."""
    fields: dict[int, Any] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value, at = _varint(message, at)
        if key & 7 == 2:
            fields[key >> 3] = message[at : at + value]
            at += value
        else:
            fields[key >> 3] = value
    return fields


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
