"""Takes in what a task prints, so that it never blocks, and keeps a bounded amount of it, line by line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

from reconciler.model.output import STDERR, STDOUT, LogLine

OUTPUT_BYTES_MAX = 5 * 1024 * 1024
"""Of each of the two files that a task's output is kept in: when the first is full it takes the place of the second."""

LINE_BYTES_MAX = 16 * 1024
"""Of one line that is kept; a longer one goes on in the next, as an engine does it."""

READ_BYTES = 64 * 1024
FIFO_MODE = 0o600
TAIL_BYTES = 1024 * 1024
TAIL_LINES = 10_000
"""How far back a reader looks who wants no more lines than these; one who wants more looks at all that is kept."""


def _older(path: Path) -> Path:
    return path.with_suffix(".log.1")


def error_pipe(pipe: Path) -> Path:
    """Return where the pipe for standard error is, beside that for standard output."""
    return pipe.with_suffix(".errors")


class OutputLog:
    """Copies the read ends of a task's two pipes into a file, from the event loop, until they end or are closed.

    A record is `stream nanoseconds text`, a line each.
    """

    def __init__(self, path: Path, pipe_path: Path) -> None:
        """`pipe_path` is where the pipe has its name, for a successor of ours to find it."""
        self._path = path
        self._pipe_paths = {STDOUT: pipe_path, STDERR: error_pipe(pipe_path)}
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._pipes: dict[int, int] = {}
        self._begun = {STDOUT: b"", STDERR: b""}
        self._last_ns = 0

    def open_pipes(self) -> tuple[int, int]:
        """Return the ends to write to, for the child's output and errors; the caller closes its own copies of them.

        They can be read from as well, so that a task that prints while nobody of us is there waits for a reader when
        the pipe is full, and gets no SIGPIPE.
        """
        for path in self._pipe_paths.values():
            os.mkfifo(path, FIFO_MODE)
        self.reopen_pipes()
        out, errors = (os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in self._pipe_paths.values())
        return out, errors

    def reopen_pipes(self) -> None:
        """Go on with what a predecessor began; a pipe that is gone is none."""
        for stream, path in self._pipe_paths.items():
            with contextlib.suppress(FileNotFoundError):
                self._pipes[stream] = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                asyncio.get_running_loop().add_reader(self._pipes[stream], self._read, stream)

    def _read(self, stream: int) -> bool:
        """Copy one piece; return whether there may be more right now."""
        pipe = self._pipes.get(stream)
        if pipe is None:
            return False
        try:
            piece = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        if piece:
            self._take(stream, piece)
            return True
        self._close_pipe(stream)
        return False

    def _take(self, stream: int, piece: bytes) -> None:
        *lines, rest = (self._begun[stream] + piece).split(b"\n")
        while len(rest) > LINE_BYTES_MAX:
            lines.append(rest[:LINE_BYTES_MAX])
            rest = rest[LINE_BYTES_MAX:]
        self._begun[stream] = rest
        self._write(b"".join(self._record(stream, line) for line in lines))

    def _record(self, stream: int, line: bytes) -> bytes:
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        return b"%d %d %s\n" % (stream, self._last_ns, line)

    def add_line(self, line: str) -> None:
        """Add a line of ours to what the task has printed."""
        self._write(self._record(STDERR, line.encode()))

    def _write(self, records: bytes) -> None:
        if self._file.closed or not records:
            return
        try:
            if self._size + len(records) > OUTPUT_BYTES_MAX:
                self._rotate()
            self._size += self._file.write(records) or 0
        except OSError:
            # A full disk costs output, not the task.
            return

    def _rotate(self) -> None:
        self._path.replace(_older(self._path))
        self._file.close()
        self._file = self._path.open("ab", buffering=0)
        self._size = 0

    def finish(self) -> None:
        """Take in what the ended task left in its pipes, and close."""
        for stream in (STDOUT, STDERR):
            for _ in range(OUTPUT_BYTES_MAX // READ_BYTES):
                if not self._read(stream):
                    break
        self.let_go()
        for path in self._pipe_paths.values():
            path.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Close, and leave the pipes to a successor; a line that has only begun is kept as one."""
        for stream, begun in self._begun.items():
            self._close_pipe(stream)
            if begun:
                self._write(self._record(stream, begun))
        self._begun = {STDOUT: b"", STDERR: b""}
        self._file.close()

    def _close_pipe(self, stream: int) -> None:
        pipe = self._pipes.pop(stream, None)
        if pipe is not None:
            asyncio.get_running_loop().remove_reader(pipe)
            os.close(pipe)


def last_lines(path: Path, lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
    """Return the last `lines` lines of a task's output that are younger than `since_ns`, oldest first."""
    if lines <= 0:
        return ()
    size = TAIL_BYTES if lines <= TAIL_LINES else OUTPUT_BYTES_MAX
    content = _end_of(path, size)
    if content.count(b"\n") <= lines:
        content = _end_of(_older(path), size) + content
    found = [_parsed(record) for record in content.split(b"\n")[-lines - 1 :]]
    return tuple([line for line in found if line is not None and line.at_ns > since_ns][-lines:])


def _parsed(record: bytes) -> LogLine | None:
    """Return what one record holds; None for half of one."""
    parts = record.split(b" ", 2)
    if len(parts) < 3 or parts[0] not in (b"1", b"2") or not parts[1].isdigit():
        return None
    return LogLine(int(parts[0]), int(parts[1]), parts[2])


def _end_of(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - most, 0))
            return file.read()
    except OSError:
        return b""


def remove_output(path: Path) -> None:
    path.unlink(missing_ok=True)
    _older(path).unlink(missing_ok=True)
