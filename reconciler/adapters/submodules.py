"""Submodules that are not checked out: their folders are empty, and what they declare looks deleted."""

from __future__ import annotations

import os
import re

from reconciler.model.errors import ErrorCode, SwarmctlError

DECLARED_BYTES_MAX = 1 << 20
_PATH = r"(?im)^[ \t]*path[ \t]*=[ \t]*\"?(.+?)\"?[ \t]*\r?$"


def refuse_empty_submodule(root: str, folder: str, shown: str) -> None:
    """Raise SwarmctlError (file-unreadable) if `folder`, a path from the top, is in an empty submodule."""
    for path in _declared(root):
        if folder != path and not folder.startswith(f"{path}/"):
            continue
        if os.path.exists(os.path.join(root, path, ".git")):
            continue
        raise SwarmctlError(
            ErrorCode.FILE_UNREADABLE,
            f"{shown or 'The folder'} cannot be read.",
            why=f"`{path}` is a submodule that is not checked out: what its files declare would look deleted.",
            hint=f"Run `git submodule update --init {path}`.",
        )


def _declared(root: str) -> list[str]:
    """Return the paths, from the top, that the work tree's .gitmodules names."""
    try:
        with open(os.path.join(root, ".gitmodules"), encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(DECLARED_BYTES_MAX)
    except OSError:
        return []
    return [found.strip("/") for found in re.findall(_PATH, text)]
