"""Frames come out as they went in, however the stream is cut, and no header makes room for what is not there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.adapters.raft.transport.framing import HEADER, FrameReader, FrameTooLarge


def framed(frame: bytes) -> bytes:
    return HEADER.pack(len(frame)) + frame


@given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(1, 30), min_size=1, max_size=10))
def test_any_cut_gives_the_same_frames(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(framed(frame) for frame in frames)
    reader, out, position, turn = FrameReader(40), [], 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        piece = bytearray(stream[position : position + size])
        out += reader.feed(memoryview(piece))
        piece[:] = bytes(len(piece))  # the room is used again
        position, turn = position + size, turn + 1
    assert out == frames
    assert reader.awaited == 0


@given(st.binary(max_size=20), st.integers(1, 23))
def test_an_unfinished_frame_is_awaited(frame: bytes, cut: int) -> None:
    stream = framed(frame)
    reader = FrameReader(20)
    assert reader.feed(memoryview(stream[: min(cut, len(stream) - 1)])) == []
    assert reader.awaited == (len(stream) if cut >= HEADER.size else HEADER.size)


@pytest.mark.parametrize("size", [21, 2**31, 2**32 - 1])
@pytest.mark.parametrize("pieces", [1, 2, 4])
def test_a_header_beyond_the_limit_is_refused_at_once(size: int, pieces: int) -> None:
    reader = FrameReader(20)
    stream = framed(b"ok") + HEADER.pack(size)
    step = len(stream) // pieces + 1
    starts = range(0, len(stream), step)
    with pytest.raises(FrameTooLarge, match=str(size)):
        _ = [reader.feed(memoryview(stream[start : start + step])) for start in starts]
