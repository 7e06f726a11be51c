"""What members acknowledged, as files that survive any death of the process, and whether the group still has it.

A worker is one sequence of writes: to `worker/KEY` it writes 1, 2, 3, ... in turn over KEYS keys, each with the
worker's name in the value. So the value at the end says which writes took place: none below what was acknowledged for
that key is allowed (lost), none above what was ever tried (phantom).
"""

from __future__ import annotations

import os
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

NAMESPACE = "chaos"
KEYS = 8
"""Keys that a worker writes in turn."""

TRIES_AHEAD = 1_000
"""Tries are noted this many ahead, in one line; a phantom beyond them is noticed all the same."""

_NOTE = struct.Struct("<BQ")
_TRIED, _ACKNOWLEDGED = 1, 2


def key_of(worker: str, number: int) -> str:
    """Where a worker's write of that number goes."""
    return f"{worker}/{number % KEYS}"


def value_of(worker: str, number: int, size: int = 0) -> bytes:
    """What it writes, padded to `size` bytes."""
    return f"{worker}:{number}:".encode().ljust(size, b".")


class Ledger:
    """The notes of one worker. An acknowledgement is in the kernel's hands before the next write begins."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._file = os.open(folder / worker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._tries_noted = 0

    def trying(self, number: int) -> None:
        """Call it before a write leaves."""
        if number > self._tries_noted:
            self._tries_noted = number + TRIES_AHEAD
            os.write(self._file, _NOTE.pack(_TRIED, self._tries_noted))

    def acknowledged(self, number: int) -> None:
        os.write(self._file, _NOTE.pack(_ACKNOWLEDGED, number))

    def close(self) -> None:
        os.close(self._file)


@dataclass
class Account:
    """What all ledgers of a folder say, by key."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    count: int = 0

    @classmethod
    def read(cls, folder: Path) -> Account:
        """Read every ledger. A note that was cut short by a power cut is left out."""
        account = cls()
        for path in sorted(folder.iterdir()):
            notes = path.read_bytes()
            whole = len(notes) - len(notes) % _NOTE.size
            account._take_in(path.name, _NOTE.iter_unpack(notes[:whole]))
        return account

    def _take_in(self, worker: str, notes: Iterable[tuple[int, int]]) -> None:
        newest: dict[str, int] = defaultdict(int)
        tried = 0
        for kind, number in notes:
            if kind == _TRIED:
                tried = number
                continue
            self.count += 1
            key = key_of(worker, number)
            newest[key] = max(newest[key], number)
        self.acknowledged.update(newest)
        self.tried[worker] = tried

    def complaints(self, records: dict[str, str]) -> list[str]:
        """What is wrong with a member's records, by key without the namespace: lost and phantom writes."""
        found = []
        for key, number in self.acknowledged.items():
            if key not in records:
                found.append(f"lost: {key} is not there, {number} was acknowledged")
            elif (is_now := self._number(key, records[key])) < number:
                found.append(f"lost: {key} is at {is_now}, {number} was acknowledged")
        for key, value in records.items():
            worker = key.rpartition("/")[0]
            number = self._number(key, value)
            if worker not in self.tried or number > self.tried[worker] or key != key_of(worker, number):
                found.append(f"phantom: {key} is at {number}, which nobody tried")
        return found

    @staticmethod
    def _number(key: str, value: str) -> int:
        """The number in a value, or one that nobody tried if another worker wrote it."""
        worker, number, _ = value.split(":", 2)
        return int(number) if worker == key.rpartition("/")[0] else 1 << 62
