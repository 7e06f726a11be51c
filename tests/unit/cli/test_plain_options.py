"""What is read without pydantic is what Typer reads with it, for every option of every command."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.plain_options import UNUSUAL, PlainCommand, PlainGroup, lighten, plain_value
from reconciler.cli.terminal import Terminal
from reconciler.wiring import Wiring

TEXTS = ("", "web", "a b", "1", "true", "größe", "None", "TEXT", "\udcff")


def commands() -> Iterator[tuple[str, Any]]:
    group: Any = typer.main.get_command(app.build(Wiring(settings.read({"HOME": "/nowhere"})), Terminal()))
    assert isinstance(group, PlainGroup)
    yield "swarmctl", group
    for name, command in group.commands.items():
        yield name, command
        yield from getattr(command, "commands", {}).items()


PARAMS = [
    pytest.param(command, param, id=f"{name} {param.name}")
    for name, command in commands()
    for param in command.get_params(typer.Context(command))
    if hasattr(param, "type_descriptor")
]


def values_for(param: Any) -> list[Any]:
    annotation = param.type_descriptor.annotation
    values = [None, param.default, *TEXTS, b"web", 1, 0.5, True]
    if isinstance(annotation, enum.EnumType):
        members: list[Any] = list(annotation)
        values += [*members, *(str(one.value) for one in members)]
    if param.multiple or param.nargs == -1:
        values = [None, (), *((value,) for value in values), ("web", "db"), ["web", 1], "web"]
    return values


@pytest.mark.parametrize(("command", "param"), PARAMS)
def test_plain_values_are_what_typer_makes_of_them(command: Any, param: Any) -> None:
    context = typer.Context(command)
    typers_own = type(param).get_runtime_param(param)
    for value in values_for(param):
        plain = plain_value(value, param.type_descriptor.annotation, param)
        if plain is UNUSUAL:
            continue
        read = typers_own.coerce(value, param=param, ctx=context)
        assert (plain, type(plain)) == (read, type(read)), repr(value)


@pytest.mark.parametrize(("command", "param"), PARAMS)
def test_what_is_not_plain_ends_as_it_does_with_typer(command: Any, param: Any) -> None:
    context = typer.Context(command)
    lighten([param])
    for value in values_for(param):
        assert ending(param.get_runtime_param(), value, param, context) == ending(
            type(param).get_runtime_param(param), value, param, context
        ), repr(value)


def ending(runtime: Any, value: Any, param: Any, context: typer.Context) -> tuple[str, Any]:
    try:
        return "read", runtime.coerce(value, param=param, ctx=context)
    except typer.BadParameter as error:
        return "refused", error.format_message()


def test_every_command_is_read_so() -> None:
    for name, command in commands():
        assert isinstance(command, (PlainCommand, TyperGroup)), name
