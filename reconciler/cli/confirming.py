"""Asking a person whether to go on."""

from __future__ import annotations

from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, SwarmctlError


def confirm(terminal: Terminal, question: str, hint: str) -> None:
    """Ask; anything but yes ends the command with not-confirmed. `hint` tells how to do without being asked."""
    if not terminal.interactive:
        raise SwarmctlError(
            ErrorCode.NOT_CONFIRMED,
            "Nothing was changed: nobody could be asked.",
            why="Standard input is no terminal.",
            hint=hint,
        )
    terminal.note(f"{question} Only 'yes' will be accepted.", "bold")
    try:
        answer = terminal.err.input("Enter a value: ")
    except EOFError:
        answer = ""
        terminal.note("")
    except KeyboardInterrupt as interruption:
        terminal.note("")
        raise SwarmctlError(
            ErrorCode.INTERRUPTED, "Interrupted: nothing was changed.", why="Nobody had confirmed it.", hint=hint
        ) from interruption
    if answer.strip().lower() != "yes":
        raise SwarmctlError(
            ErrorCode.NOT_CONFIRMED, "Nothing was changed: it was not confirmed.", hint="Answer yes, or give --yes."
        )
