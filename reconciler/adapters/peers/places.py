"""Folders and files with private keys: for their owner only, and there whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from reconciler.adapters import whole_file
from reconciler.adapters.whole_file import sync_folder
from reconciler.model.errors import ErrorCode, SwarmctlError

FOLDER_MODE = 0o700
FILE_MODE = 0o600
TAR_ENDING = ".tar"


def refuse_taken(target: Path, *, force: bool) -> None:
    """Raise peers-exist if something is at `target`, an empty folder aside, and it may not be replaced."""
    with failures_told(target):
        taken = os.path.lexists(target) and not (
            target.is_dir() and not target.is_symlink() and not any(target.iterdir())
        )
    if taken and not force:
        raise SwarmctlError(
            ErrorCode.PEERS_EXIST,
            f"{target} is there already. Nothing was written.",
            why="It may hold a key that is in use.",
            hint="Name another place, or give --force: what is there is then set aside.",
        )


def put(target: Path, files: Mapping[str, bytes], now: datetime) -> str:
    """Put a folder in place, or a tar file of it where the name ends so; return where what was there has gone, or "".

    Until the last step nothing is at `target`; if that is not reached, nothing stays behind, a killed process aside:
    what that leaves, the next one removes. Raises output-failed.
    """
    with failures_told(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        staging = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
        try:
            ready = _tar(staging, target, files) if target.suffix == TAR_ENDING else _folder(staging / "folder", files)
            aside = _set_aside(target, now)
            ready.replace(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return aside


def replace_file(path: Path, content: bytes) -> None:
    """Put one file in place of another, whole and synced, for its owner only. Raises output-failed."""
    with failures_told(path):
        whole_file.put(path, content)
        sync_folder(path.parent)


@contextlib.contextmanager
def failures_told(target: Path) -> Iterator[None]:
    """Turn an OSError into output-failed."""
    try:
        yield
    except OSError as error:
        raise SwarmctlError(
            ErrorCode.OUTPUT_FAILED,
            f"{target} can't be written.",
            why=f"{error.strerror or error}.",
            hint="Name a place in a folder that you may write to. It can't be a mount point itself.",
        ) from error


def _prefix(target: Path) -> str:
    return f".{target.name}.new-"


def _remove_leftovers(target: Path) -> None:
    for leftover in target.parent.glob(f"{_prefix(target)}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(mode=FOLDER_MODE)
    for name, content in files.items():
        _write(folder / name, content)
    sync_folder(folder)
    return folder


def _tar(staging: Path, target: Path, files: Mapping[str, bytes]) -> Path:
    """A tar file with one folder, named as the file is, so that it unpacks with the right modes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(target.stem)
        entry.type, entry.mode = tarfile.DIRTYPE, FOLDER_MODE
        archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{target.stem}/{name}")
            entry.size, entry.mode = len(content), FILE_MODE
            archive.addfile(entry, io.BytesIO(content))
    _write(staging / target.name, packed.getvalue())
    return staging / target.name


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _set_aside(target: Path, now: datetime) -> str:
    """Give what is at `target` another name, unless it is an empty folder, which a rename replaces."""
    if not os.path.lexists(target) or (target.is_dir() and not target.is_symlink() and not any(target.iterdir())):
        return ""
    aside = target.with_name(f"{target.name}.replaced-{now:%Y%m%dT%H%M%S}")
    number = 1
    while os.path.lexists(aside):
        number += 1
        aside = target.with_name(f"{target.name}.replaced-{now:%Y%m%dT%H%M%S}-{number}")
    target.rename(aside)
    return str(aside)
