"""One task's processes: the keeper that starts the program, the program, and the rest of its process group.

The keeper is a small shell that outlives this daemon: it writes down the program's exit code, so that a successor
learns how a task has ended that nobody watched, and holds the pipe of its output open, so that the task can go on
printing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from reconciler.adapters.process_runtime.leftovers import is_zombie, start_ticks
from reconciler.adapters.process_runtime.refusal import cannot_run
from reconciler.adapters.process_runtime.signals import CAUGHT, hand_on_defaults

UMASK = 0o022
SIGNAL_EXIT_BASE = 128
LOST_EXIT_CODE = SIGNAL_EXIT_BASE + signal.SIGKILL
"""Of a task whose keeper left no exit code: it was killed with its whole group."""

PID_BYTES_MAX = 16
SHELL = "/bin/sh"

LOOK_S = 0.05
"""Seconds between looks at a task, where the kernel can't tell of its end."""

# A trap that does nothing makes the shell outlive a signal to its group until the program has ended, and unlike "" it
# is not handed on. The program's number goes out by standard input, the one descriptor that every shell can name; where
# nobody reads it any more, since this daemon was killed at that moment, the program is started all the same.
_KEEPER = f"""trap : {CAUGHT}
exit_file=$1; shift
/bin/sh -c 'trap : 13; echo $$ 2>/dev/null >&0; trap - 13; exec "$@" </dev/null' "$@"
code=$?
echo $code >"$exit_file.new" && mv -f "$exit_file.new" "$exit_file"
exit $code
"""
_WAITING = "kill -STOP $$\n"
"""What a keeper begins with where there are limits, so that nothing of the task ever runs without."""


class Program(msgspec.Struct, frozen=True):
    """What to run, where, where its output and errors go (file descriptors), and where its exit code is written down.

    `limit` is called with the keeper's number before anything runs; None: there are no limits.
    """

    argv: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    output: tuple[int, int]
    exit_file: Path
    limit: Callable[[int], None] | None = None


class Child:
    """A keeper and what it keeps. `exited` has the exit code once it, and its whole process group, have been ended."""

    def __init__(self, keeper_pid: int, exit_file: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        """`process` is the keeper where it was started here; an adopted one, which may have ended, has none.

        Raises ProcessLookupError when an adopted keeper has ended.
        """
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self.keeper_pid = keeper_pid
        self._exit_file = exit_file
        self._process = process
        self._watch: asyncio.Task[None] | None = None
        try:
            self._pidfd: int | None = os.pidfd_open(keeper_pid)
        except ProcessLookupError:
            raise
        except OSError:
            # A kernel or sandbox without pidfd: somebody looks now and then instead.
            self._pidfd = None
            self._watch = self._loop.create_task(self._look())
            return
        self._loop.add_reader(self._pidfd, self._on_exit)

    def let_go(self) -> None:
        """Watch no longer."""
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._watch is not None:
            self._watch.cancel()

    def _on_exit(self) -> None:
        self.let_go()
        self._end()

    async def _look(self) -> None:
        started = start_ticks(self.keeper_pid)
        while start_ticks(self.keeper_pid) == started and not is_zombie(self.keeper_pid):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        self._end()

    def _end(self) -> None:
        """Kill the rest of the group, then reap the keeper: until then nobody else is given its number."""
        self._signal_group(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        if not self.exited.done():
            self.exited.set_result(read_exit_code(self._exit_file))

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group; nothing happens once the keeper has ended."""
        if not self.exited.done():
            self._signal_group(number)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.keeper_pid, number)


class EndedChild:
    """A Child whose keeper had ended before anybody of us looked."""

    def __init__(self, exit_file: Path) -> None:
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.exited.set_result(read_exit_code(exit_file))
        self.keeper_pid = 0

    def let_go(self) -> None:
        """Nothing is watched."""

    def signal(self, number: int) -> None:
        """Nobody is there."""


def read_exit_code(exit_file: Path) -> int:
    """Return the exit code that a keeper has written down."""
    try:
        return int(exit_file.read_text())
    except (OSError, ValueError):
        return LOST_EXIT_CODE


async def start(program: Program) -> tuple[Child, int]:
    """Start a program under a keeper; return both it and the program's own number.

    Raises SwarmctlError for what can't be executed.
    """
    reading, writing = os.pipe()
    try:
        try:
            process = _start_keeper(program, writing)
        finally:
            os.close(writing)
        if program.limit is not None:
            await asyncio.to_thread(_limit, process, program.limit)
        child = Child(process.pid, program.exit_file, process)
        return child, await _program_pid(reading) or process.pid
    finally:
        os.close(reading)


def _start_keeper(program: Program, number_out: int) -> subprocess.Popen[bytes]:
    name = program.argv[0]
    script = _KEEPER if program.limit is None else _WAITING + _KEEPER
    hand_on_defaults()
    try:
        return subprocess.Popen(
            [SHELL, "-c", script, "swarm-task", str(program.exit_file), "swarm-task", *program.argv],
            cwd=program.folder,
            env=program.environment,
            stdin=number_out,
            stdout=program.output[0],
            stderr=program.output[1],
            start_new_session=True,
            umask=UMASK,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it can't be executed"
        raise cannot_run(f'exec: "{name}": {reason.lower()}') from None


def _limit(process: subprocess.Popen[bytes], limit: Callable[[int], None]) -> None:
    """Limit a keeper that waits for it, and let it go on. Raises SwarmctlError, and then it is gone."""
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    try:
        limit(process.pid)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.send_signal(signal.SIGCONT)


async def _program_pid(reading: int) -> int | None:
    """Return the number that the keeper tells, None when it ended before."""
    loop = asyncio.get_running_loop()
    os.set_blocking(reading, False)
    told = b""
    while b"\n" not in told and len(told) < PID_BYTES_MAX:
        readable = asyncio.Event()
        loop.add_reader(reading, readable.set)
        try:
            await readable.wait()
            piece = os.read(reading, PID_BYTES_MAX)
        finally:
            loop.remove_reader(reading)
        if not piece:
            return None
        told += piece
    return int(told.split()[0]) if told.split()[:1] and told.split()[0].isdigit() else None
