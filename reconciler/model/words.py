"""How numbers are said."""

from __future__ import annotations


def many(count: int, noun: str) -> str:
    """Return "1 field" or "2 fields"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
