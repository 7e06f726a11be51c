"""Finds processes that tasks have left behind, and ends exactly those.

Two marks tell that a process is a task's: it is the recorded one (same number, same start time by the kernel, same
boot), or its environment names the task's folder. A number alone proves nothing, as numbers are used again.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import asdict

from reconciler.adapters.process_runtime.environment import TASK_DIR

_PROC = Path("/proc")
_MARK = f"{TASK_DIR}=".encode()
_STARTTIME_FIELD = 19
"""Index of starttime among the fields behind the command's name in /proc/PID/stat (proc(5): field 22)."""

SCANS_MAX = 10
"""Looks at all processes in a row: one that forks while we look is met at the next."""


class ProcessRecord(msgspec.Struct, frozen=True):
    """One process for certain. `start_ticks` is the kernel's start time since boot, in clock ticks."""

    pid: int
    start_ticks: int
    boot_id: str


def boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def start_ticks(pid: int) -> int | None:
    """Return when the process `pid` started, or None when there is none."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
        return int(stat[stat.rindex(b")") + 2 :].split()[_STARTTIME_FIELD])
    except (OSError, ValueError, IndexError):
        return None


def is_zombie(pid: int) -> bool:
    """Return whether a process has ended and waits for its parent to ask how."""
    try:
        return (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


class TaskProcess(msgspec.Struct, frozen=True):
    """What is written down of a started task, for a successor of ours to take it over.

    `keeper` leads its session. `program_pid` is the program's own number, `address` where it listens; `secrets` are
    its secrets' files, to be removed at its end.
    """

    keeper: ProcessRecord
    program_pid: int
    address: str
    secrets: tuple[str, ...]

    @property
    def is_alive(self) -> bool:
        """Whether the keeper runs still, and no other process has its number."""
        return self.keeper.boot_id == boot_id() and start_ticks(self.keeper.pid) == self.keeper.start_ticks


def record_of(pid: int) -> ProcessRecord:
    """Return what tells a process for certain; one that has ended already is like no other that comes."""
    return ProcessRecord(pid, start_ticks(pid) or 0, boot_id())


def write_record(path: Path, task: TaskProcess) -> None:
    """Write a task's record, whole or not at all."""
    extra = {"program_pid": task.program_pid, "address": task.address, "secrets": task.secrets}
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(task.keeper) | extra))
    new.replace(path)


def _read_record(path: Path) -> ProcessRecord | None:
    try:
        fields = json.loads(path.read_bytes())
        return ProcessRecord(int(fields["pid"]), int(fields["start_ticks"]), str(fields["boot_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_task(path: Path) -> TaskProcess | None:
    """Return the record of a started task, None when there is none that makes sense."""
    keeper = _read_record(path)
    try:
        fields = json.loads(path.read_bytes())
        secrets = tuple(str(one) for one in fields["secrets"])
        return TaskProcess(keeper, int(fields["program_pid"]), str(fields["address"]), secrets) if keeper else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _task_folder(pid: int) -> str | None:
    """Return the task folder that a process carries in its environment, or None."""
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((os.fsdecode(one[len(_MARK) :]) for one in variables if one.startswith(_MARK)), None)


def _processes() -> Iterator[int]:
    own = os.getpid()
    for entry in os.listdir(_PROC):
        if entry.isdigit() and int(entry) != own:
            yield int(entry)


def _kill(pid: int, is_ours: Callable[[], bool]) -> None:
    """Kill `pid` if `is_ours` still holds once the process is pinned, so that its number can't be another's."""
    try:
        pinned = os.pidfd_open(pid)
    except OSError:
        if is_ours():
            _quietly(lambda: os.kill(pid, signal.SIGKILL))
        return
    try:
        if is_ours():
            _quietly(lambda: signal.pidfd_send_signal(pinned, signal.SIGKILL))
    finally:
        os.close(pinned)


def _quietly(send: Callable[[], None]) -> None:
    try:
        send()
    except (ProcessLookupError, PermissionError):
        return


def _kill_marked(matches: Callable[[str], bool]) -> int:
    """Kill every process whose task folder `matches`; return how many were met."""

    def is_ours(pid: int) -> bool:
        folder = _task_folder(pid)
        return folder is not None and matches(folder)

    met = 0
    for _ in range(SCANS_MAX):
        found = [pid for pid in _processes() if is_ours(pid)]
        if not found:
            break
        met += len(found)
        for pid in found:
            _kill(pid, lambda pid=pid: is_ours(pid))  # type: ignore[misc]
    return met


def sweep_node(node_folder: Path, kept: Collection[str]) -> int:
    """End all of a node's tasks' processes but those of the task folders `kept`; return how many were met."""
    root = f"{node_folder}{os.sep}"
    return _kill_marked(lambda folder: folder.startswith(root) and folder not in kept)


def sweep(nodes_folder: Path) -> int:
    """End all that a killed predecessor's tasks left running; return how many processes that were.

    `nodes_folder` holds the node folders. Nothing may be running there by right: the caller holds the lock.
    """
    boot = boot_id()
    met = 0
    for path in sorted(nodes_folder.glob("*/processes/*.json")):
        record = _read_record(path)
        if record is None or record.boot_id != boot or start_ticks(record.pid) != record.start_ticks:
            continue
        met += 1
        _kill(record.pid, lambda record=record: start_ticks(record.pid) == record.start_ticks)  # type: ignore[misc]
    root = f"{nodes_folder}{os.sep}"
    return met + _kill_marked(lambda folder: folder.startswith(root))


class Escapees:
    """Ends what a task has started outside of its process group, once the task itself has ended.

    Looking at all processes costs milliseconds, so that tasks which end together share one look.
    """

    def __init__(self) -> None:
        self._folders: list[str] = []
        self._next: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()

    async def end(self, folder: str) -> None:
        """Return when no process carries `folder` any more."""
        self._folders.append(folder)
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._look())
        await asyncio.shield(self._next)

    async def _look(self) -> None:
        async with self._looking:
            folders, self._folders, self._next = frozenset(self._folders), [], None
            await asyncio.to_thread(_kill_marked, folders.__contains__)
