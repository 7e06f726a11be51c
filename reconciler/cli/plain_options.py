"""Texts, choices and defaults of options read without pydantic, to which Typer gives every value.

Importing pydantic, and making a validator of it for each option of a command, took a quarter of the time to the first
call. Whatever is not plain, and so everything that is wrong, is still read by Typer itself.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from reconciler.cli import help_page

UNUSUAL = object()
"""Stands for a value that Typer has to read."""


class PlainCommand(TyperCommand):
    """A command whose options are read so."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        help_page.name_arguments(self.get_params(ctx))
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; Typer has added its own options by now."""
        lighten(self.get_params(ctx))
        return super().parse_args(ctx, args)


class PlainGroup(TyperGroup):
    """The program itself, or some commands of a kind, whose own options are read so."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what there is to choose from."""
        help_page.write_commands(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; Typer has added its own options by now. Without a command the help is shown."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            raise typer.Exit
        lighten(self.get_params(ctx))
        return super().parse_args(ctx, args)


class _Plain:
    """Takes the place of what Typer reads one option's values with, which it calls for all that is unusual."""

    def __init__(self, annotation: Any, typers_own: Callable[[], Any]) -> None:
        self._annotation, self._typers_own = annotation, typers_own

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value that a command gets, or raise what is wrong with it."""
        plain = plain_value(value, self._annotation, param)
        return self._typers_own().coerce(value, param=param, ctx=ctx) if plain is UNUSUAL else plain


def lighten(params: Iterable[Any]) -> None:
    """Have Typer read options through _Plain; where Typer is made in another way, all stays as it is."""
    for param in params:
        own, descriptor = getattr(param, "get_runtime_param", None), getattr(param, "type_descriptor", None)
        if own is None or descriptor is None or descriptor.parameter_info.parser is not None:
            continue
        if "get_runtime_param" not in vars(param):
            plain = _Plain(descriptor.annotation, own)
            vars(param)["get_runtime_param"] = lambda plain=plain: plain


def plain_value(value: Any, annotation: Any, param: Any) -> Any:
    """Return what an option of that type makes of `value`, or UNUSUAL."""
    many = param.multiple or param.nargs == -1
    if value is None:
        return () if many else None
    if annotation == list[str]:
        texts = many and isinstance(value, (list, tuple)) and all(_is_text(one) for one in value)
        return list(value) if texts else UNUSUAL
    if annotation is str:
        return value if _is_text(value) and not many else UNUSUAL
    if isinstance(annotation, enum.EnumType):
        choices: list[Any] = list(annotation)
        chosen = next((one for one in choices if value is one or _names(value, one)), None)
        return UNUSUAL if chosen is None or many else chosen
    return value if type(value) is annotation and value == param.default and not many else UNUSUAL


def _names(value: Any, choice: Any) -> bool:
    return type(value) is str and value == str(choice.value)


def _is_text(value: Any) -> bool:
    """Return whether a value is text, and not bytes that could not be read as such."""
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
