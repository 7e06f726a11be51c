"""Tables as every command prints them: no lines, and what has no room goes on below."""

from __future__ import annotations

from rich.table import Table


def titled(*columns: str) -> Table:
    """Return a table with these titles, and no rows yet."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made
