"""Small files put in place whole or not at all, and names in the folder of a log."""

from __future__ import annotations

import os

from reconciler.adapters.raft.disk import Disk, DurabilityUnknown

TEMPORARY = ".tmp"
"""End of the names of files that never counted. They are removed at each start."""


def read_file(disk: Disk, path: str) -> bytes:
    """All of a file."""
    descriptor = disk.open_to_read(path)
    try:
        return disk.read(descriptor, disk.size(descriptor), 0)
    finally:
        disk.close(descriptor)


def put_file(disk: Disk, path: str, content: bytes, size: int = 0) -> None:
    """Put a file in place, synced and under its name for good when this returns.

    `size` in bytes, if greater than the content, is allocated and reads as zeros. An OSError means that nothing
    changed; DurabilityUnknown that the new file may or may not be there after a crash.
    """
    temporary = path + TEMPORARY
    descriptor = create_anew(disk, temporary, size)
    try:
        disk.write(descriptor, content, 0)
        disk.sync(descriptor)
    except OSError:
        discard(disk, temporary)
        raise
    finally:
        disk.close(descriptor)
    put_in_place(disk, temporary, path)


def create_anew(disk: Disk, temporary: str, size: int) -> int:
    """Open a new temporary file, in place of one that was left over. Raises OSError and then leaves none."""
    try:
        return disk.create(temporary, size)
    except FileExistsError:
        disk.unlink(temporary)
    except OSError:
        discard(disk, temporary)
        raise
    return create_anew(disk, temporary, size)


def put_in_place(disk: Disk, temporary: str, path: str) -> None:
    """Give a synced file its name, for good. Raises OSError (nothing changed) or DurabilityUnknown."""
    try:
        disk.rename(temporary, path)
    except OSError:
        discard(disk, temporary)
        raise
    sync_folder(disk, os.path.dirname(path))


def sync_folder(disk: Disk, folder: str) -> None:
    """Make the folder's names durable. Raises DurabilityUnknown."""
    try:
        disk.sync_folder(folder)
    except OSError as error:
        raise DurabilityUnknown(f"sync of {folder}: {error.strerror}") from error


def sync(disk: Disk, descriptor: int, path: str) -> None:
    """Make a file's content durable where it counts already. Raises DurabilityUnknown."""
    try:
        disk.sync(descriptor)
    except OSError as error:
        raise DurabilityUnknown(f"sync of {path}: {error.strerror}") from error


def discard(disk: Disk, path: str) -> None:
    """Remove a file that never counted, if that can be done; the next start tries again."""
    try:
        disk.unlink(path)
    except OSError:
        return
