"""Backups of a daemon's swarm: a file with all that its folder needs, made while it runs and put into an empty folder.

A head (magic, length, JSON), the files of the folder one behind the other, and the SHA-256 of all before it. They are
sealed as they are in the folder: while the swarm locks its managers, a backup tells nobody anything without the unlock
key of its time (decision 0020). Else it holds the swarm's secrets and the key of its root.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from reconciler.adapters.raft import boot, refusals
from reconciler.adapters.raft.backup import put_back
from reconciler.adapters.raft.disk import Disk, DurabilityUnknown
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.sealing import DataSeal
from reconciler.assembly import node_keys, node_state
from reconciler.assembly.folder import KEYS_FILE, LOG_FOLDER, NODE_FILE, absolute, clear, locked, put_file
from reconciler.assembly.manager import Manager
from reconciler.assembly.node_keys import NodeKeys
from reconciler.assembly.node_state import NodeState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Backup

MAGIC = b"swarmctl daemon backup\n"
FORMAT = 1
_LENGTH_BYTES = 4
_HEAD_BYTES_MAX = 4096
_SMALL_BYTES_MAX = 1 << 20
_SUM_BYTES = hashlib.sha256().digest_size
_PIECE_BYTES = 256 << 10


class _Format(msgspec.Struct, frozen=True):
    format: int


class _Head(msgspec.Struct, frozen=True):
    """What a backup says of itself. `index` and `term` are those of the snapshot; `sizes` are bytes of the files:
    NODE_FILE, KEYS_FILE, and the snapshot.
    """

    format: int
    cluster: str
    node: str
    index: int
    term: int
    sizes: tuple[int, int, int]


# --- made


@asynccontextmanager
async def offered(manager: Manager, folder: Path, node: NodeState) -> AsyncIterator[Backup]:
    """Offer a backup of a manager's swarm. The manager must not end before this is entered, and may afterwards.

    Raises SwarmctlError as `adapters.raft.backup.offered`, and embedded-failed for files that can't be read.
    """
    async with manager.backup() as snapshot:
        # After the snapshot: what sealed that is among the keys, and keys stay among them.
        small = await asyncio.to_thread(_small_files, folder)
        sizes = (len(small[0]), len(small[1]), snapshot.size)
        head = msgspec.json.encode(_Head(FORMAT, node.cluster_id, node.node_id, snapshot.index, snapshot.term, sizes))
        first = MAGIC + len(head).to_bytes(_LENGTH_BYTES, "big") + head + b"".join(small)
        size = len(first) + snapshot.size + _SUM_BYTES
        yield Backup(snapshot.index, size, _Stream(first, snapshot.read).read, snapshot.term)


def _small_files(folder: Path) -> tuple[bytes, bytes]:
    try:
        return (folder / NODE_FILE).read_bytes(), (folder / KEYS_FILE).read_bytes()
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            f"{error.filename} can't be read.",
            why=f"{error.strerror}.",
            hint="Mend the folder, then start this node's daemon again.",
        ) from error


class _Stream:
    """The bytes of a backup, one piece after the other."""

    def __init__(self, first: bytes, more: Callable[[], Awaitable[bytes]]) -> None:
        self._first, self._more = first, more
        self._sum = hashlib.sha256()
        self._ended = False

    async def read(self) -> bytes:
        """Return the next piece, none at the end."""
        if self._ended:
            return b""
        piece, self._first = self._first or await self._more(), b""
        if not piece:
            self._ended = True
            return self._sum.digest()
        self._sum.update(piece)
        return piece


# --- taken


class _Content(msgspec.Struct, frozen=True):
    """A backup that is whole. `first_byte` is where its files begin."""

    head: _Head
    first_byte: int
    path: str

    def small(self, number: int) -> str:
        """Return what is in one of the small files."""
        with open(self.path, "rb") as file:
            file.seek(self.first_byte + sum(self.head.sizes[:number]))
            return file.read(self.head.sizes[number]).decode()

    def snapshot(self) -> Iterator[bytes]:
        """Yield the snapshot in pieces."""
        with open(self.path, "rb") as file:
            file.seek(self.first_byte + sum(self.head.sizes[:-1]))
            left = self.head.sizes[-1]
            while left > 0 and (piece := file.read(min(left, _PIECE_BYTES))):
                left -= len(piece)
                yield piece


def is_backup(path: str) -> bool:
    """Whether a file begins as a backup of a daemon does. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def verify(path: str) -> int:
    """Return the index that a whole backup stands for. Raises raft-snapshot-corrupt, raft-too-new; OSError."""
    return _opened(path).head.index


