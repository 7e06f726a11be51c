r"""Words of others as text that acts on nothing: neither on a terminal, nor on the CI job in whose log they stand.

What a task prints, an engine answers or a config holds may move the cursor, hide a line or turn it round; and runners
of CI jobs obey lines that a job prints: `::add-mask::…` and `##[set-output …]…` for GitHub and Gitea, `##vso[…]…` for
Azure, `##teamcity[…]` for TeamCity. Source: ActionCommand.cs of actions/runner: the former counts after leading spaces,
the latter anywhere in a line.
"""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_LINE_COMMAND = re.compile(r"^([^\S\n]*):(?=:[A-Za-z])", re.MULTILINE)
_BRACKET_COMMAND = re.compile(r"##(?=[a-z]*\[)")


def inert(text: str) -> str:
    r"""Return `text` without the colours that it brings, and with all else that could act written as \x1b and so on.

    Its line feeds and tabs stay.
    """
    if not text.replace("\n", "").replace("\t", "").isprintable():
        from reconciler.planning.render_values import printable  # what is said before a plan need not wait for it

        text = printable(_COLOUR.sub("", text), keep="\n\t")
    return no_command(text)


def no_command(text: str) -> str:
    r"""Return printable `text` of which no line is a command to a CI job's runner: one character of it becomes \x3a."""
    if "::" in text:
        text = _LINE_COMMAND.sub(r"\1\\x3a", text)
    return _BRACKET_COMMAND.sub(r"#\\x23", text) if "##" in text else text


def no_command_in_json(text: str) -> str:
    """Return JSON that says the same, and of which no line is a command: there they could only be within strings."""
    return _BRACKET_COMMAND.sub(r"#\\u0023", text) if "##" in text else text
