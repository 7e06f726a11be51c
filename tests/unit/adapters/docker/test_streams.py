"""Frames of logs, and messages of events."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.adapters.docker.streams import demultiplexed, parse_event


def frame(stream: int, content: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(content)) + content


@given(st.lists(st.tuples(st.sampled_from((0, 1, 2)), st.binary(max_size=50))))
def test_frames_come_out_in_order(frames: list[tuple[int, bytes]]) -> None:
    packed = b"".join(frame(stream, content) for stream, content in frames)
    assert demultiplexed(packed) == b"".join(content for _, content in frames)


@given(st.binary(max_size=200))
def test_no_content_is_too_odd(content: bytes) -> None:
    assert isinstance(demultiplexed(content), bytes)


def test_a_terminals_log_has_no_frames() -> None:
    assert demultiplexed(b"plain text of a terminal\r\n") == b"plain text of a terminal\r\n"


def test_the_engines_own_complaint_is_no_output() -> None:
    assert demultiplexed(frame(1, b"said\n") + frame(3, b"Error grabbing logs: ...")) == b"said\n"


def test_a_cut_frame_gives_what_there_is() -> None:
    assert demultiplexed(frame(1, b"whole\n") + frame(1, b"cut off")[:-4]) == b"whole\ncut"


@pytest.mark.parametrize("extra", [{"timeNano": 1_700_000_000_500_000_000}, {"time": 1_700_000_000}])
def test_an_event_has_the_engines_time(extra: dict[str, int]) -> None:
    actor = {"ID": "x", "Attributes": {"name": "web"}}
    event = parse_event({"Type": "service", "Action": "create", "Actor": actor, **extra})
    assert (event.kind, event.action, event.object_id, event.name) == ("service", "create", "x", "web")
    assert int(event.at) == 1_700_000_000


def test_an_empty_event_is_no_crash() -> None:
    assert parse_event({}).kind == ""
