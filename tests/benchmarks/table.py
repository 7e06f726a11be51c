"""Figures side by side."""

from __future__ import annotations


def ratio(ours: float, theirs: float) -> str:
    """Return how many times theirs ours is."""
    return f"{ours / theirs:.2f}" if theirs else "-"


def in_columns(rows: list[list[str]]) -> str:
    """Return rows as text: the first column to the left, the others to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = []
    for row in rows:
        figures = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join([row[0].ljust(widths[0]), *figures]))
    return "\n".join(lines)
