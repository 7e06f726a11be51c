"""A container's log taken apart: frames or none, times, details, lines that come in pieces."""

from __future__ import annotations

import struct

from reconciler.adapters.docker_runtime.printed import lines_of
from reconciler.model.output import STDERR, STDOUT, LogLine

FIRST, SECOND = b"2026-11-21T12:00:00.000000001Z", b"2026-11-21T12:00:00.5Z"
FIRST_NS = 1_795_262_400_000_000_001
SECOND_NS = FIRST_NS - 1 + 500_000_000


def framed(stream: int, content: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(content)) + content


def test_lines_have_times_and_what_the_driver_has_kept() -> None:
    content = framed(2, SECOND + b" a=b,c=%20 later\n") + framed(1, FIRST + b"  a b  \n")
    assert lines_of(content) == (
        LogLine(STDOUT, FIRST_NS, b"a b  "),
        LogLine(STDERR, SECOND_NS, b"later", "a=b,c=%20"),
    )


def test_a_line_in_pieces_is_one() -> None:
    pieces = [framed(1, FIRST + b"  begun,"), framed(2, SECOND + b"  other\n"), framed(1, SECOND + b"  ended\n")]
    assert lines_of(b"".join(pieces)) == (LogLine(1, FIRST_NS, b"begun,ended"), LogLine(2, SECOND_NS, b"other"))


def test_a_line_without_an_end_and_a_lone_carriage_return_are_kept() -> None:
    assert lines_of(framed(1, FIRST + b"  50%\r100%")) == (LogLine(STDOUT, FIRST_NS, b"50%\r100%"),)


def test_a_terminals_output_has_no_frames() -> None:
    content = FIRST + b"  one\r\n" + SECOND + b"  two\r\n"
    assert lines_of(content) == (LogLine(STDOUT, FIRST_NS, b"one\r"), LogLine(STDOUT, SECOND_NS, b"two\r"))
