"""Where the secrets and configs of containers are: in this host's memory, mounted from there, never on a disk."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from reconciler.adapters.docker_runtime.container import file_content, task_files
from reconciler.model.assignments import Assignment
from reconciler.model.json import JsonObject

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, whose owner is checked
"""A file system in memory that every Linux has, and an engine of the same host sees."""

PRIVATE = 0o700

_log = logging.getLogger(__name__)


class TaskFiles:
    """The files of one node's tasks. Blocks, for as long as memory takes."""

    def __init__(self, node_id: str, root: Path = MEMORY) -> None:
        self._folder = root / f"swarmctl-{node_id}"

    def write(self, assignment: Assignment) -> list[JsonObject] | None:
        """Write a task's files; return the mounts that show them to its container. None where that can't be: there is
        no such file system here, or this user may not give files to others."""
        folder = self._folder / assignment.task_id
        try:
            self._folder.mkdir(mode=PRIVATE, exist_ok=True)
            if self._folder.stat().st_uid != os.geteuid():
                return None
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=PRIVATE)
            return [self._write_one(folder / str(number), assignment, number) for number in self._numbers(assignment)]
        except OSError as error:
            _log.debug("Files of task %s go into its container: %s", assignment.task_id, error.strerror)
            self.remove(assignment.task_id)
            return None

    @staticmethod
    def _numbers(assignment: Assignment) -> range:
        return range(len(task_files(assignment)))

    @staticmethod
    def _write_one(path: Path, assignment: Assignment, number: int) -> JsonObject:
        target, file = task_files(assignment)[number]
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            writing.write(file_content(file, assignment))
            os.fchown(descriptor, file.uid, file.gid)
            os.fchmod(descriptor, file.mode)
        return {"Type": "bind", "Source": str(path), "Target": f"/{target}", "ReadOnly": True}

    def remove(self, task_id: str) -> None:
        """Remove a task's files; they need not be there."""
        shutil.rmtree(self._folder / task_id, ignore_errors=True)

    def keep_only(self, task_ids: Collection[str]) -> None:
        """Remove the files of all other tasks."""
        for entry in self._folder.glob("*"):
            if entry.name not in task_ids:
                self.remove(entry.name)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)
