"""How reading a file of a revision fails; a directory and a Git commit say it in the same words."""

from __future__ import annotations

import posixpath

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.revision import FILE_BYTES_MAX


def shown_path(path: str, folder: str) -> str:
    """Return `path` relative to `folder`, fit to print: bytes that are no UTF-8 become a question mark."""
    relative = posixpath.relpath(path or ".", folder or ".")
    return relative.encode("utf-8", "replace").decode()


def not_found(shown: str, label: str, named: str | None) -> SwarmctlError:
    """Return that `shown`, a path from the revision's folder, is not there; `named` is the file it was opened by."""
    why = f"There is no such file in {'the folder of ' if named else ''}`{label}`."
    return SwarmctlError(
        ErrorCode.FILE_NOT_FOUND, f"{shown} does not exist.", why=why, hint="Check the path's spelling."
    )


def no_file(shown: str, what_it_is: str) -> SwarmctlError:
    why = f"It is {what_it_is}."
    hint = "Name a plain file."
    return SwarmctlError(ErrorCode.FILE_UNREADABLE, f"{shown} cannot be read as a file.", why=why, hint=hint)


def in_submodule(shown: str, where: str) -> SwarmctlError:
    why = f"It is {where}, whose files are in another repository: what they declare would look deleted."
    hint = (
        "Keep the manifests in this repository, name the other repository itself, or read a work tree (no --revision)."
    )
    return SwarmctlError(ErrorCode.FILE_UNREADABLE, f"{shown or 'The folder'} cannot be read.", why=why, hint=hint)


def unreadable(shown: str, error: OSError) -> SwarmctlError:
    why = f"The system says: {error.strerror or type(error).__name__}."
    hint = "Check the permissions of the file and of the folders above it."
    return SwarmctlError(ErrorCode.FILE_UNREADABLE, f"{shown} cannot be read.", why=why, hint=hint)


def too_large(shown: str, size_bytes: int) -> SwarmctlError:
    why = f"It has {size_bytes} bytes; the limit is {FILE_BYTES_MAX} (4 MiB)."
    hint = "Split the file; large content belongs into an image or a volume."
    return SwarmctlError(ErrorCode.FILE_TOO_LARGE, f"{shown} is too large.", why=why, hint=hint)


def escapes(shown: str, why: str) -> SwarmctlError:
    hint = "Only files of the repository are read: put a copy there."
    return SwarmctlError(ErrorCode.PATH_ESCAPES, f"{shown} leads out of the repository.", why=why, hint=hint)


def circular(shown: str) -> SwarmctlError:
    why = "Its symlinks go round in a circle."
    hint = "Let the link point to a file of the repository."
    return SwarmctlError(ErrorCode.FILE_UNREADABLE, f"{shown} cannot be read.", why=why, hint=hint)


def checked_parts(path: str, shown: str) -> list[str]:
    """Return the parts of a path from the root, after making sure that it names something inside.

    Git's own folder is no part of any revision: it may hold credentials, and a commit never has one.
    """
    if path.startswith("/"):
        raise escapes(shown, "The path is absolute.")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise escapes(shown, "The path holds `..`.")
    if any(part.lower() == ".git" for part in parts):
        raise escapes(shown, "The folder .git belongs to Git, not to the repository's files.")
    return parts