def _opened(path: str) -> _Content:
    with open(path, "rb") as file:
        total = hashlib.sha256()
        head, first_byte = _head(file, path)
        size = os.fstat(file.fileno()).st_size
        if first_byte + sum(head.sizes) + _SUM_BYTES != size:
            raise refusals.snapshot_corrupt(path, "It is not as long as it says.")
        file.seek(0)
        left = size - _SUM_BYTES
        while left > 0 and (piece := file.read(min(left, _PIECE_BYTES))):
            left -= len(piece)
            total.update(piece)
        if left or file.read() != total.digest():
            raise refusals.snapshot_corrupt(path, "It does not match its checksum.")
    return _Content(head, first_byte, path)


def _head(file: BinaryIO, path: str) -> tuple[_Head, int]:
    if file.read(len(MAGIC)) != MAGIC:
        raise refusals.snapshot_corrupt(path, "It does not begin as a backup of a daemon does.")
    length = int.from_bytes(file.read(_LENGTH_BYTES), "big")
    if not 0 < length <= _HEAD_BYTES_MAX:
        raise refusals.snapshot_corrupt(path, "Its head can't be so long.")
    content = file.read(length)
    try:
        if msgspec.json.decode(content, type=_Format).format > FORMAT:
            raise refusals.too_new(path)
        head = msgspec.json.decode(content, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise refusals.snapshot_corrupt(path, f"Its head can't be read: {type(error).__name__}.") from error
    if min(head.sizes) < 0 or max(head.sizes[:-1]) > _SMALL_BYTES_MAX:
        raise refusals.snapshot_corrupt(path, "Its files can't have such sizes.")
    return head, file.tell()


# --- put back


def restore(data_dir: str, path: str) -> int:
    """Put the swarm of a backup into the folder of a daemon that is in none, and return the index of its state.

    The daemon of then must never start again beside this one. Interrupted, it is in no swarm, and may be called again.
    Blocks. Raises SwarmctlError: raft-snapshot-corrupt, raft-too-new, snapshot-corrupt and -too-new,
    embedded-already-running, raft-folder-used, embedded-failed, raft-disk-full, raft-disk-failed; OSError for `path`.
    """
    content = _opened(path)
    folder = absolute(data_dir)
    lock = locked(folder)
    try:
        if (folder / NODE_FILE).exists():
            raise _used(folder)
        clear(folder)
        try:
            _put(folder, content)
        except BaseException:
            (folder / NODE_FILE).unlink(missing_ok=True)
            clear(folder)
            raise
    finally:
        lock.close()
    return content.head.index


def _put(folder: Path, content: _Content) -> None:
    head, log_folder = content.head, str(folder / LOG_FOLDER)
    owner = Owner(head.cluster, head.node)
    try:
        put_file(folder / KEYS_FILE, content.small(1))
        put_back(log_folder, owner, head.index, head.term, content.snapshot())
    except (OSError, DurabilityUnknown) as error:
        raise refusals.of_disk(str(folder), error) from error
    keys = node_keys.load(folder)
    if isinstance(keys, NodeKeys):
        _check_usable(MemberSettings(log_folder, owner), keys)
    # From here on there is a swarm, also after a crash.
    put_file(folder / NODE_FILE, content.small(0))
    node = node_state.load(folder)
    if node is None or (node.cluster_id, node.node_id) != (head.cluster, head.node):
        raise refusals.snapshot_corrupt(content.path, "Its files are those of different nodes.")


def _check_usable(member: MemberSettings, keys: NodeKeys) -> None:
    """Read all of the log as a start does. What is locked can't be read before somebody unlocks it."""
    disk = Disk()
    disk.seal = DataSeal(keys.data)
    boot.open_member(member, disk).durable.close()


def _used(folder: Path) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.RAFT_FOLDER_USED,
        f"{folder} holds the swarm of a daemon.",
        why=f"It has a {NODE_FILE}.",
        hint="Name an empty folder; or let that node leave first, which ends its swarm: `docker swarm leave --force`.",
    )
