"""A directory as a Revision: the files as they lie there now."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Sequence
from typing import Final

import msgspec

from reconciler.adapters.revision_errors import (
    checked_parts,
    circular,
    escapes,
    no_file,
    not_found,
    shown_path,
    too_large,
    unreadable,
)
from reconciler.adapters.sparse_checkout import refuse_left_out
from reconciler.adapters.submodules import refuse_empty_submodule
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.revision import FILE_BYTES_MAX

_GONE: Final = (errno.ENOENT, errno.ENOTDIR)
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class DirectoryRevision(msgspec.Struct, frozen=True):
    """The files below `root`, an absolute path without symlinks. Satisfies reconciler.model.revision.Revision.

    `file` is the path from the root of the file that the user named, or None when a folder was named;
    `folder` is then the file's folder.
    """

    root: str
    label: str
    folder: str = ""
    file: str | None = None
    commit: str | None = None

    @classmethod
    def open(cls, path: str, beside: Sequence[str] = ()) -> DirectoryRevision:
        """Return the revision around `path`, a folder or a file.

        The root is the top of the Git work tree around it, else the folder itself, or the nearest one that holds
        the files `beside` it as well. Raises SwarmctlError: path-not-found, file-unreadable.
        """
        shown = path.encode("utf-8", "replace").decode()
        if not path or "\0" in path:
            raise _no_path(shown)
        real = os.path.realpath(path)
        try:
            mode = os.stat(real).st_mode
        except OSError as error:
            if error.errno in (*_GONE, errno.ELOOP):
                raise _no_path(shown) from error
            raise unreadable(shown, error) from error
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise no_file(shown, _kind(mode))
        if stat.S_ISDIR(mode) and not os.access(real, os.X_OK):
            raise unreadable(f"The folder `{shown}`", PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        start = real if stat.S_ISDIR(mode) else os.path.dirname(real)
        root = work_tree_top(start) or os.path.commonpath(
            [start, *(os.path.dirname(_real_path(one)) for one in beside)]
        )
        relative = os.path.relpath(real, root)
        if stat.S_ISDIR(mode):
            return cls(root, shown, "" if relative == "." else relative)
        return cls(root, shown, os.path.dirname(relative), relative)

    def display(self, path: str) -> str:
        """Return `path` relative to the folder that the user named."""
        return shown_path(path, self.folder)

    def exists(self, path: str) -> bool:
        """Return whether something that is no folder lies at `path`, be it a symlink to nowhere."""
        try:
            parts = checked_parts(path, path)
            location = os.path.join(self.root, *parts)
            return "\0" not in path and os.path.lexists(location) and not os.path.isdir(location)
        except SwarmctlError:
            return False

    def read(self, path: str) -> bytes:
        """Return a file's content; a pipe, device or socket is never opened, a large file never read."""
        shown = self.display(path)
        real = self._real(path, shown)
        try:
            mode = os.stat(real).st_mode
            if not stat.S_ISREG(mode):
                raise no_file(shown, _kind(mode))
            # Between the look and the opening the file may have been swapped: no symlink is followed any more,
            # a pipe does not block, and what was opened is looked at again.
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._failure(shown, error) from error
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise no_file(shown, _kind(found.st_mode))
            if found.st_size > FILE_BYTES_MAX:
                raise too_large(shown, found.st_size)
            try:
                content = file.read(FILE_BYTES_MAX + 1)
            except OSError as error:
                raise self._failure(shown, error) from error
        if len(content) > FILE_BYTES_MAX:
            raise too_large(shown, len(content))
        return content

    def files_under(self, folder: str) -> tuple[str, ...]:
        """Return what lies directly in `folder` and is no folder, sorted; empty when there is no such folder.

        Raises SwarmctlError, also where a sparse checkout leaves out some of it (sparse-checkout), or where it is in a
        submodule that is not checked out (file-unreadable).
        """
        shown = self.display(folder)
        real = self._real(folder, shown)
        refuse_left_out(self.root, folder, shown)
        try:
            with os.scandir(real) as entries:
                names = [entry.name for entry in entries if not _is_folder(entry)]
        except OSError as error:
            if error.errno not in _GONE:
                raise self._failure(shown, error) from error
            names = []
        if not names:
            refuse_empty_submodule(self.root, folder, shown)
        return tuple(posixpath.join(folder, name) for name in sorted(names))

    def _real(self, path: str, shown: str) -> str:
        """Return the path with every symlink followed, which must still lie inside the root."""
        if "\0" in path:
            raise not_found(shown.replace("\0", "?"), self.label, self.file)
        location = os.path.join(self.root, *checked_parts(path, shown))
        try:
            real = os.path.realpath(location)
        except OSError as error:
            raise self._failure(shown, error) from error
        if os.path.islink(real):
            raise circular(shown)
        if os.path.commonpath([real, self.root]) != self.root:
            raise escapes(shown, "A symlink on its way points outside.")
        checked_parts(os.path.relpath(real, self.root), shown)
        return real

    def _failure(self, shown: str, error: OSError) -> SwarmctlError:
        if error.errno in _GONE:
            return not_found(shown, self.label, self.file)
        if error.errno == errno.ELOOP:
            return circular(shown)
        return unreadable(shown, error)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a folder; a symlink that leads in a circle or through a closed folder is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False  # so that it is listed, and reading it tells what is wrong with that one file


def path_below(root: str, path: str) -> str:
    """Return `path`, relative to the working directory, as one from `root`. Raises SwarmctlError: path-escapes."""
    shown = path.encode("utf-8", "replace").decode()
    relative = os.path.relpath(_real_path(path), root)
    if relative.startswith("..") or os.path.isabs(relative):
        raise escapes(shown, "It lies outside the repository of the first file.")
    return relative


def _real_path(path: str) -> str:
    if "\0" in path:
        raise _no_path(path.replace("\0", "?").encode("utf-8", "replace").decode())
    # Only the folder is followed: the file itself may exist in another commit only.
    return os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))


def work_tree_top(folder: str) -> str | None:
    """Return the nearest folder at or above `folder` that has a .git, or None."""
    current = folder
    while True:
        if os.path.lexists(os.path.join(current, ".git")):
            return current
        parent = os.path.dirname(current)
        if parent == current:
            return None
        current = parent


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "no plain file")


def _no_path(shown: str) -> SwarmctlError:
    what = f"`{shown}` does not exist." if shown else "The path is empty."
    hint = "Name a folder with a swarm.yaml, or one stack file."
    return SwarmctlError(ErrorCode.PATH_NOT_FOUND, what, why="There is no such file or folder.", hint=hint)
