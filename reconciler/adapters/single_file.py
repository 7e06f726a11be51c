"""One file that a user names: a saved plan, for example."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.adapters import whole_file
from reconciler.model.errors import ErrorCode, SwarmctlError

SIZE_MAX = 64 * 1024 * 1024
"""Bytes. A plan of 10,000 services takes about a third of it."""


def read_text(path: str) -> str:
    """Return a file's text. Raises file-not-found, file-unreadable, file-too-large, not-utf8."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(SIZE_MAX + 1)
    except FileNotFoundError as error:
        start = "" if Path(path).is_absolute() else "; it is relative to this folder"
        raise SwarmctlError(
            ErrorCode.FILE_NOT_FOUND, f"{path} does not exist.", hint=f"Check the name{start}."
        ) from error
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.FILE_UNREADABLE,
            f"{path or 'A file without a name'} can't be read.",
            why=f"{error.strerror}.",
            hint="Name another file.",
        ) from error
    if len(content) > SIZE_MAX:
        raise SwarmctlError(
            ErrorCode.FILE_TOO_LARGE,
            f"{path} is too large.",
            why=f"It has more than {SIZE_MAX} bytes.",
            hint="Name the file that you meant.",
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise SwarmctlError(
            ErrorCode.NOT_UTF8,
            f"{path} is not UTF-8 text.",
            why=f"Byte {error.start} is not.",
            hint="Save it as UTF-8.",
        ) from error


def write_text(path: str, text: str) -> None:
    """Put a file in place at once and whole, readable by this user only. Raises output-failed.

    A symlink is followed. Only a plain file is replaced: to rename one over /dev/stdout or /dev/null, as root can,
    would take these from the whole machine.
    """
    try:
        if path and Path(path).exists() and not Path(path).is_file():
            why = "It is a folder." if Path(path).is_dir() else "It is a device, a pipe or a socket, and no plain file."
            raise SwarmctlError(
                ErrorCode.OUTPUT_FAILED, f"{path} can't be written.", why=why, hint="Name a file in a folder."
            )
        whole_file.put(Path(os.path.realpath(path)), text.encode())
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.OUTPUT_FAILED,
            f"{path} can't be written.",
            why=f"{error.strerror}.",
            hint="Name a file in a folder that you may write to.",
        ) from error
