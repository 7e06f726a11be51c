"""Files written for the user."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from reconciler.model.errors import ErrorCode, SwarmctlError

_MODE = 0o644
_MODE_PRIVATE = 0o600
_MAY_BE_THERE = frozenset({".git"})
"""What a folder may hold and count as empty: a repository that was just begun."""


def write_files(folder: str, files: Mapping[str, bytes], private: Collection[str], *, force: bool) -> None:
    """Write `files`, by paths relative to `folder`, which is made if need be. Other files there are left alone.

    Those whose path is in `private` can be read by nobody but their owner.
    Raises SwarmctlError: output-not-empty unless `force`, output-failed.
    """
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        found = sorted(entry.name for entry in root.iterdir() if entry.name not in _MAY_BE_THERE)
        if found and not force:
            raise SwarmctlError(
                ErrorCode.OUTPUT_NOT_EMPTY,
                f"{folder} is not empty. Nothing was written.",
                why=f"It has {found[0]!r}" + (f" and {len(found) - 1} more." if len(found) > 1 else "."),
                hint="Name another folder, or give --force to overwrite files of the same names.",
            )
        for path, content in files.items():
            _write(root / path, content, _MODE_PRIVATE if path in private else _MODE & ~_umask())
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.OUTPUT_FAILED,
            f"{error.filename or folder} can't be written.",
            why=f"{error.strerror}.",
            hint="Name a folder that you may write to.",
        ) from error


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # No symlink is followed: with --force it could lead to any file of the user's.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, _MODE_PRIVATE), "wb") as output:
        os.fchmod(output.fileno(), mode)
        output.write(content)


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
