"""Durations, sizes and processor counts as people write them: what manifests.quantities reads, the other way round."""

from __future__ import annotations

from decimal import Decimal

from reconciler.manifests.quantities import NANOSECONDS

_UNITS = ("h", "m", "s", "ms", "us", "ns")
_SIZES = (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10))


def duration_text(nanoseconds: int) -> str:
    """Return a duration in Go's notation, such as 1m30s; none is 0s. Negative ones keep their sign."""
    left, text = abs(nanoseconds), ""
    for unit in _UNITS:
        count, left = divmod(left, NANOSECONDS[unit])
        text += f"{count}{unit}" if count else ""
    return ("-" if nanoseconds < 0 else "") + (text or "0s")


def size_text(size: int) -> str:
    """Return a memory size in the largest unit that needs no fraction, such as 64M."""
    for unit, factor in _SIZES:
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}b"


def cpus_text(nano_cpus: int) -> str:
    """Return a number of processors, such as 0.5, without rounding."""
    return f"{(Decimal(nano_cpus) / 1_000_000_000).normalize():f}"
