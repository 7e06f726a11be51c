"""Where the problems of one Revision are gathered, so that all of them are told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from reconciler.model.errors import Place, Problem, Severity, SwarmctlError

KeyPath: TypeAlias = tuple[str | int, ...]
"""Steps from a document's root to a value: mapping keys and list indexes."""

PROBLEMS_MAX = 500
"""Problems that are kept of one Revision: a reader stops far earlier, and a hostile file must not fill the memory."""


class ProblemList(msgspec.Struct):
    """Errors and warnings found so far."""

    errors: list[Problem] = msgspec.field(default_factory=list)
    warnings: list[Problem] = msgspec.field(default_factory=list)

    def add(self, problem: Problem) -> None:
        """Keep one problem, by its severity. Warnings beyond PROBLEMS_MAX are dropped.

        The error that reaches PROBLEMS_MAX ends the whole loading by raising them all: finding near names for
        hundreds of thousands of wrong ones would take minutes.
        """
        if problem.severity is Severity.ERROR:
            self.errors.append(problem)
            if len(self.errors) >= PROBLEMS_MAX:
                self.raise_errors()
        elif not self.has_enough_warnings:
            self.warnings.append(problem)

    @property
    def has_enough_warnings(self) -> bool:
        """Whether a further warning would be dropped."""
        return len(self.warnings) >= PROBLEMS_MAX

    def add_error(self, error: SwarmctlError, place: Place | None) -> None:
        """Keep an error that a file access raised, at `place` unless it has one of its own."""
        for problem in error.problems:
            self.add(problem if problem.place is not None else replace(problem, place=place))

    def sorted_errors(self) -> tuple[Problem, ...]:
        """Return the errors by file, line and column."""
        return _sorted(self.errors)

    def sorted_warnings(self) -> tuple[Problem, ...]:
        """Return the warnings by file, line and column."""
        return _sorted(self.warnings)

    def raise_errors(self) -> None:
        """Raise one SwarmctlError with every error, or do nothing when there is none."""
        if self.errors:
            raise SwarmctlError.from_problems(self.sorted_errors())


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda problem: problem.place or Place("")))


def key_path_text(path: Sequence[str | int]) -> str:
    """Return a path as people write it: `services.web.ports[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def did_you_mean(word: str, known: Iterable[str], *, noun: str = "") -> str:
    """Return a hint sentence with the known words nearest to `word`, or one that lists them, or "".

    `noun` names the known words in plural ("networks").
    """
    words = list(known)
    near = difflib.get_close_matches(word[:NAME_CHARS_MAX], words[:NAMES_COMPARED_MAX], n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(f'`{name}`' for name in near)}?"
    if not words:
        return f"There are no {noun}." if noun else ""
    first = sorted(words[:NAMES_COMPARED_MAX])[:NAMES_SHOWN_MAX]
    shown = ", ".join(f"`{name}`" for name in first)
    more = f" and {len(words) - NAMES_SHOWN_MAX} more" if len(words) > NAMES_SHOWN_MAX else ""
    return f"Known {noun or 'keys'}: {shown}{more}."


NAME_CHARS_MAX = 100
"""Characters of a name that are compared with others, for a hint."""
NAMES_COMPARED_MAX = 300
"""Names that are searched for near ones, for a hint."""
NAMES_SHOWN_MAX = 12
"""Names that a hint lists."""
TEXT_CHARS_MAX = 60
"""Characters of a user's text that a message repeats."""


def shown(value: object) -> str:
    """Return how a message names a value: short texts and numbers as written, collections by their kind."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = value if len(value) <= TEXT_CHARS_MAX else value[: TEXT_CHARS_MAX - 1] + "…"
        return f'"{_one_line(text)}"'
    if isinstance(value, int | float):
        return str(value)[:TEXT_CHARS_MAX]
    return "a mapping" if isinstance(value, dict) else "a list"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
