"""How numbers, and lists that may be long, are said."""

from __future__ import annotations

from collections.abc import Sequence


def many(count: int, noun: str) -> str:
    """Return "1 field" or "2 fields"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some(names: Sequence[str], shown_max: int) -> str:
    """Return the first of the names, and how many there are besides: "a, b and 2 more"."""
    shown = ", ".join(names[:shown_max])
    return f"{shown} and {len(names) - shown_max} more" if len(names) > shown_max else shown
