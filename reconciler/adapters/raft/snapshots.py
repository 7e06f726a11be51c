"""The snapshots of a folder: the newest counts, and an older one never takes its place."""

from __future__ import annotations

import os
import re

from reconciler.adapters.raft import refusals
from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.files import TEMPORARY, sync_folder
from reconciler.adapters.raft.snapshot_file import SnapshotReader, SnapshotWriter
from reconciler.consensus.values import SnapshotMeta

_NAME = re.compile(r"snapshot-(\d{20})-(\d{20})")


def file_name(index: int, term: int) -> str:
    """What the snapshot of an entry is called."""
    return f"snapshot-{index:020d}-{term:020d}"


class Snapshots:
    """The files `snapshot-INDEX-TERM` of a folder."""

    def __init__(self, disk: Disk, folder: str, cluster: str) -> None:
        self._disk = disk
        self._folder = folder
        self._cluster = cluster
        self._writers = 0
        self._superseded: list[str] = []
        self.newest: SnapshotMeta | None = None
        """What the newest snapshot on disk stands for."""

    @staticmethod
    def owns(name: str) -> bool:
        """Whether a file of this name is a snapshot."""
        return _NAME.fullmatch(name) is not None

    def load(self, names: list[str]) -> None:
        """Find the newest among the folder's `names`. Raises raft-snapshot-corrupt, raft-log-foreign, OSError.

        Only its head is read here. A damaged newest one is refused although an older one may be there: the journal
        has perhaps been compacted up to the newest.
        """
        found = sorted(name for name in names if self.owns(name))
        if not found:
            return
        path = os.path.join(self._folder, found[-1])
        reader = SnapshotReader(self._disk, path)
        reader.close()
        if os.path.basename(self._path(reader.meta)) != found[-1]:
            raise refusals.snapshot_corrupt(path, "Its name and its head disagree.")
        if reader.cluster != self._cluster:
            raise refusals.foreign(
                self._folder, f"Its snapshot is of the cluster {reader.cluster}, not of {self._cluster}."
            )
        self.newest = reader.meta
        self._superseded = found[:-1]

    def is_newer(self, meta: SnapshotMeta) -> bool:
        """Whether a snapshot would be the newest. Two of one index are equal, whoever made them."""
        return self.newest is None or meta.index > self.newest.index

    def begin(self, meta: SnapshotMeta) -> SnapshotWriter:
        """Start to write one. Raises OSError."""
        self._writers += 1
        temporary = os.path.join(self._folder, f"snapshot-{self._writers}{TEMPORARY}")
        return SnapshotWriter(self._disk, self._path(meta), temporary, self._cluster, meta)

    def put_in_place(self, writer: SnapshotWriter) -> None:
        """Make a finished snapshot the newest, for good. Raises OSError (nothing changed) or DurabilityUnknown."""
        writer.put_in_place()
        if self.newest is not None:
            self._superseded.append(os.path.basename(self._path(self.newest)))
        self.newest = writer.meta

    def remove_superseded(self) -> None:
        """Remove those that the newest replaced. Raises OSError, DurabilityUnknown; may then be called again."""
        while self._superseded:
            self._disk.unlink(os.path.join(self._folder, self._superseded[0]))
            del self._superseded[0]
            sync_folder(self._disk, self._folder)

    def read(self) -> SnapshotReader | None:
        """The newest, open for reading. Raises raft-snapshot-corrupt, OSError."""
        if self.newest is None:
            return None
        return SnapshotReader(self._disk, self._path(self.newest))

    def _path(self, meta: SnapshotMeta) -> str:
        return os.path.join(self._folder, file_name(meta.index, meta.term))

    @property
    def newest_path(self) -> str:
        """The file of the newest, which must exist."""
        assert self.newest is not None
        return self._path(self.newest)
