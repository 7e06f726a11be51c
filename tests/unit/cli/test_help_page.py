"""What `--help` says, of every command: arguments and values by name, whole sentences, and nothing left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.terminal import Terminal
from reconciler.wiring import Wiring

COMMANDS_MD = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()


def build() -> Any:
    return typer.main.get_command(app.build(Wiring(settings.read({"HOME": "/nowhere"})), Terminal()))


def contexts(command: Any, parent: typer.Context | None = None, name: str = "swarmctl") -> Iterator[typer.Context]:
    context = typer.Context(command, parent=parent, info_name=name)
    yield context
    for below, one in getattr(command, "commands", {}).items():
        yield from contexts(one, context, below)


PAGES = [pytest.param(one, id=one.command_path) for one in contexts(build())]


@pytest.mark.parametrize("context", PAGES)
def test_a_page_names_its_values_and_cuts_nothing_off(context: typer.Context):
    page = context.command.get_help(context)
    assert not re.search(r"<str>|<int|list\[|\{|[a-z]\.\.\.$", page, re.MULTILINE), page
    assert f"Usage: {context.command_path} " in page


@pytest.mark.parametrize("context", PAGES)
def test_every_argument_and_option_says_what_it_does(context: typer.Context):
    assert context.command.help
    assert [one.name for one in context.command.params if not getattr(one, "help", None)] == []


@pytest.mark.parametrize("context", PAGES[1:])
def test_every_command_and_option_is_documented(context: typer.Context):
    path = context.command_path.removeprefix("swarmctl ")
    assert re.search(rf"(## swarmctl |`){path}\b", COMMANDS_MD), path
    long_options = [option for one in context.command.params for option in one.opts if option.startswith("--")]
    assert [option for option in long_options if option not in COMMANDS_MD] == []


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]):
    terminal = Terminal(color=False)
    arguments = ("token",)
    built = app.build(Wiring(settings.read({"HOME": "/nowhere"})), terminal, arguments)
    assert app.run(built, terminal, arguments) == 0
    shown = capsys.readouterr()
    assert " token [OPTIONS] COMMAND" in shown.out
    assert shown.err == ""
