"""Files that exist in memory only, as a Revision."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, SwarmctlError


class WrittenFiles(Discreet, frozen=True):
    """{path: content}. Satisfies reconciler.model.revision.Revision."""

    UNSHOWN = frozenset({"files"})

    files: Mapping[str, bytes]

    @property
    def label(self) -> str:
        return "import"

    @property
    def commit(self) -> str | None:
        return None

    @property
    def folder(self) -> str:
        return ""

    def display(self, path: str) -> str:
        """Return `path` as it is."""
        return path

    def exists(self, path: str) -> bool:
        """Return whether there is such a file."""
        return path in self.files

    def read(self, path: str) -> bytes:
        """Return a file's content. Raises SwarmctlError: file-not-found."""
        if path not in self.files:
            raise SwarmctlError(ErrorCode.FILE_NOT_FOUND, f"{path} was not written.")
        return self.files[path]

    def files_under(self, folder: str) -> tuple[str, ...]:
        """Return the files directly in `folder`, sorted."""
        return tuple(sorted(path for path in self.files if posixpath.dirname(path) == folder))
