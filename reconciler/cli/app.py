"""The swarmctl command as a whole: its verbs, and how each way of failing ends."""

from __future__ import annotations

import errno
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from reconciler import __version__
from reconciler.cli.help_page import WIDTH_MAX
from reconciler.cli.plain_options import PlainCommand, PlainGroup
from reconciler.cli.ports import Outside
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import INTERRUPTIONS, ErrorCode, ExitCode, Problem, SwarmctlError

PARTS: Mapping[str, tuple[str, ...]] = {
    "manifests": ("validate", "render", "schema"),
    "diff": ("diff",),
    "apply": ("apply",),
    "comment": ("comment",),
    "status": ("status",),
    "importing": ("import",),
    "tokens": ("token",),
    "embedded": ("up", "down"),
    "daemon": ("daemon",),
    "peers": ("peers",),
    "run": ("run",),
    "store": ("store",),
    "remote": ("history", "events", "trace", "sync", "suspend", "resume", "rollback"),
}
"""{module of this room: the commands that it registers}, in the order of the help."""


ELSEWHERE: Mapping[str, str] = {
    "plan": "swarmctl diff",
    "preview": "swarmctl diff",
    "deploy": "swarmctl apply",
    "reconcile": "swarmctl sync",
    "destroy": "docker stack rm STACK",
    "rm": "docker stack rm STACK",
    "show": "swarmctl status",
    "get": "swarmctl status",
    "ps": "swarmctl status",
    "config": "swarmctl render",
    "lint": "swarmctl validate",
    "help": "swarmctl --help",
    "version": "swarmctl --version",
}
"""What other tools call a command: {their word: what to write here}."""

NO_COMMAND = re.compile(r"No such command '(.*)'\.")
"""What Typer says of a word that is like none of ours."""


USUAL_WORDS = (
    (": Value error, ", ": "),
    (": Input should be ", ": it must be "),
    (", unable to parse string as an integer", ""),
    (", unable to parse string as a number", ""),
    ("a valid integer", "a whole number"),
    ("a valid number", "a number"),
    (" Choose from:\n", " It is one of: "),
)
"""[(words of Typer and of pydantic, ours)]."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a write to a file says for which there is no room; files of our own are told of where they are written."""


NO_WAY = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)
"""What is said of a path that leads nowhere for this user, wherever it is first looked at."""

NAMED_CHARS_MAX = 200
"""Characters of a value that a message about wrong usage repeats."""


def build(outside: Outside, terminal: Terminal, arguments: Sequence[str] | None = None) -> typer.Typer:
    """Return the command line application, of which only what `arguments` need is imported; None means all of it.

    Nobody should wait for `diff` until what writes down a live swarm has been imported, too.
    """
    app = typer.Typer(
        name="swarmctl",
        cls=PlainGroup,
        help="Docker Swarm mode, declared in Git: check, plan and apply what a repository asks for.",
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH_MAX},
    )

    @app.callback(invoke_without_command=True)
    def root(
        context: typer.Context,
        version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
    ) -> None:
        if version:
            terminal.say(f"swarmctl {__version__}")
            raise typer.Exit
        if context.invoked_subcommand is None:
            terminal.say(context.get_help())

    for part in _parts(arguments):
        importlib.import_module(f"reconciler.cli.{part}").register(app, outside, terminal)
    for info in app.registered_groups:
        info.cls = PlainGroup
    for group in (app, *(info.typer_instance for info in app.registered_groups)):
        for command in group.registered_commands if group else ():
            command.cls = PlainCommand
    return app


def _parts(arguments: Sequence[str] | None) -> Iterator[str]:
    """Yield the modules that serve a command line: none for the version, all where it does not begin with a command."""
    command = arguments[0] if arguments else ""
    if command != "--version":
        serving = [part for part, commands in PARTS.items() if command in commands]
        yield from serving or PARTS


