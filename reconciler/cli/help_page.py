"""Help pages as users of docker and git know them: arguments by their names, and no sentence cut off in its middle.

Typer writes `{name}` and `PATH <str>` for arguments, and ends the description of each command with the line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WIDTH_MAX = 110
"""Columns that a help page takes of a wide terminal; longer lines are hard to read."""


def name_arguments(params: Iterable[Any]) -> None:
    """Have the help show arguments by their names alone; where Typer is made in another way, all stays as it is."""
    for param in params:
        if getattr(param, "param_type_name", None) != "argument":
            continue
        name = param.display_name_raw
        shown = (name if param.required else f"[{name}]") + ("..." if param.nargs != 1 else "")
        vars(param)["_usage_display_name"] = lambda shown=shown: shown
        if not param.type_descriptor.is_choice:
            vars(param)["display_type"] = _no_type


def _no_type(ctx: Any) -> str:  # noqa: ARG001 - Typer calls it so
    return ""


def write_commands(group: Any, context: Any, formatter: Any) -> None:
    """Write the commands of a group, each with the whole first paragraph of its help."""
    commands = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    with formatter.section("Commands"):
        formatter.write_dl([(name, _first_paragraph(one.help or "")) for name, one in commands if not one.hidden])


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().split("\n\n")[0].split())
