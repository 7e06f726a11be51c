"""Durations, sizes and processor counts as people write them, by the grammars of Go and docker.

Every function raises BadQuantity for a text that it cannot read.
"""

from __future__ import annotations

import functools
import re
import struct
from typing import Final

NANOSECONDS: Final[dict[str, int]] = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_LONG: Final = NANOSECONDS | {"d": 24 * NANOSECONDS["h"], "w": 7 * 24 * NANOSECONDS["h"]}
_PART: Final = re.compile(r"(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?([a-zµμ]+)")
_INT64_MAX: Final = 2**63 - 1
_TEXT_CHARS_MAX: Final = 100
"""Longer texts are no quantity; arithmetic on them would only cost time."""

_TEXTS_KEPT: Final = 1024
"""Texts whose meaning is remembered: a repository writes `10s` and `256M` over and over."""


class BadQuantity(ValueError):
    """The text is no duration, size or number. The message says what one looks like."""


@functools.lru_cache(_TEXTS_KEPT)
def duration_ns(text: str) -> int:
    """Return the nanoseconds of a duration in Go's notation: `1h2m3.5s`, `300ms`, `-5s`, `0`."""
    return _duration_ns(text, NANOSECONDS)


def _duration_ns(text: str, units: dict[str, int]) -> int:
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    parts = _PART.findall(rest)
    if len(rest) > _TEXT_CHARS_MAX or not re.fullmatch(rf"(?:{_PART.pattern})+", rest):
        raise BadQuantity("a duration such as 30s or 1m30s")
    total = 0
    for whole, part, unit in parts:
        if unit not in units:
            raise BadQuantity("a duration such as 30s or 1m30s")
        # Go multiplies the fraction as a 64-bit float and cuts it off; so do we, to get the same nanosecond.
        fraction = int(int(part) * (units[unit] / 10 ** len(part))) if part else 0
        total += int(whole or "0") * units[unit] + fraction
    if total > _INT64_MAX:
        raise BadQuantity("a duration of less than 292 years")
    return sign * total


def period_ns(text: str) -> int:
    """Return the nanoseconds of a duration as swarm.yaml writes it: Go's notation, with `d` and `w` besides."""
    return _duration_ns(text, _LONG)


@functools.lru_cache(_TEXTS_KEPT)
def size_bytes(text: str) -> int:
    """Return the bytes of a memory size: `512M`, `1.5g`, `64 KiB`. Units count by 1024, whatever their letters."""
    found = re.fullmatch(
        r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)((?:[eE][-+]?[0-9]{1,2})?) ?(?:([kmgtp])(?:i?b)?|b)?", text, re.IGNORECASE
    )
    if found is None or len(text) > _TEXT_CHARS_MAX:
        raise BadQuantity("a size such as 512M or 1.5G")
    power = " kmgtp".index(found[3].lower()) if found[3] else 0
    size = float(found[1] + found[2]) * 1024**power
    if size > _INT64_MAX:
        raise BadQuantity("a size below 8 EiB")
    return int(size)


@functools.lru_cache(_TEXTS_KEPT)
def nano_cpus(text: str) -> int:
    """Return billionths of a processor: `0.5`, `1/2`, `1e-1`. Exact; finer than a billionth is refused."""
    found = re.fullmatch(r"[-+]?(?:[0-9]+/[0-9]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?)", text)
    if found is None or len(text) > _TEXT_CHARS_MAX or re.search(r"/0+$", text):
        raise BadQuantity('a number such as "0.5"')
    from fractions import Fraction  # noqa: PLC0415 - few stacks limit processors

    nano = Fraction(text) * 1_000_000_000
    if nano.denominator != 1:
        raise BadQuantity("a number with at most 9 decimals")
    if abs(nano) > _INT64_MAX:
        raise BadQuantity("a number below nine billion")
    return int(nano)


def single_precision(number: float) -> float:
    """Return `number` as it looks after a trip through 32-bit floats, which docker keeps ratios in."""
    try:
        rounded = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return number
    for digits in range(1, 10):
        candidate = float(f"{rounded:.{digits}g}")
        if struct.unpack("f", struct.pack("f", candidate))[0] == rounded:
            return candidate
    return number
