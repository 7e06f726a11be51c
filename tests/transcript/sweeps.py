"""Sweeps: scenarios that are generated from a table of values, one for each flag of a command.

A file NAME.sweep holds steps as a scenario does, and between them tables: `> COMMAND` with `{flags}` in it, then
perhaps `< COMMAND` that shows what came of it and `~ COMMAND` that removes it, then a line for each value of `{flags}`
(an empty line is a value too). `{name}` is another name on each line. What shows and removes is run after each line,
or after BATCH of them where it has `{names}`, which are those lines' names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

BATCH = 16


@dataclass
class Table:
    """A table while it is read; `rows` are the lines that nothing has shown yet."""

    command: str
    show: str = ""
    remove: str = ""
    rows: list[str] = field(default_factory=list)

    def is_full(self) -> bool:
        return len(self.rows) >= (BATCH if "{names}" in self.show else 1)

    def flush(self, first: int) -> Iterator[str]:
        """Yield the steps of `rows` and forget them; the first one's name has the number `first`."""
        # Long enough to be the beginning of no id: an engine finds a network by that too.
        names = [f"swept{first + position}" for position in range(len(self.rows))]
        for name, row in zip(names, self.rows, strict=True):
            yield f"1$ {self.command}".replace("{flags}", row).replace("{name}", name).rstrip()
        if self.rows and self.show:
            yield f"1= {self.show}".replace("{names}", " ".join(names))
        if self.rows and self.remove:
            yield f"1- {self.remove}".replace("{names}", " ".join(names))
        self.rows.clear()


def expanded(text: str) -> Iterator[str]:
    """Yield the lines of a scenario, the tables' among them, in order."""
    table = Table("")
    count = 0
    for line in text.splitlines():
        mark, rest = line[:2], line[2:]
        if mark == "< ":
            table.show = rest
        elif mark == "~ ":
            table.remove = rest
        elif mark == "# ":
            continue
        elif mark == "> " or (mark[:1].isdigit() and mark[1:] in tuple("$?-=")):
            yield from table.flush(count + 1 - len(table.rows))
            table = Table(rest if mark == "> " else "")
            if mark != "> ":
                yield line
        elif table.command:
            table.rows.append(line)
            count += 1
            if table.is_full():
                yield from table.flush(count + 1 - len(table.rows))
    yield from table.flush(count + 1 - len(table.rows))
