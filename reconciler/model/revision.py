"""One version of the files that a user wrote."""

from __future__ import annotations

from typing import Final, Protocol

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""The largest file that is read: 4 MiB, which is eight times the largest secret that Swarm takes."""


class Revision(Protocol):
    """The files of one directory or Git commit; reading the same path twice gives the same bytes.

    Paths are relative to the repository's root, with forward slashes and without `.` or `..` parts;
    `resolve` makes one from what a manifest says. Every method raises SwarmctlError with the codes
    file-not-found, file-unreadable, file-too-large or path-escapes, and with a place if it was given one.
    """

    @property
    def label(self) -> str:
        """What people call it: a path, or a path and a commit."""
        ...

    @property
    def commit(self) -> str | None:
        """The full commit id, or None for a plain directory."""
        ...

    @property
    def folder(self) -> str:
        """The folder inside the repository that the user named, "" for its root."""
        ...

    def display(self, path: str) -> str:
        """Return how `path` is written in messages: relative to the folder that the user named where it can be."""
        ...

    def exists(self, path: str) -> bool:
        """Return whether something that is no folder lies at `path`; reading it may still be refused."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file's content, at most FILE_BYTES_MAX bytes."""
        ...

    def files_under(self, folder: str) -> tuple[str, ...]:
        """Return the files directly in `folder`, sorted; empty when there is no such folder."""
        ...
