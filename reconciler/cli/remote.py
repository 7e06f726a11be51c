"""history, events, trace, sync, suspend, resume, rollback: what a running controller did, and what it is to do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

import typer

from reconciler.cli.options import Format, FormatOption
from reconciler.cli.ports import Outside
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject

ControllerOption = Annotated[
    str | None,
    typer.Option(
        "--controller",
        help="unix://PATH or https://HOST:PORT; SWARMCTL_CONTROLLER by default, else this machine's socket.",
        metavar="URL",
    ),
]
StackOption = Annotated[
    str | None, typer.Option("--stack", "-s", help="Of this stack, or SOURCE/STACK, only.", metavar="NAME")
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=500, metavar="N", help="At most so many.")]
StackArgument = Annotated[
    str, typer.Argument(metavar="STACK", help='A stack, or SOURCE/STACK; "*": all; "(cluster)": what is in none.')
]


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the commands to `app`."""
    _register_questions(app, outside, terminal)
    _register_wishes(app, outside, terminal)


def _register_questions(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    @app.command()
    def history(
        stack: StackOption = None,
        limit: LimitOption = 20,
        controller: ControllerOption = None,
        output: FormatOption = Format.TEXT,
    ) -> None:
        """Show what the controller applied, newest first."""
        found = ask(outside, controller, "/v1/history", {"limit": str(limit), **_of(stack)})
        _show(terminal, output, found, "history")

    @app.command()
    def events(
        stack: StackOption = None,
        limit: LimitOption = 50,
        after: Annotated[
            int, typer.Option("--after", min=0, metavar="NUMBER", help="Only those next after this number.")
        ] = 0,
        controller: ControllerOption = None,
        output: FormatOption = Format.TEXT,
    ) -> None:
        """Show what happened, newest last."""
        found = ask(outside, controller, "/v1/events", {"limit": str(limit), "after": str(after), **_of(stack)})
        _show(terminal, output, found, "events")

    @app.command()
    def trace(
        name: Annotated[
            str, typer.Argument(metavar="TASK|SERVICE", help="A task's id or its beginning, or a service's name or id.")
        ],
        controller: ControllerOption = None,
        output: FormatOption = Format.TEXT,
    ) -> None:
        """Show which file, line, commit and author a task or service comes from."""
        found = ask(outside, controller, "/v1/trace", {"name": name})
        _show(terminal, output, found, "trace")


def _register_wishes(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    @app.command()
    def sync(
        stacks: Annotated[list[str] | None, typer.Argument(metavar="STACK", help="Which; by default all.")] = None,
        controller: ControllerOption = None,
    ) -> None:
        """Look at Git now, and bring stacks to what it asks for: windows, back-off and earlier failures don't hold."""
        wish(outside, controller, "/v1/sync", {"stacks": list(stacks or [])})
        terminal.note("The controller has it; `swarmctl events` shows what comes of it.", "green")

    @app.command()
    def suspend(
        stack: StackArgument,
        reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why, for those who ask.")] = "",
        for_: Annotated[
            str | None,
            typer.Option(
                "--for", metavar="DURATION", help="How long, such as 2h or 3d; by default until somebody resumes it."
            ),
        ] = None,
        controller: ControllerOption = None,
    ) -> None:
        """Write nothing of a stack until it is resumed, or until its time is over."""
        until = (outside.now() + _lasting(for_)).isoformat() if for_ else None
        wish(outside, controller, "/v1/suspend", {"stack": stack, "reason": reason, "until": until})
        terminal.note(f"Suspended: {stack}. `swarmctl resume '{stack}'` ends it.", "green")

    @app.command()
    def resume(stack: StackArgument, controller: ControllerOption = None) -> None:
        """End a suspension."""
        wish(outside, controller, "/v1/resume", {"stack": stack})
        terminal.note(f"Resumed: {stack}.", "green")

    @app.command()
    def rollback(
        stack: Annotated[str, typer.Argument(metavar="STACK", help="A stack, or SOURCE/STACK.")],
        to: Annotated[str, typer.Option("--to", help="A commit; the last good one by default.", metavar="COMMIT")] = "",
        controller: ControllerOption = None,
    ) -> None:
        """Put a stack back to what an earlier commit asked for, and suspend it: Git goes on asking for another."""
        answer = wish(outside, controller, "/v1/rollback", {"stack": stack, "commit": to})
        terminal.note(f"{stack} goes back to {str(answer.get('commit'))[:12]}, and is suspended.", "green")
        terminal.note(f"Revert the commit in Git, and then: swarmctl resume {stack}")


def _show(terminal: Terminal, output: Format, found: JsonObject, table: str) -> None:
    if output is Format.JSON:
        terminal.json(found)
        return
    from reconciler.cli import remote_tables

    tables = {"history": remote_tables.history, "events": remote_tables.events, "trace": remote_tables.trace}
    tables[table](terminal, found)


def ask(outside: Outside, controller: str | None, path: str, query: Mapping[str, str]) -> JsonObject:
    """Return a controller's answer to a question. Raises SwarmctlError."""

    async def asked() -> JsonObject:
        async with outside.controller(controller) as client:
            return await client.get(path, query)

    return asyncio.run(asked())


def wish(outside: Outside, controller: str | None, path: str, body: JsonObject) -> JsonObject:
    """Ask a controller for something; return what it says. Raises SwarmctlError."""

    async def asked() -> JsonObject:
        async with outside.controller(controller) as client:
            return await client.post(path, body)

    return asyncio.run(asked())


def both_asked() -> SwarmctlError:
    """Return what to say of a command that is to ask a controller, and something else as well."""
    return SwarmctlError(
        ErrorCode.USAGE,
        "--controller asks a running controller, and nothing else.",
        why="A PATH, or an engine, was named as well.",
        hint="Leave out one of them.",
    )


def _of(stack: str | None) -> dict[str, str]:
    return {"stack": stack} if stack is not None else {}


def _lasting(text: str) -> timedelta:
    from reconciler.manifests.quantities import BadQuantity, period_ns

    try:
        seconds = period_ns(text) / 1e9
    except BadQuantity:
        seconds = 0.0
    if seconds <= 0:
        raise SwarmctlError(
            ErrorCode.USAGE, f"{text!r} is no duration.", hint="Write one such as 30m, 2h, 3d or 1h30m."
        )
    return timedelta(seconds=seconds)
