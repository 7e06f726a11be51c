"""Files that stand for what is kept elsewhere, or that nobody can read: never what a task should be given. Pure.

Sources: the Git LFS specification ("The Pointer"), git-crypt's file header.
"""

from __future__ import annotations

from reconciler.model.errors import ErrorCode, Place, Problem

POINTER_OF_LFS = b"version https://git-lfs.github.com/spec/"
POINTER_BYTES_MAX = 1024
HEADER_OF_GIT_CRYPT = b"\0GITCRYPT\0"


def stand_in(content: bytes, file: str, place: Place) -> Problem | None:
    """Return what to say of a file's content that is not what its author put there; None where it is."""
    if content.startswith(HEADER_OF_GIT_CRYPT):
        why = "git-crypt has encrypted it, as it does everything that it keeps in commits."
        hint = "Read a work tree that is unlocked (`git-crypt unlock`), without --revision, --base or --head."
    elif content.startswith(POINTER_OF_LFS) and len(content) < POINTER_BYTES_MAX:
        why = "It is a pointer of Git LFS: the content is on another server."
        hint = "Keep the file in Git itself, or read a work tree that has it (`git lfs pull`), without --revision."
    else:
        return None
    return Problem(ErrorCode.FILE_UNREADABLE, f"{file} has not its own content here.", why, hint, place)
