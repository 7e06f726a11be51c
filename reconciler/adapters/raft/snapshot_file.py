"""The bytes of a snapshot file, written and read as a stream.

A head (magic, length, CRC32, msgpack), blocks (length, CRC32, data), and a trailer: a block of length 0, the count of
blocks and bytes, and the SHA-256 of all before it. All blocks but the last have the same length, so that any place of
the data can be found. Memory is one block, whatever the file claims. With a seal, each block's data is sealed, and so
longer by the seal's overhead; lengths and checksums in the file are then those of what is sealed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator

import msgspec

from reconciler.adapters.raft import refusals
from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.files import create_anew, discard, put_in_place
from reconciler.adapters.raft.sealing import SALT_BYTES, place
from reconciler.consensus.values import SnapshotMeta

BLOCK_BYTES = 256 << 10
"""Data in each block but the last. Large enough that checksums and calls cost little, small enough for one message."""
_MAGIC = b"SWRAFTS1"
_FORMAT = 1
_FORMAT_SEALED = 2
_FORMAT_NEWEST = _FORMAT_SEALED
_HEAD_BYTES_MAX = 1 << 20
_BLOCK = struct.Struct("<II")  # length, crc of length and data
_COUNTS = struct.Struct("<QQ")  # blocks, bytes of data
_TRAILER_BYTES = _BLOCK.size + _COUNTS.size + 32


class Head(msgspec.Struct, frozen=True):
    """What a snapshot file says of itself."""

    format: int
    cluster: str
    meta: SnapshotMeta
    salt: bytes = b""
    """Of what is sealed; empty in format 1, which is not."""


class Format(msgspec.Struct, frozen=True):
    """What every head has, whatever a newer version puts beside it."""

    format: int


_DECODER = msgspec.msgpack.Decoder(Head)
_FORMAT_DECODER = msgspec.msgpack.Decoder(Format)


class SnapshotWriter:
    """A snapshot on its way to disk under a temporary name. One thread at a time uses it; which one is free.

    An OSError from any method means that nothing counts, and the temporary file is gone.
    """

    def __init__(self, disk: Disk, path: str, temporary: str, cluster: str, meta: SnapshotMeta) -> None:
        self.meta = meta
        self.path = path
        self._disk = disk
        self._temporary = temporary
        self._sum = hashlib.sha256()
        self._offset = self._blocks = self._bytes = 0
        self._waiting = bytearray()
        self._open = True
        self._descriptor = create_anew(disk, temporary, 0)
        self._seal = disk.seal
        self._salt = os.urandom(SALT_BYTES) if self._seal else b""
        head = msgspec.msgpack.encode(Head(_FORMAT_SEALED if self._seal else _FORMAT, cluster, meta, self._salt))
        self._put(_MAGIC + _BLOCK.pack(len(head), zlib.crc32(head)) + head)

    def write(self, chunk: bytes) -> None:
        """Add a chunk. Where one chunk ends and the next begins is not kept. Raises OSError."""
        assert self._open, "nothing can be added to a finished snapshot"
        self._waiting += chunk
        whole = len(self._waiting) - len(self._waiting) % BLOCK_BYTES
        for start in range(0, whole, BLOCK_BYTES):
            self._put_block(bytes(self._waiting[start : start + BLOCK_BYTES]))
        del self._waiting[:whole]

    def finish(self) -> None:
        """Write what is left and the trailer, and sync; nothing can be added after. Raises OSError."""
        if self._waiting:
            self._put_block(bytes(self._waiting))
            self._waiting.clear()
        counts = _COUNTS.pack(self._blocks, self._bytes)
        self._put(_BLOCK.pack(0, zlib.crc32(counts)) + counts)
        self._put(self._sum.digest())
        try:
            self._disk.sync(self._descriptor)
        except OSError:
            self.abandon()
            raise
        self._close()

    def read_back(self) -> SnapshotReader:
        """The finished file, open for reading: to see that it can be used before it counts. Raises OSError."""
        assert not self._open, "finish comes first"
        return SnapshotReader(self._disk, self._temporary)

    def put_in_place(self) -> None:
        """Give the finished file its name, for good. Raises OSError (nothing changed) or DurabilityUnknown."""
        assert not self._open, "finish comes first"
        put_in_place(self._disk, self._temporary, self.path)

    def abandon(self) -> None:
        """Remove what was written; may be called at any time before `put_in_place`, and twice."""
        self._close()
        discard(self._disk, self._temporary)

    def _put_block(self, data: bytes) -> None:
        meta, stored = self.meta, data
        if self._seal is not None:
            stored = self._seal.close(data, self._salt, place(meta.index, meta.term, self._blocks))
        self._put(_BLOCK.pack(len(stored), _block_checksum(stored)) + stored)
        self._blocks += 1
        self._bytes += len(data)

    def _put(self, content: bytes) -> None:
        assert self._open, "nothing can be added to a finished snapshot"
        try:
            self._disk.write(self._descriptor, content, self._offset)
        except OSError:
            self.abandon()
            raise
        self._sum.update(content)
        self._offset += len(content)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._disk.close(self._descriptor)


class SnapshotReader:
    """An open snapshot file; iterate over it once for its blocks. It stays readable when a newer one replaces it.

    `read_at` reads any place of it instead, before or after or between. Close it when it isn't iterated to its end.

    Each block is verified before it is handed out, and the whole when the last was: an error may come after good
    blocks, so nothing made of them may be used before the end. Raises raft-snapshot-corrupt and OSError.
    """

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._sum = hashlib.sha256()
        self._offset = self._blocks = self._bytes = self._first = 0
        self._open = True
        self._descriptor = disk.open_to_read(path)
        try:
            self.size = disk.size(self._descriptor)
            """Bytes of the file."""
            head = self._read_head()
        except BaseException:
            self.close()
            raise
        self.meta = head.meta
        self.cluster = head.cluster
        self._first = self._offset
        self._salt = head.salt
        self._seal = disk.seal if head.salt else None
        self._overhead = self._seal.overhead if self._seal else 0
        around = _BLOCK.size + self._overhead
        blocks = self.size - self._first - _TRAILER_BYTES
        self.data_bytes = blocks - around * -(-blocks // (around + BLOCK_BYTES))
        """Bytes of data, as its length has it."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            while True:
                length, checksum = _BLOCK.unpack(self._take(_BLOCK.size))
                if length == 0:
                    self._check_trailer(checksum)
                    return
                stored = self._take(min(length, BLOCK_BYTES + self._overhead))
                data = self._checked(stored, length, checksum, self._bytes)
                self._blocks += 1
                self._bytes += len(data)
                yield data
        finally:
            self.close()

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes of data from `offset`, fewer only at the end; verified by block, not as a whole."""
        end = min(offset + length, self.data_bytes)
        parts = []
        for start in range(offset - offset % BLOCK_BYTES, end, BLOCK_BYTES):
            around = _BLOCK.size + self._overhead
            at = self._first + start // BLOCK_BYTES * (around + BLOCK_BYTES)
            block = self._disk.read(self._descriptor, around + min(BLOCK_BYTES, self.data_bytes - start), at)
            if len(block) <= around:
                raise self._damaged("It ends too early.")
            claimed, checksum = _BLOCK.unpack_from(block)
            data = self._checked(block[_BLOCK.size :], claimed, checksum, start)
            parts.append(data[max(offset - start, 0) : end - start])
        return b"".join(parts)

    def close(self) -> None:
        """Close the file; iterating to the end does it too."""
        if self._open:
            self._open = False
            self._disk.close(self._descriptor)

    def _read_head(self) -> Head:
        fixed = self._take(len(_MAGIC) + _BLOCK.size)
        length, checksum = _BLOCK.unpack_from(fixed, len(_MAGIC))
        if fixed[: len(_MAGIC)] != _MAGIC or length > _HEAD_BYTES_MAX:
            raise self._damaged("It does not begin as a snapshot does.")
        body = self._take(length)
        if zlib.crc32(body) != checksum:
            raise self._damaged("Its head does not match its checksum.")
        try:
            if _FORMAT_DECODER.decode(body).format > _FORMAT_NEWEST:
                raise refusals.too_new(self._path)
            head = _DECODER.decode(body)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise self._damaged(f"Its head can't be decoded: {error}.") from error
        if head.format == _FORMAT_SEALED and self._disk.seal is None:
            raise refusals.foreign(
                os.path.dirname(self._path), f"{self._path} is sealed with a key that was not given."
            )
        if head.format not in (_FORMAT, _FORMAT_SEALED):
            raise self._damaged(f"There is no format {head.format}.")
        return head

    def _checked(self, stored: bytes, length: int, checksum: int, start: int) -> bytes:
        """Return a block's data; raise unless this is the block that holds the data from `start` on."""
        expected = min(BLOCK_BYTES, self.data_bytes - start) + self._overhead
        if length != expected or _block_checksum(stored) != checksum:
            raise self._damaged(f"The block with byte {start} of its data does not match its checksum.")
        if self._seal is None:
            return stored
        where = place(self.meta.index, self.meta.term, start // BLOCK_BYTES)
        data = self._seal.open(stored, self._salt, where)
        if data is None:
            raise refusals.foreign(os.path.dirname(self._path), f"{self._path} is sealed with another key.")
        return data

    def _check_trailer(self, checksum: int) -> None:
        counts = self._take(_COUNTS.size)
        expected = self._sum.digest()
        if zlib.crc32(counts) != checksum or _COUNTS.unpack(counts) != (self._blocks, self._bytes):
            raise self._damaged("Its trailer counts other blocks than there are.")
        if self._take(len(expected)) != expected:
            raise self._damaged("It does not match its checksum.")
        if self._offset != self.size:
            raise self._damaged("Something follows its trailer.")

    def _take(self, length: int) -> bytes:
        content = self._disk.read(self._descriptor, length, self._offset)
        if len(content) != length:
            raise self._damaged("It ends too early.")
        self._offset += length
        self._sum.update(content)
        return content

    def _damaged(self, why: str) -> Exception:
        return refusals.snapshot_corrupt(self._path, why)


def _block_checksum(data: bytes) -> int:
    return zlib.crc32(data, len(data))


def verify(path: str, disk: Disk | None = None) -> SnapshotMeta:
    """What a whole and undamaged snapshot file stands for. Raises raft-snapshot-corrupt, OSError."""
    reader = SnapshotReader(disk or Disk(), path)
    for _ in reader:
        pass
    return reader.meta


def backup(source: str, target: str, disk: Disk | None = None) -> SnapshotMeta:
    """Copy a snapshot file, as `copy` does."""
    disk = disk or Disk()
    return copy(SnapshotReader(disk, source), target, disk)


def copy(reader: SnapshotReader, target: str, disk: Disk | None = None) -> SnapshotMeta:
    """Write what is read to a file, verified meanwhile, and synced under its name for good when this returns.

    Raises raft-snapshot-corrupt, OSError, DurabilityUnknown; `target` is then as it was. Only a file is replaced.
    The file is sealed only if `disk` has a seal: a backup can be used wherever it is brought.
    """
    disk = disk or Disk()
    target = os.path.abspath(target)
    try:
        if os.path.lexists(target) and not os.path.isfile(target):
            raise FileExistsError(errno.EEXIST, "It is there, and is no file", target)
        temporary = f"{target}.{os.urandom(4).hex()}.tmp"  # two may write to one target at a time
        writer = SnapshotWriter(disk, target, temporary, reader.cluster, reader.meta)
    except OSError:
        reader.close()
        raise
    try:
        for block in reader:
            writer.write(block)
        writer.finish()
    except BaseException:
        reader.close()
        writer.abandon()
        raise
    writer.put_in_place()
    return reader.meta
