"""Tables as every command prints them: no lines, what has no room goes on below, and no cell acts on a terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from reconciler.cli.inert import inert


class InertTable(Table):
    """A table without lines, whose cells are text of one style each, or plain strings."""

    def __init__(self, **options: Any) -> None:
        super().__init__(box=None, pad_edge=False, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row, of which nothing could act on a terminal."""
        super().add_row(*(_inert(cell) for cell in cells), **options)


def _inert(cell: Any) -> Any:
    if isinstance(cell, Text):
        return Text(inert(cell.plain), style=cell.style)
    return inert(cell) if isinstance(cell, str) else cell


def titled(*columns: str) -> Table:
    """Return a table with these titles, and no rows yet."""
    made = InertTable(header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made
