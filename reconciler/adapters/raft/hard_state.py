"""Term and vote on disk, and whose they are."""

from __future__ import annotations

import hashlib
import os
import zlib

import msgspec

from reconciler.adapters.raft import refusals
from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.files import put_file, read_file
from reconciler.consensus.values import HardState, NodeId

FILE_NAME = "hard-state"
_MAGIC = b"SWRAFTH1"
_FORMAT = 1
"""Of the whole folder: this file is read first, so a change of the journal's format raises it too."""


class Owner(msgspec.Struct, frozen=True):
    """Whose folder it is. Both are names that are never given twice."""

    cluster: str
    node: NodeId

    @property
    def digest(self) -> bytes:
        """8 bytes that stand for it in other files of the folder."""
        return hashlib.sha256(msgspec.msgpack.encode((self.cluster, self.node))).digest()[:8]


class Stored(msgspec.Struct, frozen=True):
    """What the file holds."""

    format: int
    owner: Owner
    state: HardState
    segments: int
    """The newest journal segment that was made, counted from 1; 0 while a new folder is being set up."""


class Format(msgspec.Struct, frozen=True):
    """What every such file has, whatever a newer version puts beside it."""

    format: int


_DECODER = msgspec.msgpack.Decoder(Stored)
_FORMAT_DECODER = msgspec.msgpack.Decoder(Format)


class HardStateFile:
    """The file `hard-state` of a folder: replaced whole, synced, under its name for good when `save` returns."""

    def __init__(self, disk: Disk, folder: str, owner: Owner) -> None:
        self._disk = disk
        self._path = os.path.join(folder, FILE_NAME)
        self._folder = folder
        self._owner = owner
        self.state = HardState()
        self.segments = 0

    def load(self) -> None:
        """Read `state` and `segments`. Raises raft-log-corrupt, -foreign, raft-too-new; FileNotFoundError."""
        stored = self._decode(read_file(self._disk, self._path))
        if stored.owner != self._owner:
            theirs, ours = stored.owner, self._owner
            raise refusals.foreign(
                self._folder,
                f"It is of node {theirs.node} in cluster {theirs.cluster}; this is {ours.node} in {ours.cluster}.",
            )
        self.state, self.segments = stored.state, stored.segments

    def save(self, state: HardState, segments: int) -> None:
        """Replace what is stored. Raises OSError (nothing changed) or DurabilityUnknown."""
        body = msgspec.msgpack.encode(Stored(_FORMAT, self._owner, state, segments))
        put_file(self._disk, self._path, _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body)
        self.state, self.segments = state, segments

    def _decode(self, content: bytes) -> Stored:
        magic, checksum, body = content[:8], content[8:12], content[12:]
        if magic != _MAGIC or zlib.crc32(body).to_bytes(4, "little") != checksum:
            raise refusals.corrupt(f"{self._path} is damaged.", "It does not match its checksum.")
        try:
            number = _FORMAT_DECODER.decode(body).format
            if number > _FORMAT:
                raise refusals.too_new(self._path)
            if number != _FORMAT:
                raise refusals.corrupt(f"{self._path} is damaged.", f"There is no format {number}.")
            return _DECODER.decode(body)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise refusals.corrupt(f"{self._path} is damaged.", f"It can't be decoded: {error}.") from error
