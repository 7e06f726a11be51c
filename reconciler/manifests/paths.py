"""Paths that manifests write, as paths inside the repository."""

from __future__ import annotations

import posixpath


def resolve(folder: str, written: str) -> str | None:
    """Return `written`, relative to `folder`, as a path from the repository's root; None when it leaves it.

    Lexical only: `..` is taken away before any symlink is looked at, as docker does. Absolute paths and `~`
    are outside by definition.
    """
    if not written or written.startswith(("/", "~")) or "\0" in written:
        return None
    path = posixpath.normpath(posixpath.join(folder, written))
    if path == ".." or path.startswith(("../", "/")):
        return None
    return "" if path == "." else path
