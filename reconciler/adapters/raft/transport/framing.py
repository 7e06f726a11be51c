"""Frames in a stream of bytes: four bytes of length, the greatest first, and so many bytes."""

from __future__ import annotations

import struct

HEADER = struct.Struct("!I")


class FrameTooLarge(Exception):
    """A header announces more bytes than are allowed. `size` is what it says."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a frame of {size} bytes; at most {limit} are allowed")
        self.size = size


class FrameReader:
    """Cuts what arrives into frames. Of an unfinished one it keeps what has arrived, never room for what should."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._partial = bytearray()

    @property
    def awaited(self) -> int:
        """Bytes of an unfinished frame with its header, as far as known; 0 between two frames."""
        if len(self._partial) < HEADER.size:
            return HEADER.size if self._partial else 0
        return HEADER.size + int(HEADER.unpack_from(self._partial)[0])

    def feed(self, data: memoryview) -> list[bytes]:
        """Return the frames that `data` completes, in order. Raises FrameTooLarge at the header, before its bytes."""
        frames: list[bytes] = []
        position = self._continue(data, frames) if self._partial else 0
        end = len(data)
        while end - position >= HEADER.size:
            start = position + HEADER.size
            stop = start + self._checked(HEADER.unpack_from(data, position)[0])
            if stop > end:
                break
            frames.append(bytes(data[start:stop]))
            position = stop
        if position < end:
            self._partial += data[position:]
        return frames

    def _continue(self, data: memoryview, frames: list[bytes]) -> int:
        """Add to the unfinished frame what belongs to it; return where in `data` the next one begins."""
        partial = self._partial
        position = 0
        if len(partial) < HEADER.size:
            position = min(HEADER.size - len(partial), len(data))
            partial += data[:position]
            if len(partial) < HEADER.size:
                return position
        missing = HEADER.size + self._checked(HEADER.unpack_from(partial)[0]) - len(partial)
        stop = min(position + missing, len(data))
        partial += data[position:stop]
        if stop - position == missing:
            frames.append(bytes(memoryview(partial)[HEADER.size :]))
            self._partial = bytearray()
        return stop

    def _checked(self, size: int) -> int:
        if size > self._limit:
            raise FrameTooLarge(size, self._limit)
        return size
