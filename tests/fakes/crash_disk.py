"""A disk in memory that knows what was synced, ends the process at its n-th call, and loses the rest in a power cut."""

from __future__ import annotations

import errno
import random
from itertools import pairwise
from typing import Any

from reconciler.adapters.raft.disk import Disk

SECTOR = 512
Change = tuple[int, bytes]
"""Offset and bytes of a write. A file of zeros in the process of being allocated is a write of zeros at offset 0."""


class Died(BaseException):
    """The process ends here. No `except Exception` or OSError of the code under test may go on after it."""


class Node:
    """A file: its content as processes see it, as it is on the platters, and the writes in between, in order."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.synced = bytearray()
        self.unsynced: list[Change] = []


def _put(content: bytearray, change: Change) -> None:
    offset, written = change
    if len(content) < offset + len(written):
        content.extend(bytes(offset + len(written) - len(content)))
    content[offset : offset + len(written)] = written


class CrashDisk(Disk):
    """Each call that changes something counts; `dies_at` is the number of the call that is not carried out any more.

    `space` bytes may be allocated, None for any number. `refuses` maps a call's number to the errno that it raises.
    """

    def __init__(self, *, dies_at: int = 0, space: int | None = None) -> None:
        self.calls: list[str] = []
        self.dies_at = dies_at
        self.space = space
        self.refuses: dict[int, int] = {}
        self.folder: dict[str, Node] = {}
        self.synced_folder: dict[str, Node] = {}
        self.unsynced_names: list[tuple[str, str, Node | None]] = []
        self._opened: dict[int, Node] = {}
        self._descriptors = 10
        self._locked: set[int] = set()

    # what a test does

    def kill(self) -> CrashDisk:
        """The process ended: its descriptors and locks are gone, and everything that it wrote is there."""
        after = CrashDisk()
        after.folder = {name: self._copy(node) for name, node in self.folder.items()}
        after.synced_folder = dict(after.folder)
        return after

    def cut_power(self, chance: random.Random) -> CrashDisk:
        """What is found after a power cut: everything synced, and of the rest what chance has it."""
        names = dict(self.synced_folder)
        changes = self.unsynced_names
        if chance.random() < 0.5:
            kept = changes[: chance.randint(0, len(changes))]
        else:
            kept = [change for change in changes if chance.random() < 0.5]
        for verb, name, node in kept:
            if verb == "put" and node is not None:
                names = {other: there for other, there in names.items() if there is not node}
                names[name] = node
            elif verb == "drop":
                names.pop(name, None)
        after = CrashDisk()
        found: dict[int, Node] = {}
        for name, node in names.items():
            after.folder[name] = found.setdefault(id(node), self._after_cut(node, chance))
        after.synced_folder = dict(after.folder)
        return after

    def content(self, name: str) -> bytes:
        """A file's content, as processes see it."""
        return bytes(self.folder[name].content)

    def put(self, name: str, content: bytes) -> None:
        """Change a file behind everybody's back."""
        node = Node()
        node.content = bytearray(content)
        node.synced = bytearray(content)
        self.folder[name] = self.synced_folder[name] = node

    # what the code under test does

    def lock(self, path: str) -> int:
        if self._locked:
            raise BlockingIOError(errno.EWOULDBLOCK, "locked")
        descriptor = self._open(Node())
        self._locked.add(descriptor)
        return descriptor

    def make_folder(self, path: str) -> None:
        pass

    def names(self, folder: str) -> list[str]:
        return sorted(self.folder)

    def create(self, path: str, size: int) -> int:
        name = self._name(path)
        if name in self.folder:
            raise FileExistsError(errno.EEXIST, "exists")
        self._count(f"create {name}")
        node = Node()
        self.folder[name] = node
        self.unsynced_names.append(("put", name, node))
        if size:
            self._grow(node, size)
            self._write(node, (0, bytes(size)))
        return self._open(node)

    def open(self, path: str) -> int:
        return self._open(self._find(path))

    def open_to_read(self, path: str) -> int:
        return self._open(self._find(path))

    def size(self, descriptor: int) -> int:
        return len(self._opened[descriptor].content)

    def read(self, descriptor: int, length: int, offset: int) -> bytes:
        return bytes(self._opened[descriptor].content[offset : offset + length])

    def write(self, descriptor: int, content: Any, offset: int) -> None:
        node = self._opened[descriptor]
        self._count("write")
        self._grow(node, offset + len(content))
        self._write(node, (offset, bytes(content)))

    def sync(self, descriptor: int) -> None:
        self._count("sync")
        node = self._opened[descriptor]
        node.synced = bytearray(node.content)
        node.unsynced.clear()

    def sync_folder(self, folder: str) -> None:
        self._count("sync folder")
        self.synced_folder = dict(self.folder)
        self.unsynced_names.clear()

    def rename(self, source: str, target: str) -> None:
        old, new = self._name(source), self._name(target)
        self._find(source)
        self._count(f"rename {new}")
        node = self.folder.pop(old)
        self.folder[new] = node
        self.unsynced_names.append(("put", new, node))

    def unlink(self, path: str) -> None:
        name = self._name(path)
        self._find(path)
        self._count(f"unlink {name}")
        del self.folder[name]
        self.unsynced_names.append(("drop", name, None))

    def close(self, descriptor: int) -> None:
        del self._opened[descriptor]
        self._locked.discard(descriptor)

    def _count(self, call: str) -> None:
        number = len(self.calls) + 1
        if self.dies_at and number >= self.dies_at:
            raise Died(f"call {number}: {call}")
        self.calls.append(call)
        if number in self.refuses:
            raise OSError(self.refuses[number], f"call {number} is refused")

    def _grow(self, node: Node, size: int) -> None:
        if self.space is None:
            return
        used = sum(len(other.content) for other in {id(n): n for n in self.folder.values()}.values())
        if used + max(0, size - len(node.content)) > self.space:
            raise OSError(errno.ENOSPC, "No space left on device")

    def _write(self, node: Node, change: Change) -> None:
        _put(node.content, change)
        node.unsynced.append(change)

    def _open(self, node: Node) -> int:
        self._descriptors += 1
        self._opened[self._descriptors] = node
        return self._descriptors

    def _find(self, path: str) -> Node:
        name = self._name(path)
        if name not in self.folder:
            raise FileNotFoundError(errno.ENOENT, "No such file", path)
        return self.folder[name]

    @staticmethod
    def _name(path: str) -> str:
        return path.rsplit("/", 1)[-1]

    @staticmethod
    def _copy(node: Node) -> Node:
        copied = Node()
        copied.content = bytearray(node.content)
        copied.synced = bytearray(node.content)
        return copied

    @staticmethod
    def _after_cut(node: Node, chance: random.Random) -> Node:
        after = Node()
        content = bytearray(node.synced)
        for change in node.unsynced:
            for part in _kept(change, chance):
                _put(content, part)
        after.content, after.synced = content, bytearray(content)
        return after


def _kept(change: Change, chance: random.Random) -> list[Change]:
    """What is left of an unsynced write: nothing, all, a beginning torn at any byte, or any of its sectors."""
    offset, written = change
    fate = chance.randrange(4)
    if fate == 0:
        return []
    if fate == 1:
        return [change]
    if fate == 2:
        return [(offset, written[: chance.randint(0, len(written))])]
    cuts = [0, *range(-offset % SECTOR or SECTOR, len(written), SECTOR), len(written)]
    parts = [(offset + start, written[start:end]) for start, end in pairwise(cuts)]
    return [part for part in parts if chance.random() < 0.5]
