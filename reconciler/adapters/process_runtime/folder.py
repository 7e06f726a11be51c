"""The folders of one node's tasks: what is written into them, and what never leaves them."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from reconciler.adapters.process_runtime.refusal import cannot_run
from reconciler.model.assignments import MountedFile

SECRETS_FOLDER = "run/secrets"
SECRET_MODE = 0o400
PRIVATE = 0o700

_log = logging.getLogger(__name__)


class NodeFolder(msgspec.Struct, frozen=True):
    """Where one node keeps what belongs to its tasks, beside the folders that are the tasks' own."""

    root: Path

    def task(self, task_id: str) -> Path:
        return self.root / "tasks" / task_id

    def output(self, task_id: str) -> Path:
        return self.root / "output" / f"{task_id}.log"

    def record(self, task_id: str) -> Path:
        """Where the task's process is written down, for a successor of ours to find it."""
        return self.root / "processes" / f"{task_id}.json"

    def exit_file(self, task_id: str) -> Path:
        """Where the task's keeper writes the exit code."""
        return self.root / "processes" / f"{task_id}.exit"

    def pipe(self, task_id: str) -> Path:
        """The pipe that the task prints into."""
        return self.root / "processes" / f"{task_id}.pipe"

    def task_ids(self) -> set[str]:
        """Return every task that has left something here."""
        found: set[str] = set()
        for name in ("tasks", "output", "processes"):
            with contextlib.suppress(FileNotFoundError):
                found |= {entry.split(".", maxsplit=1)[0] for entry in os.listdir(self.root / name)}
        return found

    def make(self) -> None:
        for name in ("tasks", "output", "processes"):
            (self.root / name).mkdir(mode=PRIVATE, parents=True, exist_ok=True)


def inside(folder: Path, target: str) -> Path:
    """Return where `target`, a path as a container would see it, is in a task's folder; refuse to leave it."""
    parts = [part for part in PurePosixPath(target).parts if part != "/"]
    if not parts or ".." in parts or "\0" in target:
        raise cannot_run(f"the path {target!r} leaves the task's folder, or names nothing in it")
    return folder.joinpath(*parts)


def secret_path(folder: Path, secret: MountedFile) -> Path:
    """Return where a secret goes: under run/secrets, or where its target says when that is absolute."""
    base = folder if secret.target.startswith("/") else folder / SECRETS_FOLDER
    return inside(base, secret.target)


def write_private(path: Path, content: bytes, mode: int) -> None:
    """Write a new file with exactly `mode`; its folders are made. An existing one is an error."""
    path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, SECRET_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)


def remove_file_inside(folder: Path, path: Path) -> None:
    """Remove one file of a task that has ended, unless the task has bent the way to it out of its folder."""
    try:
        if path.parent.resolve().is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks
        _log.warning("%s can't be removed: %s", path, error)


def remove_tree(folder: Path) -> None:
    """Remove a task's folder, also where the task took permissions away from itself. Follows no symlink.

    What can't be removed stays, and is logged: it must not cost the node.
    """
    if folder.is_symlink():
        folder.unlink()
        return

    def retry(_function: Callable[..., Any], path: str, _error: object) -> None:
        try:
            _force(Path(path))
        except OSError as error:
            _log.warning("%s can't be removed: %s", path, error.strerror)

    if folder.exists():
        shutil.rmtree(folder, onerror=retry)


def _force(target: Path) -> None:
    """Remove what resisted, once its owner's permissions are back."""
    for step in (target.parent, target):
        if not step.is_symlink() and step.is_dir():
            step.chmod(PRIVATE)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)
