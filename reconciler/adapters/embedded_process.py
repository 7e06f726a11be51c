"""The embedded swarm as a process in the background: start it, find it, end it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.model.errors import ErrorCode, SwarmctlError

START_WAIT_S = 30.0
STOP_WAIT_S = 30.0
"""Tasks get their grace period, 10 s unless they ask for another; after this the process is killed."""

POLL_S = 0.02
LOG_LINES_SHOWN = 3
PID_FILE = "swarm.pid"
SOCKET_PATH_BYTES_MAX = 107
"""What Linux takes for the path of a unix socket (sun_path, less the final zero)."""


def socket_of(data_dir: str) -> str:
    """Return the path of the socket on which the embedded swarm of a folder listens."""
    return str(Path(data_dir).absolute() / "swarm.sock")


def start(data_dir: str, arguments: list[str]) -> int:
    """Run `swarmctl ARGUMENTS` in the background and return its process id once its socket answers.

    Raises SwarmctlError: embedded-already-running when the socket answers before, embedded-failed when the process
    ends or stays silent, with the end of its log.
    """
    folder, path = Path(data_dir), socket_of(data_dir)
    _check_path(path)
    if answers(path):
        raise _already_running(path)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "swarm.log").write_bytes(b"")
        log = (folder / "swarm.log").open("ab")  # of two that are started at once neither writes over the other
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            f"The embedded swarm has no folder: {folder}.",
            why=f"{error.strerror}.",
            hint="Choose another with --data-dir or SWARMCTL_DATA_DIR.",
        ) from error
    with log, _ended_unless_answering() as started:
        process = subprocess.Popen(
            # -P: a folder named reconciler in the working directory is none of ours
            [sys.executable, "-P", "-m", "reconciler.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        started.append(process)
        _await_answer(process, path, folder)
    return process.pid


def _already_running(path: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.EMBEDDED_ALREADY_RUNNING,
        "An embedded swarm is running already.",
        why=f"It answers at unix://{path}.",
        hint="Use that one, or end it with `swarmctl down`.",
    )


@contextmanager
def _ended_unless_answering() -> Iterator[list[subprocess.Popen[bytes]]]:
    """End the started process when the start is given up, by a Ctrl-C for example: nobody would know of it."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield started
    except BaseException:
        for process in started:
            process.terminate()
            try:
                process.wait(STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        raise


@contextmanager
def recorded(data_dir: str) -> Iterator[None]:
    """Tell `stop` by a file which process serves the folder, for as long as it does."""
    record = Path(data_dir) / PID_FILE
    record.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        record.unlink(missing_ok=True)


def _check_path(path: str) -> None:
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            "The embedded swarm's folder has too long a name.",
            why=f"The path of its socket would have {length} bytes; {SOCKET_PATH_BYTES_MAX} are allowed.",
            hint="Choose a shorter one with --data-dir or SWARMCTL_DATA_DIR.",
        )


def _await_answer(process: subprocess.Popen[bytes], path: str, folder: Path) -> None:
    deadline = time.monotonic() + START_WAIT_S
    while not (answers(path) and _recorded_pid(folder) == process.pid):  # another may have been faster
        ended = process.poll() is not None
        if ended and answers(path):
            raise _already_running(path)
        if ended or time.monotonic() > deadline:
            raise SwarmctlError(
                ErrorCode.EMBEDDED_FAILED,
                "The embedded swarm did not start.",
                why=_end_of_log(folder) or "It said nothing.",
                hint=f"Its whole log is {folder / 'swarm.log'}.",
            )
        time.sleep(POLL_S)


def _end_of_log(folder: Path) -> str:
    lines = (folder / "swarm.log").read_text(errors="replace").splitlines()
    return " ".join(line.strip() for line in lines[-LOG_LINES_SHOWN:])


def answers(path: str) -> bool:
    """Return whether something that speaks the Engine API listens on the unix socket `path`."""
    connection = http.client.HTTPConnection("localhost", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(5)
        connection.sock.connect(path)
        connection.request("GET", "/_ping")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def stop(data_dir: str) -> int:
    """End the embedded swarm of a folder and return the process id that it had. Raises embedded-not-running."""
    folder = Path(data_dir)
    pid = _running_pid(folder)
    if pid is None:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_NOT_RUNNING,
            "No embedded swarm is running.",
            why=f"No process of {folder} is alive.",
            hint="Start one with `swarmctl up`.",
        )
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_WAIT_S
    while _is_ours(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S)
    (folder / PID_FILE).unlink(missing_ok=True)
    return pid


def _running_pid(folder: Path) -> int | None:
    pid = _recorded_pid(folder)
    return pid if pid is not None and _is_ours(pid) else None


def _recorded_pid(folder: Path) -> int | None:
    try:
        return int((folder / PID_FILE).read_text())
    except (OSError, ValueError):
        return None


def _is_ours(pid: int) -> bool:
    """Return whether `pid` is alive and an embedded swarm: a process id may have gone to somebody else."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z" and b"up" in command
