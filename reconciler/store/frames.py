"""The frames of a snapshot: pieces of a length that is told first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from reconciler.model.errors import ErrorCode, SwarmctlError

FRAME_BYTES = 256 * 1024
"""A frame is closed when it has grown to this."""

FRAME_BYTES_MAX = 128 * 1024 * 1024
"""A longer frame is taken for a damaged length. One has at most FRAME_BYTES and a row, which came in one log entry."""


def frame(name: str, body: bytes | bytearray, count: int | None = None) -> bytes:
    """Return [name, body] as a frame. With a `count`, `body` is that many msgpack values, to be read as one list."""
    header = b"" if count is None else b"\xdd" + count.to_bytes(4, "big")
    label = name.encode()
    size = 2 + len(label) + len(header) + len(body)
    return b"".join((size.to_bytes(4, "big"), b"\x92", bytes((0xA0 | len(label),)), label, header, body))


class FrameReader:
    """Reads a stream that comes in chunks of any size, and sums up what it read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()
        self._digest = hashlib.sha256()

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes; raises SwarmctlError when the stream ends before."""
        held = self._held
        while len(held) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise corrupt("It is cut off.")
            held += chunk
        taken = bytes(held[:size])
        del held[:size]
        self._digest.update(taken)
        return taken

    def take_frame(self) -> bytes:
        size = int.from_bytes(self.take(4), "big")
        if size > FRAME_BYTES_MAX:
            raise corrupt("The length of a part is impossible.")
        return self.take(size)

    def digest(self) -> bytes:
        """Return the SHA-256 of all that was taken so far."""
        return self._digest.digest()

    def is_at_end(self) -> bool:
        return not self._held and not any(self._chunks)


def corrupt(why: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.SNAPSHOT_CORRUPT,
        "The snapshot is damaged.",
        why=why,
        hint="Restore another copy, or let this member fetch the state from the others.",
    )
