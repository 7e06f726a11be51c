"""The folder of an embedded swarm: whose it is, and what is cleared out of it."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import TextIO

from reconciler.adapters.process_runtime import sweep
from reconciler.adapters.whole_file import sync_folder
from reconciler.model.errors import ErrorCode, SwarmctlError

LOCK_FILE = "swarm.lock"
NODES_FOLDER = "nodes"
LOG_FOLDER = "raft"
NODE_FILE = "node.json"
"""What a daemon remembers of its part in a swarm: without it there is no swarm."""
KEYS_FILE = "node-keys.json"
CERTIFICATES_FOLDER = "certificates"
NEW = ".new"
"""End of the names of files on their way."""


def absolute(data_dir: str) -> Path:
    """Return a folder's path, whatever the working directory becomes."""
    return Path(data_dir).absolute()


def locked(folder: Path) -> TextIO:
    """Make the folder and take it for this process, until the returned file is closed.

    Raises SwarmctlError: embedded-already-running, embedded-failed.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("a+")
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            f"The embedded swarm can't use the folder {folder}.",
            why=f"{error.strerror}.",
            hint="Choose another one with --data-dir or SWARMCTL_DATA_DIR.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise SwarmctlError(
            ErrorCode.EMBEDDED_ALREADY_RUNNING,
            f"An embedded swarm is running in {folder} already.",
            why=f"It holds {LOCK_FILE}.",
            hint="Use that one, end it with `swarmctl down`, or choose another folder with --data-dir.",
        ) from error
    return lock


def refuse_daemons(folder: Path) -> None:
    """Raise SwarmctlError (embedded-failed) for the folder of a daemon, whose state must not be cleared."""
    if (folder / NODE_FILE).exists():
        raise SwarmctlError(
            ErrorCode.EMBEDDED_FAILED,
            f"{folder} holds the swarm of a daemon.",
            why=f"It has a {NODE_FILE}.",
            hint="Choose another folder with --data-dir, or let that node leave: `docker swarm leave --force`.",
        )


def clear(folder: Path) -> None:
    """End what tasks have left running, and forget the swarm: without its state nothing of it can be used again."""
    sweep(folder / NODES_FOLDER)
    (folder / KEYS_FILE).unlink(missing_ok=True)
    remove_leftovers(folder)
    for name in (NODES_FOLDER, LOG_FOLDER, CERTIFICATES_FOLDER):
        if (folder / name).exists():
            shutil.rmtree(folder / name, ignore_errors=True)


def clear_abandoned(data_dir: str) -> bool:
    """End what a swarm that was killed has left in its folder, and return whether there was anything.

    Leaves the folder of a daemon alone, and one that a process holds. Raises what `locked` raises.
    """
    folder = absolute(data_dir)
    if not (folder / NODES_FOLDER).exists() or (folder / NODE_FILE).exists():
        return False
    with locked(folder):
        clear(folder)
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove what a crash left of a file that was to be put in place: it may hold keys as they are."""
    for path in folder.glob(f"*{NEW}"):
        if path.is_file():
            path.unlink()


def put_file(path: Path, content: str) -> None:
    """Put a file in place for this user alone, durably, at once or not at all.

    On its way it has one name, by which `remove_leftovers` finds it: the folder is locked, so nobody else writes it.
    """
    new = path.with_name(f"{path.name}{NEW}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)
