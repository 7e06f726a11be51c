"""A container's log, as an engine hands it out, taken apart into lines."""

from __future__ import annotations

import calendar
import struct
import time
from collections.abc import Iterator

from msgspec.structs import replace

from reconciler.model.output import STDERR, STDOUT, LogLine

_FRAME = struct.Struct(">BxxxL")
_SECONDS = "YYYY-mm-ddTHH:MM:SS"
NANOSECONDS = 1_000_000_000


def lines_of(content: bytes) -> tuple[LogLine, ...]:
    """Return the lines of an answer that was asked for with timestamps and details, oldest first.

    A terminal's log has no frames: all of it is standard output. A line longer than an engine's buffer comes in
    several pieces, of which only the last one ends; it is as old as its first piece.
    """
    found: list[LogLine] = []
    begun: dict[int, LogLine] = {}
    for stream, piece in _pieces(content):
        for text in _at_newlines(piece):
            line = _line(stream, text.removesuffix(b"\n"))
            if line is None:
                continue
            if (first := begun.pop(stream, None)) is not None:
                line = replace(first, text=first.text + line.text)
            if text.endswith(b"\n"):
                found.append(line)
            else:
                begun[stream] = line
    return tuple(sorted([*found, *begun.values()], key=lambda line: line.at_ns))


def _at_newlines(piece: bytes) -> Iterator[bytes]:
    *whole, rest = piece.split(b"\n")
    yield from (text + b"\n" for text in whole)
    if rest:
        yield rest


def _pieces(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _FRAME.size <= len(content):
        stream, length = _FRAME.unpack_from(content, at)
        if stream > STDERR or content[at + 1 : at + 4] != b"\0\0\0":
            yield STDOUT, content[at:]
            return
        at += _FRAME.size
        yield max(stream, STDOUT), content[at : at + length]
        at += length


def _line(stream: int, line: bytes) -> LogLine | None:
    told, _, rest = line.partition(b" ")
    details, _, text = rest.partition(b" ")
    at_ns = _nanoseconds(told.decode("ascii", "replace"))
    return None if at_ns is None else LogLine(stream, at_ns, text, details.decode("ascii", "replace"))


def _nanoseconds(told: str) -> int | None:
    """Return what an RFC 3339 moment in UTC is, in nanoseconds since the epoch; None for what is none."""
    seconds, fraction = told[: len(_SECONDS)], told[len(_SECONDS) :].removesuffix("Z").removeprefix(".")
    try:
        whole = calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S"))
        return whole * NANOSECONDS + int(fraction.ljust(9, "0")[:9] or "0")
    except ValueError:
        return None
