"""One git command at a time, in a world of our own: no user's, system's or remote's configuration, no hooks.

Nothing that a remote sends is checked out or run. The clone's configuration is the one that we write; what git asks
the user for fails. A command that is still there after its time is killed with all that it started, and so is one
whose controller was killed: `timeout` stands between.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from reconciler.model.discreet import Discreet

OUTPUT_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of a command's output that are kept: 300,000 references. A command that prints more is killed."""
ERROR_BYTES_MAX: Final = 64 * 1024
ALLOCATION_BYTES_MAX: Final = 512 * 1024 * 1024
"""The largest piece of memory that git may ask for: a small pack can claim to hold a huge folder."""
KILL_AFTER_S: Final = 5
_FILE_BLOCK: Final = 512
_LIMITED: Final = 'ulimit -f "$1" && shift && exec "$@"'
"""No file beyond so many blocks. Arguments are the shell's own: none of them is read as a command."""

CONFIGURATION: Final = """\
# Written by swarmctl for its own clone; read in place of every other configuration.
[core]
	hooksPath = /dev/null
	fsmonitor = false
	symlinks = false
	protectHFS = true
	protectNTFS = true
	bigFileThreshold = 1m
	askPass =
[credential]
	helper =
[fetch]
	fsckObjects = true
	# Always a pack, whose size has a limit, and never loose objects, which are made in memory.
	unpackLimit = 1
	recurseSubmodules = false
	writeCommitGraph = false
[fetch "fsck"]
	# Found in many an old repository, and harmless to a reader.
	zeroPaddedFilemode = warn
	badTimezone = warn
	missingSpaceBeforeDate = warn
	badDateOverflow = warn
[gc]
	auto = 0
[maintenance]
	auto = false
[pack]
	threads = 1
[http]
	lowSpeedLimit = 1
	lowSpeedTime = 30
[protocol]
	allow = never
[submodule]
	recurse = false
[gpg]
	program = gpg
[gpg "x509"]
	program = /bin/false
"""


class Ended(Discreet, frozen=True):
    """How a command ended. `status` is None when its time was over, or it printed too much (`overflowed`)."""

    UNSHOWN = frozenset({"output", "error"})

    status: int | None
    output: bytes
    error: str
    overflowed: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def timed_out(self) -> bool:
        return not self.overflowed and self.status in (None, 124, 137)


class GitCommand(Discreet, frozen=True):
    """Runs git with `configuration` (a file) and `home` (an empty folder) in place of the user's.

    `always` is added to each command's environment; `environment` only where it talks to the remote: it may hold
    secrets, which are in no argument, message or repr.
    `lock` is a file descriptor that commands inherit: as long as one of them runs, the lock that it stands for is held.
    """

    UNSHOWN = frozenset({"environment"})

    configuration: Path
    home: Path
    search_path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment: Mapping[str, str] = msgspec.field(default_factory=dict)
    always: Mapping[str, str] = msgspec.field(default_factory=dict)
    lock: int | None = None

    def variables(self) -> dict[str, str]:
        """Return the whole environment of a command that reads our own clone only."""
        return {
            "PATH": self.search_path,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home),
            "LC_ALL": "C",
            "TZ": "UTC",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.configuration),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_ALLOC_LIMIT": str(ALLOCATION_BYTES_MAX),
            **self.always,
        }

    async def run(
        self, repository: Path | None, *words: str, wait_s: float, file_bytes: int | None = None, talks: bool = False
    ) -> Ended:
        """Run `git WORDS` on a bare repository and return how it ended; never raises for what git says.

        `wait_s` seconds are its time; `file_bytes` the largest file that it may write. `talks` gives it the
        environment that opens the remote. Raises OSError when it can't be started.
        """
        named = [] if repository is None else [f"--git-dir={repository}"]
        line = ["timeout", "-k", str(KILL_AFTER_S), f"{wait_s:.3f}", "git", *named, *words]
        if file_bytes is not None:
            line = ["sh", "-c", _LIMITED, "sh", str(max(1, file_bytes // _FILE_BLOCK)), *line]
        process = await asyncio.create_subprocess_exec(
            *line,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.variables(), **(self.environment if talks else {})},
            cwd=self.home,
            start_new_session=True,
            pass_fds=() if self.lock is None else (self.lock,),
        )
        return await _followed(process, wait_s + 2 * KILL_AFTER_S)


async def _followed(process: asyncio.subprocess.Process, wait_s: float) -> Ended:
    assert process.stdout is not None
    assert process.stderr is not None
    # `timeout` makes a process group of its own, whose number is its process id.
    reads = asyncio.gather(_read(process.stdout, OUTPUT_BYTES_MAX), _tail(process.stderr, ERROR_BYTES_MAX))
    reads.add_done_callback(_noticed)
    try:
        # Not asyncio.wait_for: until Python 3.12 it loses a cancellation that comes as the command ends.
        async with asyncio.timeout(wait_s):
            output, error = await reads
        async with asyncio.timeout(wait_s):
            status: int | None = await process.wait()
    except TimeoutError:
        return Ended(None, b"", "")
    except OutputTooLong:
        return Ended(None, b"", "", overflowed=True)
    finally:
        reads.cancel()
        if process.returncode is None:
            _kill_group(process.pid)
            await process.wait()
    return Ended(status, output, error)


def _noticed(reads: asyncio.Future[tuple[bytes, str]]) -> None:
    """See how reading ended, so that nobody is told of it as forgotten: of a broken off command it does not matter."""
    if not reads.cancelled():
        reads.exception()


class OutputTooLong(Exception):
    """A command printed more than is kept of it."""


async def _read(stream: asyncio.StreamReader, bytes_max: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await stream.read(65536):
        size += len(piece)
        if size > bytes_max:
            raise OutputTooLong
        pieces.append(piece)
    return b"".join(pieces)


async def _tail(stream: asyncio.StreamReader, bytes_max: int) -> str:
    kept = b""
    while piece := await stream.read(65536):
        kept = (kept + piece)[-bytes_max:]
    return kept.decode("utf-8", "replace")


def _kill_group(leader: int) -> None:
    """End a command and its helpers: one that outlived it would hold the lock."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