def run(app: typer.Typer, terminal: Terminal, arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Every failure becomes a message; none becomes a traceback.

    Wrong usage ends with 1, not with the 2 that is usual for it: `diff` says "there are changes" with 2.
    """
    try:
        Path.cwd()
    except OSError as error:
        terminal.problems([_no_folder(error)])
        return ExitCode.ERROR
    try:
        code = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except SwarmctlError as error:
        terminal.problems(error.problems)
        if len(error.problems) > 1:
            terminal.note(f"{len(error.problems)} problems. Nothing was changed.", "bold")
        return ExitCode.INTERRUPTED if error.code is ErrorCode.INTERRUPTED else ExitCode.ERROR
    except TyperException as error:
        terminal.problems([_usage(error)])
        return ExitCode.ERROR
    except (KeyboardInterrupt, typer.Abort):
        terminal.problems([_interrupted()])
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone; there is nobody to tell
        return ExitCode.ERROR
    except OSError as error:
        terminal.problems([_not_reached(error)])
        return ExitCode.ERROR
    except Exception as error:  # noqa: BLE001 - the last door: a bug of ours must not show as a traceback
        terminal.problems([_internal(error)])
        return ExitCode.ERROR
    if code in INTERRUPTIONS:  # Typer turns a Ctrl-C into its code by itself
        terminal.problems([_interrupted()])
    return int(code or ExitCode.OK)


def _no_folder(error: OSError) -> Problem:
    return Problem(
        ErrorCode.PATH_NOT_FOUND,
        "The working directory does not exist any more.",
        why=f"{error.strerror}.",
        hint="Change to another one, `cd` for example, and run the command again.",
    )


def _not_reached(error: OSError) -> Problem:
    """Return what to say of a file of which nobody else has told: that of an option, of the environment, or none."""
    if error.errno in NO_ROOM:
        return _not_written(error)
    if error.errno not in NO_WAY or error.filename is None:
        return _internal(error)
    return Problem(
        ErrorCode.FILE_UNREADABLE,
        f"{_shortened(os.fsdecode(error.filename))} can't be reached.",
        why=f"{error.strerror}.",
        hint="Name another path, or run the command as a user who may look there.",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= NAMED_CHARS_MAX else f"{text[:NAMED_CHARS_MAX]}…"


def _not_written(error: OSError) -> Problem:
    with suppress(OSError):  # or Python itself would tell of what is left when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Problem(
        ErrorCode.OUTPUT_FAILED,
        "Standard output can't be written.",
        why=f"{error.strerror}.",
        hint="Make room where it goes to, or send it elsewhere, and run the command again.",
    )


def _usage(error: TyperException) -> Problem:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "swarmctl"
    what, meant = _plainly(error.format_message()), None
    if context is not None and context.parent is None and (unknown := NO_COMMAND.fullmatch(what)):
        meant = ELSEWHERE.get(unknown[1])
    return Problem(ErrorCode.USAGE, what, hint=f"{f'Did you mean `{meant}`? ' if meant else ''}See `{command} --help`.")


def _plainly(message: str) -> str:
    """Return what Typer says of wrong usage, in our words: on one line, without what pydantic adds."""
    for typers, ours in USUAL_WORDS:
        message = message.replace(typers, ours)
    return _shortened(" ".join(message.split()))


def _interrupted() -> Problem:
    return Problem(
        ErrorCode.INTERRUPTED,
        "Interrupted.",
        why="What was under way may have been carried out; nothing further was begun.",
        hint="Run the command again: it plans with what the swarm is now, and goes on from there (save a plan anew).",
    )


def _internal(error: BaseException) -> Problem:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}" if trace else "?"
    # The message of an unknown error may quote what it was given, a secret for one: only its kind and place are told.
    return Problem(
        ErrorCode.INTERNAL,
        "swarmctl itself has failed.",
        why=f"{type(error).__name__} at {where}.",
        hint="Please report this with the command and the manifests that led to it.",
    )
