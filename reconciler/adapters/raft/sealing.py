"""What makes the content of a journal and of snapshots unreadable to whoever has the disk alone.

Lengths, indexes, terms and members stay readable: they tell how much was written, and not what.
"""

from __future__ import annotations

import struct
from typing import Protocol

SALT_BYTES = 8
_PLACE = struct.Struct("<QQQ")


class Seal(Protocol):
    """Authenticated encryption with a key that is no concern of the log's. Its methods are called in any thread."""

    @property
    def overhead(self) -> int:
        """Bytes that sealed data has more than plain."""
        ...

    def close(self, data: bytes, salt: bytes, place: bytes) -> bytes:
        """Return `data` sealed for one place of the file with this salt."""
        ...

    def open(self, sealed: bytes, salt: bytes, place: bytes) -> bytes | None:
        """Return what was sealed; None if it was sealed with another key or for another place, or was changed."""
        ...


def place(index: int, term: int, number: int) -> bytes:
    """Return what binds sealed data to where it belongs: an entry with its kind, or a snapshot with its block."""
    return _PLACE.pack(index, term, number)
