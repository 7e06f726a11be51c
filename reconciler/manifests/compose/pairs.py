"""Mappings that may be written as lists of NAME=value, and command lines that may be written as one text."""

from __future__ import annotations

import re
from typing import Final

from reconciler.manifests.compose.source import StackSource
from reconciler.manifests.problems import KeyPath, key_path_text
from reconciler.manifests.yaml_scalars import go_text
from reconciler.model.json import JsonValue


def pairs(value: JsonValue) -> dict[str, str | None]:
    """Return {name: text} of a mapping, or of a list whose items split at their first `=`; without one, None.

    Numbers become the text that Go prints for them. Of a name listed twice the last counts.
    """
    if isinstance(value, dict):
        return {name: None if item is None else go_text(item) for name, item in value.items()}
    named: dict[str, str | None] = {}
    for item in value or ():
        name, found, text = item.partition("=")
        named[name] = text if found else None
    return named


def texts(value: JsonValue) -> dict[str, str]:
    """Return `pairs` with "" for what has no value: labels, options, sysctls."""
    return {name: text or "" for name, text in pairs(value).items()}


def command_words(source: StackSource, at: KeyPath, value: JsonValue) -> list[str]:
    """Return the words of `command` or `entrypoint`, given as a list or as one line."""
    if not isinstance(value, str):
        return list(value or ())
    words = split_words(value)
    if words is None:
        what = f"`{key_path_text(at)}` has a quote that is not closed, or ends in a backslash."
        source.invalid(
            at, what, "A command in one line is split into words as a shell does.", "Close it, or write a list."
        )
    return words or []


_PIECE: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | \\(?P<escaped>.)
    | '(?P<single>[^']*)'
    | "(?P<double>(?:\\.|[^"\\])*)"
    | (?P<plain>[^ \t\r\n\\'"]+)""",
    re.DOTALL | re.VERBOSE,
)


def split_words(line: str) -> list[str] | None:
    """Return the words of a command line by the rules of google/shlex, or None when it ends inside a quote.

    A `#` where a word starts drops the rest of its line; a backslash takes the next character as it is, in
    double quotes too; single quotes take everything as it is. No variables, no operators.
    """
    words: list[str] = []
    word: str | None = None
    position = 0
    while position < len(line):
        if word is None and line[position] == "#":
            end = line.find("\n", position)
            position = len(line) if end < 0 else end
            continue
        found = _PIECE.match(line, position)
        if found is None:
            return None
        position = found.end()
        if found["space"] is None:
            word = (word or "") + _piece_text(found)
        elif word is not None:
            words.append(word)
            word = None
    return words if word is None else [*words, word]


def _piece_text(found: re.Match[str]) -> str:
    if found["double"] is not None:
        return re.sub(r"\\(.)", r"\1", found["double"], flags=re.DOTALL)
    return found["escaped"] or found["single"] or found["plain"] or ""
