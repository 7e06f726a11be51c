"""Words of others inside our Markdown: nothing of them becomes markup, a link, or a message to somebody.

A name, a value or an engine's error is written by whoever opened the pull request. It must not close a fold or a
fence, start a table's next cell, or tell a person (`@name`) or an issue (`#1`) of itself. Sources: GitHub Flavored
Markdown 0.29; GitLab's references and quick actions, which are commands at the beginning of a line.
"""

from __future__ import annotations

import re

from reconciler.planning.render_values import elided, printable

ZERO_WIDTH_SPACE = "\u200b"

_PLAIN = re.compile(r"[^`|\\<>&\s]([^`|\\<>&]*[^`|\\<>&\s])?")
"""What every forge takes as it is between two backticks, in a table too."""

_MARKUP = re.compile(
    r"""[^\w\s./,=;:()'"-]  # what may be markup
      | (?<![A-Za-z0-9])_ | _(?![A-Za-z0-9])  # between letters it is none
      | :(?=\S)  # http://, :emoji:
      | (?<=[wW]{3})\.  # www.""",
    re.ASCII | re.VERBOSE,
)
_REFERENCE = re.compile(r"([@#!%~&$^])(?=\w)")
_CODE_SPAN = re.compile(r"`([^`]+)`")
_BACKTICKS = re.compile(r"`+")


def units(text: str) -> int:
    """Return the length of `text` in UTF-16 units, which is the most that a forge could count it as."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def code(text: str, room: int = 120) -> str:
    """Return `text` as code on one line, of at most `room` columns. Fit for sentences, tables and HTML."""
    short = elided(printable(text), room)
    return f"`{short}`" if _PLAIN.fullmatch(short) else html_code(short)


def html_code(text: str) -> str:
    """Return printable `text` as HTML code, which is also code where Markdown is not read, as in a summary."""
    return f"<code>{_inert(text)}</code>"


def prose(text: str, room: int = 400) -> str:
    """Return a sentence on one line, of at most `room` columns. What it has in backticks stays code."""
    short = elided(printable(" ".join(text.split())), room)
    pieces = _CODE_SPAN.split(short)
    return "".join(code(piece, room) if number % 2 else _quiet(piece) for number, piece in enumerate(pieces))


def html_prose(text: str, room: int = 200) -> str:
    """Return a sentence on one line for where Markdown is not read, as in a summary."""
    return _quiet(elided(printable(" ".join(text.split())), room))


def fenced(lines: list[str], language: str) -> str:
    """Return printable lines as a code block whose fence is longer than anything in it that looks like one."""
    body = "\n".join(lines)
    fence = "`" * max(3, 1 + max((len(run) for run in _BACKTICKS.findall(body)), default=0))
    return f"{fence}{language}\n{body}\n{fence}\n"


def _quiet(text: str) -> str:
    """Return text that is no markup and refers to nobody: a forge looks for references after it has read entities."""
    return _inert(_REFERENCE.sub(rf"\1{ZERO_WIDTH_SPACE}", text))


def _inert(text: str) -> str:
    return _MARKUP.sub(_entity, text)


def _entity(match: re.Match[str]) -> str:
    character = match[0]
    return f"&#{ord(character)};" if character.isascii() else character
