"""The disk, as few verbs: what a test records, fails or ends at its n-th call."""

from __future__ import annotations

import fcntl
import os

from reconciler.adapters.raft.sealing import Seal


class DurabilityUnknown(Exception):
    """A sync of what may already count failed. What is on the disk is unknown until it is read again.

    Trying the sync once more is no cure: the kernel reports a lost page once, and then forgets it
    (https://wiki.postgresql.org/wiki/Fsync_Errors).
    """


class Disk:
    """Files by path or open descriptor. Raises OSError as the system does; nothing is retried or cached here."""

    seal: Seal | None = None
    """With what the content of journals and snapshots is sealed before it comes here; None: it is not."""

    def lock(self, path: str) -> int:
        """Hold `path` for this process alone until the descriptor is closed. Raises BlockingIOError: another has it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def make_folder(self, path: str) -> None:
        """Make a folder for this user only, unless it is there; durable after `sync_folder` of its parent."""
        os.makedirs(path, mode=0o700, exist_ok=True)

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted."""
        return sorted(os.listdir(folder))

    def create(self, path: str, size: int) -> int:
        """Make a new file of `size` zeros whose blocks are the file's own already, and open it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if size:
                os.posix_fallocate(descriptor, 0, size)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open(self, path: str) -> int:
        """Open a file for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open_to_read(self, path: str) -> int:
        """Open a file for reading."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def size(self, descriptor: int) -> int:
        """Bytes in an open file."""
        return os.fstat(descriptor).st_size

    def read(self, descriptor: int, length: int, offset: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""
        parts = []
        while length > 0:
            part = os.pread(descriptor, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, descriptor: int, content: bytes | bytearray, offset: int) -> None:
        """Write all of `content` at `offset`. After an error any part of it may have been written."""
        written = os.pwrite(descriptor, content, offset)
        while written < len(content):
            written += os.pwrite(descriptor, memoryview(content)[written:], offset + written)

    def sync(self, descriptor: int) -> None:
        """fdatasync: content, and a size that changed, are on the disk when this returns."""
        os.fdatasync(descriptor)

    def sync_folder(self, folder: str) -> None:
        """Which names a folder has, and for which files, is on the disk when this returns."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: str, target: str) -> None:
        """Put `source` in the place of `target`, at once."""
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def close(self, descriptor: int) -> None:
        """Close a file; syncs nothing."""
        os.close(descriptor)
