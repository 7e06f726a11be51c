"""The bytes of a journal segment: groups of records, and the judgement of where they end. Pure.

A segment is a header, then groups, then zeros up to its allocated size. A group is what one sync wrote at once:
records, and an end mark. A group is written only when all before it are synced, which is why a damaged one can be told
from one that a crash cut short:

- with a later group behind it, it had been synced: damage.
- with its end mark in place, it is cut short only if some whole sector (512 bytes) of it still reads as zeros, since
  disks write sectors whole and the space was zeros before; else it is damage. The end mark says how many sectors of the
  group are zeros by themselves.
- otherwise it is cut short. It had never been acknowledged, and its valid beginning may stay.

Markers and checksums are salted for each segment, and checksums for each offset, so that a record inside an entry's
data, from another place or of an older segment is none here. CRC32 finds every flip of up to three bits in records up
to 11 KB, and all but one of 4e9 other changes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import msgspec

from reconciler.consensus.values import Entry

MAGIC = b"SWRAFTJ1"
_HEADER = struct.Struct("<8sIQQQQ8s8s")  # magic, crc, sequence, size, last index, last term, salt, owner
HEADER_BYTES = _HEADER.size
_RECORD = struct.Struct(
    "<IIIIQQB"
)  # marker, crc of what follows, length of data, offset of the group, index, term, kind
_CHECKED = struct.Struct("<IIQQB")  # the part of it that is under the checksum
_BEFORE_CHECKED = struct.Struct("<II")
RECORD_BYTES = _RECORD.size
_END_DATA = struct.Struct("<IIB")  # sectors of zeros, records, 0xff: a complete group never ends in a zero
END_BYTES = RECORD_BYTES + _END_DATA.size
SECTOR_BYTES = 512
_ZEROS = bytes(SECTOR_BYTES)

KIND_RESET = 254
"""A record without data: the log starts anew behind its index and term, because a snapshot replaced it."""
KIND_END = 255
KIND_SEALED = 64
"""Added to the kind of an entry whose data is sealed."""


class SegmentHeader(msgspec.Struct, frozen=True):
    """What a segment says of itself. The log before it ended with `last_index` and `last_term`."""

    sequence: int
    size: int
    last_index: int
    last_term: int
    salt: bytes
    owner: bytes
    """8 bytes that stand for the node and the cluster."""

    def encode(self) -> bytes:
        """The first bytes of the segment."""
        body = _HEADER.pack(MAGIC, 0, self.sequence, self.size, self.last_index, self.last_term, self.salt, self.owner)
        return body[:8] + struct.pack("<I", zlib.crc32(body[12:])) + body[12:]

    @classmethod
    def decode(cls, content: bytes) -> SegmentHeader | None:
        """The header of a segment; None if it is damaged. A header is synced before the segment has its name."""
        if len(content) < HEADER_BYTES:
            return None
        magic, checksum, *fields = _HEADER.unpack_from(content)
        if magic != MAGIC or checksum != zlib.crc32(content[12:HEADER_BYTES]):
            return None
        return cls(*fields)

    @staticmethod
    def is_of_another_format(content: bytes) -> bool:
        """Whether what `decode` does not know is the header of a newer version: its magic has another number.

        With a checksum that fits as ours does, the number itself is damaged.
        """
        magic, checksum = content[:8], int.from_bytes(content[8:12], "little")
        return (
            magic[:-1] == MAGIC[:-1]
            and MAGIC[-1:] < magic[-1:] <= b"9"
            and checksum != zlib.crc32(content[12:HEADER_BYTES])
        )

    @property
    def marker(self) -> int:
        """What each record starts with; none of its bytes is zero."""
        return int.from_bytes(self.salt[:4], "little") | 0x01010101

    @property
    def seed(self) -> int:
        """What each record's checksum starts from."""
        return zlib.crc32(self.salt)


Record = tuple[int, int, int, bytes]
"""Index, term, kind (of an Entry, or KIND_RESET), data."""


class Contents(msgspec.Struct):
    """What a segment holds. Behind `end` is nothing that counts; up to `dirty` it isn't zeros."""

    records: list[Record]
    group: int
    """Offset of the last group, of which `records` holds what is valid; equal to `end` when all groups are whole."""
    end: int
    dirty: int
    unended: int
    """How many of `records` are in that last group and have no end mark."""
    damage: str = ""
    """Why the segment can't be what was written; "" if it can."""

    @property
    def torn(self) -> bool:
        """A crash cut the last group short."""
        return self.group != self.end or self.dirty > self.end


def group_bytes(entries: Sequence[Entry]) -> int:
    """Bytes that a group of these entries takes in a segment."""
    return sum([len(entry.data) for entry in entries]) + RECORD_BYTES * len(entries) + END_BYTES


def encode_records(header: SegmentHeader, offset: int, records: Sequence[Record]) -> bytes:
    """The bytes of a group of records that will be written at `offset`. `records` is not empty."""
    return _finish(header, offset, records)


