"""Backups of a member that runs: a copy of its state, offered piece by piece, and received as a file that is whole.

Without a seal a copy can be used anywhere: `boot.restore` makes a new group of it, under a new name. Sealed, it can be
read by this member alone, and `put_back` makes this member anew.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

from reconciler.adapters.raft import refusals
from reconciler.adapters.raft.disk import Disk, DurabilityUnknown
from reconciler.adapters.raft.files import TEMPORARY, create_anew, discard, put_in_place
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft.snapshot_file import verify
from reconciler.adapters.raft.snapshots import file_name
from reconciler.consensus.values import HardState, SnapshotMeta
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Backup

PIECE_BYTES = 256 << 10


class BackedUp(Protocol):
    """A member that runs."""

    async def back_up(self, target: str, disk: Disk | None = None) -> SnapshotMeta: ...


@asynccontextmanager
async def offered(member: BackedUp, folder: str, disk: Disk | None = None) -> AsyncIterator[Backup]:
    """Offer a copy of what is applied at `member`, sealed if `disk` has a seal.

    It takes space in `folder` until the end of the context.

    The copy has no name while it is read, so that no end of this process leaves it behind. Raises SwarmctlError:
    raft-snapshot-corrupt, raft-disk-full, raft-disk-failed.
    """
    path = os.path.join(folder, f"backup-{os.urandom(4).hex()}{TEMPORARY}")
    try:
        meta = await member.back_up(path, disk)
        descriptor = await asyncio.to_thread(_opened, path)
    except (OSError, DurabilityUnknown) as error:
        raise refusals.of_disk(folder, error) from error
    try:
        size = os.fstat(descriptor).st_size

        async def read() -> bytes:
            return await asyncio.to_thread(os.read, descriptor, PIECE_BYTES)

        yield Backup(meta.index, size, read, meta.term)
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    os.unlink(path)
    return descriptor


def put_back(folder: str, owner: Owner, index: int, term: int, pieces: Iterable[bytes]) -> None:
    """Make the log of a group's only member, in an empty folder, from the bytes of its own snapshot of an entry.

    They may be sealed, and are taken as they are. A member of a group with others must not come back so: it would have
    forgotten what it promised them. Raises SwarmctlError as `boot.open_member`; OSError, DurabilityUnknown.
    """
    with DurableLog(folder, owner, create=True) as durable:
        durable.load()
        durable.save_hard_state(HardState(term, ""))
        durable.sync()
    disk, path, offset = Disk(), os.path.join(folder, file_name(index, term)), 0
    descriptor = create_anew(disk, path + TEMPORARY, 0)
    try:
        for piece in pieces:
            disk.write(descriptor, piece, offset)
            offset += len(piece)
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)
    put_in_place(disk, path + TEMPORARY, path)


def _whole(path: str) -> int:
    return verify(path).index


class BackupFile:
    """A backup on its way to a file: the file is there when all of it is and its checksums are right, or not at all.

    Its methods block. They raise SwarmctlError: output-failed; `finish` also raft-snapshot-corrupt and raft-too-new.
    Whatever is raised, `abandon` it then; what had the name before is as it was.
    """

    def __init__(self, path: str, check: Callable[[str], int] = _whole) -> None:
        """`check` returns the index that a file stands for, and raises as `snapshot_file.verify` does."""
        self._check = check
        self._path = os.path.abspath(path)
        self._temporary = f"{self._path}.{os.urandom(4).hex()}{TEMPORARY}"
        self._disk = Disk()
        self._offset = 0
        self._descriptor = -1
        try:
            if os.path.lexists(self._path) and not os.path.isfile(self._path):
                raise FileExistsError(None, "It is there, and is no file")
            self._descriptor = create_anew(self._disk, self._temporary, 0)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, piece: bytes) -> None:
        """Add the next piece."""
        try:
            self._disk.write(self._descriptor, piece, self._offset)
        except OSError as error:
            raise self._failed(error) from error
        self._offset += len(piece)

    def finish(self) -> int:
        """Verify all of it, and give it its name, for good. Return the index that it stands for."""
        try:
            self._disk.sync(self._descriptor)
            self._close()
            index = self._check(self._temporary)
            put_in_place(self._disk, self._temporary, self._path)
        except SwarmctlError as error:
            if error.code is not ErrorCode.RAFT_SNAPSHOT_CORRUPT:
                raise
            raise refusals.snapshot_corrupt(self._path, error.problems[0].why) from error
        except (OSError, DurabilityUnknown) as error:
            raise self._failed(error) from error
        return index

    def abandon(self) -> None:
        """Leave nothing. Without effect on a finished one."""
        self._close()
        discard(self._disk, self._temporary)

    def _close(self) -> None:
        if self._descriptor >= 0:
            self._disk.close(self._descriptor)
            self._descriptor = -1

    def _failed(self, error: Exception) -> SwarmctlError:
        return SwarmctlError(
            ErrorCode.OUTPUT_FAILED,
            f"{self._path} can't be written.",
            why=f"{getattr(error, 'strerror', None) or error}.",
            hint="Name a file in a folder that this user may write to, on a disk with space.",
        )
