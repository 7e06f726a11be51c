"""Takes in what a task prints, so that it never blocks, and keeps a bounded amount of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

OUTPUT_BYTES_MAX = 5 * 1024 * 1024
"""Of each of the two files that a task's output is kept in: when the first is full it takes the place of the second."""

READ_BYTES = 64 * 1024
FIFO_MODE = 0o600
TAIL_BYTES_MAX = 1024 * 1024
"""How far back a reader of the last lines may look."""


def _older(path: Path) -> Path:
    return path.with_suffix(".log.1")


class OutputLog:
    """Copies the read end of a pipe into a file, from the event loop, until the pipe ends or is closed."""

    def __init__(self, path: Path, pipe_path: Path) -> None:
        """`pipe_path` is where the pipe has its name, for a successor of ours to find it."""
        self._path = path
        self._pipe_path = pipe_path
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._pipe: int | None = None

    def open_pipe(self) -> int:
        """Return the end to write to, for the child; the caller closes its own copy of it.

        It can be read from as well, so that a task that prints while nobody of us is there waits for a reader when
        the pipe is full, and gets no SIGPIPE.
        """
        os.mkfifo(self._pipe_path, FIFO_MODE)
        self.reopen_pipe()
        return os.open(self._pipe_path, os.O_RDWR | os.O_CLOEXEC)

    def reopen_pipe(self) -> None:
        """Go on with what a predecessor began; a pipe that is gone is none."""
        with contextlib.suppress(FileNotFoundError):
            self._pipe = os.open(self._pipe_path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            asyncio.get_running_loop().add_reader(self._pipe, self._read)

    def _read(self) -> bool:
        """Copy one piece; return whether there may be more right now."""
        if self._pipe is None:
            return False
        try:
            piece = os.read(self._pipe, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        if piece:
            self.write(piece)
            return True
        self._close_pipe()
        return False

    def write(self, piece: bytes) -> None:
        if self._file.closed:
            return
        try:
            if self._size + len(piece) > OUTPUT_BYTES_MAX:
                self._rotate()
            self._size += self._file.write(piece) or 0
        except OSError:
            # A full disk costs output, not the task.
            return

    def _rotate(self) -> None:
        self._path.replace(_older(self._path))
        self._file.close()
        self._file = self._path.open("ab", buffering=0)
        self._size = 0

    def finish(self) -> None:
        """Take in what the ended task left in its pipe, and close."""
        for _ in range(OUTPUT_BYTES_MAX // READ_BYTES):
            if not self._read():
                break
        self.let_go()
        self._pipe_path.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Close, and leave the pipe to a successor."""
        self._close_pipe()
        self._file.close()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = None


def last_lines(path: Path, lines: int) -> tuple[str, ...]:
    """Return the last `lines` lines of a task's output, oldest first; what is no UTF-8 is replaced."""
    if lines <= 0:
        return ()
    content = _end_of(path)
    if content.count(b"\n") <= lines:
        content = _end_of(_older(path)) + content
    pieces = content.split(b"\n")
    if not pieces[-1]:
        pieces.pop()
    return tuple(piece.decode("utf-8", "replace").rstrip("\r") for piece in pieces[-lines:])


def _end_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - TAIL_BYTES_MAX, 0))
            return file.read()
    except OSError:
        return b""


def remove_output(path: Path) -> None:
    path.unlink(missing_ok=True)
    _older(path).unlink(missing_ok=True)