def encode_reset(header: SegmentHeader, offset: int, index: int, term: int) -> bytes:
    """The bytes of a group that lets the log start anew behind `index`."""
    return _finish(header, offset, [(index, term, KIND_RESET, b"")])


def encode_end(header: SegmentHeader, group: int, records: Sequence[Record]) -> bytes:
    """The end mark of the group at `group` that was cut short behind `records`, for it to end there."""
    body = b"".join(_pieces(header, group, group, records))
    return _end(header, group, body, len(records), records[-1])


def _finish(header: SegmentHeader, offset: int, records: Sequence[Record]) -> bytes:
    body = b"".join(_pieces(header, offset, offset, records))
    return body + _end(header, offset, body, len(records), records[-1])


def _pieces(header: SegmentHeader, group: int, at: int, records: Sequence[Record]) -> list[bytes]:
    """The parts of records of the group at `group`, which will lie at `at`."""
    marker, seed, crc32 = header.marker, header.seed, zlib.crc32
    pieces: list[bytes] = []
    for index, term, kind, data in records:
        checked = _CHECKED.pack(len(data), group, index, term, kind)
        pieces += (_BEFORE_CHECKED.pack(marker, crc32(data, crc32(checked, seed ^ at))), checked, data)
        at += RECORD_BYTES + len(data)
    return pieces


def _end(header: SegmentHeader, group: int, body: bytes, count: int, last: Record) -> bytes:
    data = _END_DATA.pack(zero_sectors(body, group), count, 0xFF)
    return b"".join(_pieces(header, group, group + len(body), [(last[0], last[1], KIND_END, data)]))


def zero_sectors(body: bytes, offset: int) -> int:
    """How many of the file's sectors are zeros in `body`, which lies at `offset`.

    The first counts from `offset` on: what is before it was there already. The last counts only if it is whole: else
    the end mark begins in it, and is there only if that sector is.
    """
    first = min(-offset % SECTOR_BYTES, len(body))
    zeros = int(first > 0 and not any(body[:first]))
    if _ZEROS not in body:
        return zeros
    starts = range(first, len(body) - SECTOR_BYTES + 1, SECTOR_BYTES)
    return zeros + sum(body[at : at + SECTOR_BYTES] == _ZEROS for at in starts)


def read_segment(header: SegmentHeader, content: bytes) -> Contents:
    """What a whole segment holds, and whether its end is as it was written, cut short, or damaged."""
    dirty = len(content.rstrip(b"\0"))
    records, group, end, ended = _read_records(header, content)
    contents = Contents(records, group, end, max(dirty, end), len(records) - ended)
    if dirty > end:
        contents.damage = _judge(header, content, group, end, dirty)
    return contents


def _read_records(header: SegmentHeader, content: bytes) -> tuple[list[Record], int, int, int]:
    """The valid records, the offset of the last group, where reading stopped, and how many records end before it."""
    marker, seed, crc32, unpack, size = header.marker, header.seed, zlib.crc32, _RECORD.unpack_from, len(content)
    view = memoryview(content)
    records: list[Record] = []
    group = offset = HEADER_BYTES
    last = size - RECORD_BYTES
    ended = 0
    while offset <= last:
        found, checksum, length, owner, index, term, kind = unpack(content, offset)
        start = offset + RECORD_BYTES
        end = start + length
        if found != marker or owner != group or end > size or crc32(view[offset + 8 : end], seed ^ offset) != checksum:
            break
        offset = end
        if kind == KIND_END:
            group, ended = end, len(records)
        else:
            records.append((index, term, kind, content[start:end]))
    return records, group, offset, ended


def _judge(header: SegmentHeader, content: bytes, group: int, bad: int, dirty: int) -> str:
    """Why what lies at `bad`, in the group at `group`, is damage; "" if a crash may have cut it short."""
    marker = header.marker.to_bytes(4, "little")
    at = content.find(marker, bad, dirty)
    while at >= 0:
        if damage := _judge_by(header, content, group, bad, at):
            return damage
        at = content.find(marker, at + 1, dirty)
    return ""


def _judge_by(header: SegmentHeader, content: bytes, group: int, bad: int, at: int) -> str:
    """Why the record at `at` proves that what is bad before it is damage; "" if it doesn't."""
    if at + RECORD_BYTES > len(content):
        return ""
    _, checksum, length, owner, _, _, kind = _RECORD.unpack_from(content, at)
    end = at + RECORD_BYTES + length
    if end > len(content) or zlib.crc32(memoryview(content)[at + 8 : end], header.seed ^ at) != checksum:
        return ""
    if owner != group:
        return f"The record at byte {bad} does not match its checksum, and valid ones of later writes follow it."
    if kind != KIND_END or length != _END_DATA.size:
        return ""
    zeros, _, _ = _END_DATA.unpack_from(content, at + RECORD_BYTES)
    if zero_sectors(content[group:at], group) > zeros:
        return ""
    return f"The record at byte {bad} does not match its checksum, and all else of that write is there."
