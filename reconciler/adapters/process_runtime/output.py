"""Takes in what a task prints, so that it never blocks, and keeps as much as its log driver says, line by line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from reconciler.adapters.process_runtime.log_driver import Kept
from reconciler.model.output import STDERR, STDOUT, LogLine

LINE_BYTES_MAX = 16 * 1024
"""Of one line that is kept; a longer one goes on in the next, as an engine does it."""

READ_BYTES = 64 * 1024
LEFT_BYTES_MAX = 5 * 1024 * 1024
"""Of what is taken in of a pipe once its task has ended; a pipe holds much less, unless somebody still writes."""

FIFO_MODE = 0o600
TAIL_BYTES = 2 * 1024 * 1024
TAIL_LINES = 10_000
"""How far back a reader looks who wants no more lines than these."""

LOOK_BYTES_MAX = 64 * 1024 * 1024
"""How far back a reader looks who wants more; with the limits of a driver that names none, that is all that is kept."""

_GAPS_MAX = 1
"""A crash amid a rotation leaves one number without a file; the next rotation fills it."""


def _older(path: Path, number: int = 1) -> Path:
    return path.with_suffix(f".log.{number}")


def _all_older(path: Path) -> Iterator[Path]:
    """Yield the files that were full, the youngest first."""
    missing = 0
    for number in count(1):
        older = _older(path, number)
        if older.exists():
            yield older
        elif (missing := missing + 1) > _GAPS_MAX:
            return


def error_pipe(pipe: Path) -> Path:
    """Return where the pipe for standard error is, beside that for standard output."""
    return pipe.with_suffix(".errors")


class OutputLog:
    """Copies the read ends of a task's two pipes into a file, from the event loop, until they end or are closed.

    A record is `stream nanoseconds text`, a line each. A full file gives its place to the next, and is kept as long as
    there may be so many.
    """

    def __init__(self, path: Path, pipe_path: Path, kept: Kept) -> None:
        """`pipe_path` is where the pipe has its name, for a successor of ours to find it."""
        self._path = path
        self._kept = kept
        self._pipe_paths = {STDOUT: pipe_path, STDERR: error_pipe(pipe_path)}
        self._file = path.open("ab", buffering=0) if kept.files else None
        self._size = self._file.tell() if self._file else 0
        self._pipes: dict[int, int] = {}
        self._begun = {STDOUT: b"", STDERR: b""}
        self._last_ns = 0

    def open_pipes(self) -> tuple[int, int]:
        """Return the ends to write to, for the child's output and errors; the caller closes its own copies of them.

        They can be read from as well, so that a task that prints while nobody of us is there waits for a reader when
        the pipe is full, and gets no SIGPIPE. Where nothing is kept there are no pipes, and nothing is read.
        """
        if not self._kept.files:
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
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
        self._write([self._record(stream, line) for line in lines])

    def _record(self, stream: int, line: bytes) -> bytes:
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        return b"%d %d %s\n" % (stream, self._last_ns, line)

    def add_line(self, line: str) -> None:
        """Add a line of ours to what the task has printed."""
        self._write([self._record(STDERR, line.encode())])

    def _write(self, records: Iterable[bytes]) -> None:
        """Append records, to as many files as they fill; a single one that is longer than a file has it to itself."""
        taken: list[bytes] = []
        size = self._size
        try:
            for record in records:
                if size and size + len(record) > self._kept.file_bytes:
                    self._append(taken)
                    self._rotate()
                    taken, size = [], 0
                taken.append(record)
                size += len(record)
            self._append(taken)
        except OSError:
            # A full disk costs output, not the task.
            return

    def _append(self, records: list[bytes]) -> None:
        if self._file is not None and records:
            self._size += self._file.write(b"".join(records)) or 0

    def _rotate(self) -> None:
        """Begin a new file; the oldest is given up where there would be too many."""
        if self._file is None:
            return
        last = self._kept.files - 1
        free = next((number for number in range(1, last) if not _older(self._path, number).exists()), last)
        for number in range(free, 1, -1):
            _older(self._path, number - 1).replace(_older(self._path, number))
        if last:
            self._path.replace(_older(self._path))
        self._file.close()
        self._file = self._path.open("wb", buffering=0)
        self._size = 0

    def finish(self) -> None:
        """Take in what the ended task left in its pipes, and close."""
        for stream in (STDOUT, STDERR):
            for _ in range(LEFT_BYTES_MAX // READ_BYTES):
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
                self._write([self._record(stream, begun)])
        self._begun = {STDOUT: b"", STDERR: b""}
        if self._file is not None:
            self._file.close()
            self._file = None

    def _close_pipe(self, stream: int) -> None:
        pipe = self._pipes.pop(stream, None)
        if pipe is not None:
            asyncio.get_running_loop().remove_reader(pipe)
            os.close(pipe)


def last_lines(path: Path, lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
    """Return the last `lines` lines of a task's output that are younger than `since_ns`, oldest first."""
    if lines <= 0:
        return ()
    left = TAIL_BYTES if lines <= TAIL_LINES else LOOK_BYTES_MAX
    content = _end_of(path, left)
    for older in _all_older(path):
        if content.count(b"\n") > lines or len(content) >= left:
            break
        content = _end_of(older, left - len(content)) + content
    found = [_parsed(record) for record in content.split(b"\n")[-lines - 1 :]]
    return tuple([line for line in found if line is not None and line.at_ns > since_ns][-lines:])


def _parsed(record: bytes) -> LogLine | None:
    """Return what one record holds; None for half of one."""
    parts = record.split(b" ", 2)
    if len(parts) < 3 or parts[0] not in (b"1", b"2") or not parts[1].isdigit():
        return None
    return LogLine(int(parts[0]), int(parts[1]), parts[2])


def _end_of(path: Path, most: int) -> bytes:
    """Return the last bytes of a file, from the beginning of a record."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - most, 0))
            if size > most:
                file.readline()
            return file.read()
    except OSError:
        return b""


def remove_output(path: Path) -> None:
    for older in list(_all_older(path)):
        older.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
