"""diff and apply: the plan, and carrying it out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.conclusion import conclude
from reconciler.cli.options import (
    BackendOption,
    ComposeFilesOption,
    ContextOption,
    Format,
    FormatOption,
    HostOption,
    PathArgument,
    RevisionOption,
    StackNameOption,
)
from reconciler.cli.ports import ApplyLimits, Outside, Source
from reconciler.cli.progress import ProgressDisplay
from reconciler.cli.terminal import Terminal
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode, ExitCode, SwarmctlError
from reconciler.model.plan import Plan
from reconciler.model.progress import ApplyResult
from reconciler.planning import render_json, render_text
from reconciler.planning.plan import plan as make_plan
from reconciler.settings import EndpointSettings


@dataclass(frozen=True, slots=True)
class _Request:
    """What `apply` was asked to do."""

    source: Source
    endpoint: EndpointSettings
    limits: ApplyLimits
    confirmed: bool
    dry_run: bool


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the commands to `app`."""

    @app.command()
    def diff(
        path: PathArgument = ".",
        revision: RevisionOption = None,
        stack_name: StackNameOption = None,
        compose_file: ComposeFilesOption = None,
        host: HostOption = None,
        context: ContextOption = None,
        backend: BackendOption = None,
        output: FormatOption = Format.TEXT,
    ) -> None:
        """Show what apply would change. Exit code 0: nothing; 2: something; 1: an error. Writes nothing."""
        endpoint = options.endpoint(outside, host, context, backend)
        desired = outside.load(options.source(path, revision, stack_name, compose_file))
        _, plan = asyncio.run(_planned(outside, endpoint, desired))
        show_plan(terminal, plan, output)
        raise typer.Exit(ExitCode.OK if plan.is_empty else ExitCode.CHANGES)

    @app.command()
    def apply(
        path: PathArgument = ".",
        revision: RevisionOption = None,
        stack_name: StackNameOption = None,
        compose_file: ComposeFilesOption = None,
        host: HostOption = None,
        context: ContextOption = None,
        backend: BackendOption = None,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, write nothing.")] = False,
        no_wait: Annotated[bool, typer.Option("--no-wait", help="Don't wait until tasks have converged.")] = False,
        timeout: Annotated[
            float, typer.Option("--timeout", "-t", min=0, help="Seconds to wait for convergence.", metavar="SECONDS")
        ] = 300.0,
    ) -> None:
        """Show the plan, ask, carry it out, and wait until the services have converged."""
        request = _Request(
            source=options.source(path, revision, stack_name, compose_file),
            endpoint=options.endpoint(outside, host, context, backend),
            limits=ApplyLimits(outside.settings.parallel_writes, not no_wait, timeout),
            confirmed=yes,
            dry_run=dry_run,
        )
        raise typer.Exit(_apply(outside, terminal, request))


def show_plan(terminal: Terminal, plan: Plan, output: Format) -> None:
    """Print a plan in the format asked for."""
    if output is Format.JSON:
        terminal.json(render_json.render(plan))
    else:
        terminal.plan(render_text.render(plan))


async def _planned(outside: Outside, endpoint: EndpointSettings, desired: DesiredState) -> tuple[ActualState, Plan]:
    async with outside.connect(endpoint) as swarm:
        actual = await swarm.observe()
    return actual, make_plan(desired, actual)


def _apply(outside: Outside, terminal: Terminal, request: _Request) -> ExitCode:
    desired = outside.load(request.source)
    actual, plan = asyncio.run(_planned(outside, request.endpoint, desired))
    show_plan(terminal, plan, Format.TEXT)
    if request.dry_run or (plan.blocked and not plan.actions):
        return ExitCode.ERROR if plan.blocked else ExitCode.OK
    if plan.actions and not request.confirmed:
        _confirm(terminal)
    result = asyncio.run(_carry_out(outside, terminal, request, plan, actual))
    return conclude(terminal, result)


def _confirm(terminal: Terminal) -> None:
    """Ask whether to go on; anything but yes ends the command with not-confirmed."""
    if not terminal.interactive:
        raise SwarmctlError(
            ErrorCode.NOT_CONFIRMED,
            "Nothing was changed: nobody could be asked.",
            why="Standard input is no terminal.",
            hint="Give --yes to apply without asking, or --dry-run to see the plan only.",
        )
    terminal.note("Do you want to perform these actions? Only 'yes' will be accepted.", "bold")
    try:
        answer = terminal.err.input("Enter a value: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() != "yes":
        raise SwarmctlError(
            ErrorCode.NOT_CONFIRMED,
            "Nothing was changed: the plan was not confirmed.",
            hint="Answer yes, or give --yes.",
        )


async def _carry_out(
    outside: Outside, terminal: Terminal, request: _Request, plan: Plan, actual: ActualState
) -> ApplyResult:
    async with outside.connect(request.endpoint) as swarm:
        with ProgressDisplay(terminal) as display:
            return await swarm.apply(plan, actual, request.limits, display.report)
