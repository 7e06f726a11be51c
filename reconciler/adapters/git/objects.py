"""Objects of a clone, read by one long-lived `git cat-file`: nothing is checked out.

A hostile object can make it use memory up to a limit, die, or never answer: each is an error here, and no more.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, SwarmctlError

ANSWER_S: Final = 20.0
"""Seconds in which one object must have been read."""
_HEADER_MAX: Final = 256


class ObjectSize(msgspec.Struct, frozen=True):
    """How many bytes an object has."""

    size: int


class ObjectContent(Discreet, frozen=True):
    """An object's bytes, behind the `read` that other object stores have."""

    UNSHOWN = frozenset({"content"})

    content: bytes

    def read(self) -> bytes:
        """Return all of them."""
        return self.content


@dataclass(slots=True)
class ObjectReader:
    """Reads objects of the bare repository `git_dir`. Not for several threads at once.

    `damaged` is called when an object that ought to be there is not, or can't be read.
    Every method raises SwarmctlError: source-damaged.
    """

    git_dir: Path
    variables: Mapping[str, str] = field(repr=False)
    damaged: Callable[[], None] = lambda: None
    answer_s: float = ANSWER_S
    _process: subprocess.Popen[bytes] | None = None
    _buffer: bytearray = field(default_factory=bytearray, repr=False)

    def info(self, sha: bytes) -> ObjectSize:
        """Return an object's size, without reading it."""
        deadline = time.monotonic() + self.answer_s
        return ObjectSize(self._header("info", sha, deadline))

    def stream(self, sha: bytes) -> ObjectContent:
        """Return an object's content. Ask for its size before."""
        deadline = time.monotonic() + self.answer_s
        size = self._header("contents", sha, deadline)
        content = self._exactly(size + 1, deadline)
        return ObjectContent(bytes(content[:-1]))

    def close(self) -> None:
        """End the process; a further call would start another."""
        process, self._process = self._process, None
        self._buffer.clear()
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()

    def __del__(self) -> None:
        self.close()

    def _header(self, verb: str, sha: bytes, deadline: float) -> int:
        name = sha.hex()
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(f"{verb} {name}\n".encode())
            process.stdin.flush()
        except OSError as error:
            raise self._failed(name) from error
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _HEADER_MAX:
                raise self._failed(name)
            self._more(deadline, name)
        words = bytes(self._buffer[:end]).split()
        del self._buffer[: end + 1]
        if len(words) != 3 or words[0] != name.encode() or not words[2].isdigit():
            raise self._failed(name)
        return int(words[2])

    def _exactly(self, count: int, deadline: float) -> bytearray:
        while len(self._buffer) < count:
            self._more(deadline, "")
        taken = self._buffer[:count]
        del self._buffer[:count]
        return taken

    def _more(self, deadline: float, name: str) -> None:
        process = self._running()
        assert process.stdout is not None
        remaining = deadline - time.monotonic()
        ready = remaining > 0 and select.select([process.stdout], [], [], remaining)[0]
        piece = os.read(process.stdout.fileno(), 1 << 20) if ready else b""
        if not piece:
            raise self._failed(name)
        self._buffer += piece

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            try:
                self._process = subprocess.Popen(
                    ["git", f"--git-dir={self.git_dir}", "cat-file", "--batch-command"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=dict(self.variables),
                    cwd=self.git_dir,
                    start_new_session=True,
                )
            except OSError as error:
                raise self._failed("") from error
        return self._process

    def _failed(self, name: str) -> SwarmctlError:
        self.close()
        self.damaged()
        return SwarmctlError(
            ErrorCode.SOURCE_DAMAGED,
            "The clone of the repository is damaged.",
            why=f"The object {name[:12]} is missing or can't be read." if name else "An object can't be read.",
            hint="Nothing needs to be done: the clone is made anew at the next look.",
        )
