"""Frames that no honest member sends: they are refused before they cost much, in a way that the member bears."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest

from reconciler.adapters.raft.frames import FORWARDED_MAX, Forward, decode_frame, encode_frame
from reconciler.consensus.values import Append, Entry, EntryKind, Membership, SnapshotChunk, SnapshotMeta

MANY = 1_000_000
COST_MAX = 1 << 20

_TINY = Entry(1, 1, EntryKind.NOOP, b"")


def deep(opening: bytes) -> bytes:
    """A NotTaken with something deeply nested where a newer version may have a field."""
    return b"\x93\x22\x01" + opening * MANY + b"\x01"


@pytest.mark.parametrize(
    "frame",
    [deep(b"\x91"), deep(b"\x81\x01"), b"\x97\x06\x01\x01\x01\x01\xcb" + bytes(8) + b"\xa2\xff\xfe", b"", b"\xc1"],
    ids=["lists", "maps", "no-utf-8", "nothing", "no-msgpack"],
)
def test_what_is_no_frame_is_refused_as_members_expect_it(frame: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        decode_frame(frame)


@pytest.mark.parametrize(
    "frame",
    [
        Forward(1, [b"xx"] * MANY),
        Append(1, 1, 1, 1, 1, (_TINY,) * MANY),
        SnapshotChunk(1, 1, SnapshotMeta(1, 1, Membership(("a",) * MANY)), 1, 0, b""),
        SnapshotChunk(1, 1, SnapshotMeta(1, 1, Membership((), ("a",) * MANY)), 1, 0, b""),
    ],
    ids=["transactions", "entries", "voters", "learners"],
)
def test_millions_of_tiny_parts_are_refused_before_they_are_made(frame: Forward | Append | SnapshotChunk) -> None:
    data = encode_frame(frame)
    tracemalloc.start()
    try:
        with pytest.raises(msgspec.ValidationError):
            decode_frame(data)
        assert tracemalloc.get_traced_memory()[1] < COST_MAX
    finally:
        tracemalloc.stop()


def test_as_many_as_are_allowed_are_taken() -> None:
    whole = Forward(1, [b"x"] * FORWARDED_MAX)
    assert decode_frame(encode_frame(whole)) == whole
