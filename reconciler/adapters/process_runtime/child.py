"""One child process with its process group, watched without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.adapters.process_runtime.refusal import cannot_run

UMASK = 0o022
SIGNAL_EXIT_BASE = 128


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, where, and where its output goes (a file descriptor)."""

    argv: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    output: int


class Child:
    """A started program. `exited` has its exit code once it, and its whole process group, have been ended.

    The group is killed before its leader is reaped: until then the kernel gives the leader's number to nobody else.
    """

    def __init__(self, program: Program) -> None:
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._process = _start(program)
        try:
            self._pidfd: int | None = os.pidfd_open(self._process.pid)
        except OSError:
            # A kernel or sandbox without pidfd: a thread waits instead.
            self._pidfd = None
            self._watch = self._loop.create_task(self._watch_in_thread())
            return
        self._loop.add_reader(self._pidfd, self._on_exit)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _on_exit(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        self._end()

    async def _watch_in_thread(self) -> None:
        def wait_unreaped() -> None:
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

        await asyncio.to_thread(wait_unreaped)
        self._end()

    def _end(self) -> None:
        """Kill the rest of the group, then reap the leader."""
        self.signal(signal.SIGKILL)
        code = self._process.wait()
        if not self.exited.done():
            self.exited.set_result(SIGNAL_EXIT_BASE - code if code < 0 else code)

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group; nothing happens once the child has been reaped."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def _start(program: Program) -> subprocess.Popen[bytes]:
    name = program.argv[0]
    try:
        return subprocess.Popen(
            program.argv,
            cwd=program.folder,
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=program.output,
            stderr=program.output,
            start_new_session=True,
            umask=UMASK,
        )
    except FileNotFoundError:
        raise cannot_run(f'exec: "{name}": executable file not found in $PATH') from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it can't be executed"
        raise cannot_run(f'exec: "{name}": {reason.lower()}') from None
