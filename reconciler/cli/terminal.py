"""Where output goes: standard output for what was asked for, standard error for everything said about it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.cli.inert import inert, no_command, no_command_in_json
from reconciler.model.errors import Problem, Severity
from reconciler.model.json import JsonValue
from reconciler.model.progress import Verdict

if TYPE_CHECKING:  # Rich is imported for a terminal and for tables only: a pipe need not wait for it
    from rich.console import Console
    from rich.text import Text

STYLES = {"+": "green", "-": "red", "~": "yellow", "#": "bold", "@": "cyan", "!": "red"}
"""Colours of a plan's lines, by their first symbol."""

TITLES = {"Blocked:": "bold red", "Error:": "bold red", "Warning:": "bold yellow", "Placement:": "bold yellow",
          "Note:": "bold", "Plan:": "bold", "No changes.": "bold green"}  # fmt: skip
"""Colours of the words that a plan's other lines begin with."""

CHANGED_VALUE = re.compile(r"^( +~ .+? = )(.+)( -> )(.+)$")
COMMENT = "  # "

VERDICT_STYLES = {
    Verdict.CONVERGED: "green",
    Verdict.PROGRESSING: "yellow",
    Verdict.TIMED_OUT: "red",
    Verdict.PAUSED: "red",
    Verdict.ROLLED_BACK: "red",
    Verdict.FAILING: "red",
    Verdict.UNSCHEDULABLE: "red",
    Verdict.MISSING: "red",
    Verdict.CHANGED: "red",
}


PIPED_WIDTH = 400
"""Columns of a table that goes into a file or a pipe: whoever reads it there can wrap it, and can't unwrap it."""


class Terminal:
    """Both output streams, with colour where wanted. `color` None asks each stream whether it is a terminal."""

    def __init__(self, color: bool | None = None) -> None:
        self._color = color

    @cached_property
    def out(self) -> Console:
        """Standard output."""
        return self._console(width=None if sys.stdout.isatty() else PIPED_WIDTH)

    @cached_property
    def err(self) -> Console:
        """Standard error."""
        return self._console(file=_Unheard(sys.stderr))

    def _console(self, **options: Any) -> Console:
        """Return a console to which a text is nothing but text: no markup, and no emoji's name."""
        from rich.console import Console

        if self._color:
            options["force_terminal"] = True
        if self._color is False:  # nor bold or dim letters, which Rich's own no_color leaves
            options["color_system"] = None
        return Console(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    @property
    def width(self) -> int | None:
        """Columns of the terminal that standard output is; None when it is a file or a pipe."""
        return self.out.width if sys.stdout.isatty() else None

    @property
    def is_live(self) -> bool:
        """Whether standard error is a terminal, on which what is said can be drawn anew."""
        return not self._is_plain(sys.stderr) and self.err.is_terminal

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked: standard input and error are both terminals."""
        return sys.stdin is not None and sys.stdin.isatty() and self.is_live

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print one line of what was asked for."""
        text = inert(text)
        if self._is_plain(sys.stdout):
            _write_line(sys.stdout, text)
        else:
            self.out.print(_text(text, style))

    def note(self, text: str, style: str | None = None) -> None:
        """Print one line about what is going on."""
        text = inert(text)
        if self._is_plain(sys.stderr):
            _write_line(sys.stderr, text)
        else:
            self.err.print(_text(text, style))

    def _is_plain(self, stream: TextIO) -> bool:
        """Whether nothing that is printed there can have a colour: a file or a pipe, and none is forced on it."""
        return not self._color and not stream.isatty()

    def json(self, value: JsonValue) -> None:
        """Print a value as indented JSON, never coloured: it is for programs."""
        text = json.dumps(value, indent=2, ensure_ascii=False)
        if text != _encodable(text, sys.stdout.encoding):
            text = json.dumps(value, indent=2)
        _write_line(sys.stdout, no_command_in_json(text))

    def write(self, text: str) -> None:
        """Print a text as it is, uncoloured; characters that the output's encoding lacks are written as escapes."""
        _put(sys.stdout, text)

    def plan(self, text: str) -> None:
        """Print a plan's text, its lines in the colours of their symbols."""
        text = no_command(text)
        if self._is_plain(sys.stdout) or not self.out.is_terminal:
            self.write(text)  # Rich would make spaces of a config's tabs
            return
        for line in text.splitlines():
            self.out.print(_colored(line))

    def problems(self, problems: Iterable[Problem]) -> None:
        """Print errors and warnings, each with its place, reason and hint."""
        for problem in problems:
            warning = problem.severity is Severity.WARNING
            title = ("Warning: ", "bold yellow") if warning else ("Error: ", "bold red")
            self._parts(title, (problem.what, "bold"), (f" [{problem.code.value}]", "dim"))
            if problem.place is not None:
                path = f" ({problem.place.key_path})" if problem.place.key_path else ""
                self.note(f"  at:   {problem.place}{path}")
            if problem.why:
                self.note(f"  why:  {problem.why}")
            if problem.hint:
                self.note(f"  hint: {problem.hint}")

    def _parts(self, *parts: tuple[str, str]) -> None:
        """Print one line of which each part has a style of its own, about what is going on."""
        if self._is_plain(sys.stderr):
            self.note("".join(text for text, _ in parts))
            return
        from rich.text import Text

        self.err.print(Text.assemble(*((inert(text), style) for text, style in parts)))


class _Unheard:
    """A stream whose writes fail for nobody: what is told of an apply must not end it once its terminal is gone.

    In all else it is the stream itself, as Rich asks for it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _text(text: str, style: str | None = None) -> Text:
    from rich.text import Text

    return Text(text, style=style or "")


def _write_line(stream: TextIO, text: str) -> None:
    _put(stream, text + "\n")


def _put(stream: TextIO, text: str) -> None:
    """Write a text now. Raises OSError where what was asked for finds no room; of errors nobody could be told."""
    try:
        stream.write(_encodable(text, stream.encoding))
        stream.flush()
    except OSError:
        if stream is not sys.stderr:
            raise


def _encodable(text: str, encoding: str) -> str:
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _colored(line: str) -> Text:
    """Return a plan's line in colour: what goes red, what comes green, comments dim.

    A value may hold anything, ` -> ` for one: then the line is coloured a little wrongly, and says the same.
    """
    for title, style in TITLES.items():
        if line.lstrip().startswith(title):
            text = _text(line)
            text.stylize(style, line.index(title), line.index(title) + len(title))
            return text
    symbol = line.lstrip()[:1]
    if symbol == "#":
        return _text(line, "dim" if line.startswith(" " * 6) else STYLES["#"])
    statement, hash_sign, comment = line.rpartition(COMMENT)
    if not hash_sign or not statement.strip():
        statement, comment = line, ""
    text = _statement(statement, STYLES.get(symbol, ""))
    if comment:
        text.append(COMMENT + comment, style="dim")
    return text


def _statement(line: str, style: str) -> Text:
    changed = CHANGED_VALUE.match(line)
    if changed is None or line.count(" -> ") != 1:
        return _text(line, style)
    start, old, arrow, new = changed.groups()
    text = _text(start, style)
    text.append(old, style="red").append(arrow, style=style).append(new, style="green")
    return text
