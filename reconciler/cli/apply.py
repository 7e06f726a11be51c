"""apply: the plan, a question, carrying it out, and waiting until the tasks have converged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from msgspec.structs import replace

from reconciler.cli import options, plans, saved
from reconciler.cli.conclusion import conclude
from reconciler.cli.confirming import confirm
from reconciler.cli.options import (
    BackendOption,
    ComposeFilesOption,
    ContextOption,
    EngineChoice,
    HostOption,
    PlanFormat,
    ResolveOption,
    RevisionOption,
    StackNameOption,
    StacksOption,
    StrictOption,
)
from reconciler.cli.ports import ApplyLimits, Outside, Swarm
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, ExitCode, Problem, SwarmctlError
from reconciler.model.images import ResolveMode
from reconciler.model.planned import Planned, PlanRequest
from reconciler.model.progress import ApplyResult

if TYPE_CHECKING:
    from reconciler.cli.connection import Connection

PathOrPlan = Annotated[
    str,
    typer.Argument(metavar="PATH", help="Folder with swarm.yaml, one stack file, or a plan saved by `diff --out`."),
]


class _Manner(msgspec.Struct, frozen=True):
    """How `apply` was asked to go about it."""

    limits: ApplyLimits
    confirmed: bool
    dry_run: bool
    strict: bool
    volumes: tuple[str, ...]


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the command to `app`."""

    @app.command()
    def apply(
        path: PathOrPlan = ".",
        revision: RevisionOption = None,
        stack: StacksOption = None,
        stack_name: StackNameOption = None,
        compose_file: ComposeFilesOption = None,
        host: HostOption = None,
        context: ContextOption = None,
        backend: BackendOption = None,
        resolve_image: ResolveOption = None,
        with_registry_auth: Annotated[
            bool, typer.Option("--with-registry-auth", help="Hand your registry credentials to the swarm's nodes.")
        ] = False,
        strict: StrictOption = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only, write nothing.")] = False,
        no_wait: Annotated[bool, typer.Option("--no-wait", help="Don't wait until tasks have converged.")] = False,
        timeout: Annotated[
            float,
            typer.Option(
                "--timeout", "-t", min=0, help="How long each service may take to converge.", metavar="SECONDS"
            ),
        ] = 300.0,
        prune_volume: Annotated[
            list[str] | None,
            typer.Option(
                "--prune-volume", help="Remove this volume of the node that answers; may be repeated.", metavar="NAME"
            ),
        ] = None,
    ) -> None:
        """Show the plan, ask, carry it out, and wait until the services have converged."""
        limits = ApplyLimits(outside.settings.parallel_writes, not no_wait, timeout, with_registry_auth)
        manner = _Manner(limits, yes, dry_run, strict, tuple(prune_volume or ()))
        engine = EngineChoice(host, context, backend)
        plan_file = saved.open_saved(outside, path)
        if plan_file is None:
            source = options.source(path, revision, stack_name, compose_file)
            options.greet(outside, engine)
            request = PlanRequest(outside.load(source), resolve_image or ResolveMode.CHANGED, plans.selected(stack))
        else:
            saved.refuse_with(revision, stack, stack_name, compose_file, resolve_image)
            engine = engine or saved.engine_of(plan_file, outside.settings.endpoint)
            with saved.made_elsewhere(plan_file):
                request = saved.request_again(outside, plan_file)
        from reconciler.cli.connection import Connection

        with Connection(outside, options.endpoint(outside, engine)) as connection:
            planned = connection.run(connection.swarm.plan(replace(request, waits=limits.wait)))
            if plan_file is not None:
                planned = saved.reviewed(plan_file, planned)
            raise typer.Exit(_apply(terminal, connection, planned, manner, asked_before=plan_file is not None))


def _apply(
    terminal: Terminal, connection: Connection, planned: Planned, manner: _Manner, *, asked_before: bool
) -> ExitCode:
    plan = planned.plan
    plans.show(terminal, plan, PlanFormat.TEXT)
    plans.refuse_if_strict(plan, strict=manner.strict)
    if manner.dry_run or (plan.blocked and not plan.actions):
        return ExitCode.ERROR if plan.blocked else ExitCode.OK
    if (plan.actions or manner.volumes) and not manner.confirmed and not asked_before:
        hint = "Give --yes to apply without asking, or --dry-run to see the plan only."
        confirm(terminal, "Do you want to perform these actions?", hint)
    result = connection.run(_carry_out(terminal, connection.swarm, planned, manner.limits))
    code = conclude(terminal, result)
    if code is not ExitCode.OK:
        return code
    kept = connection.run(_remove_volumes(terminal, connection.swarm, manner.volumes))
    terminal.problems(kept)
    return ExitCode.ERROR if kept else ExitCode.OK


async def _carry_out(terminal: Terminal, swarm: Swarm, planned: Planned, limits: ApplyLimits) -> ApplyResult:
    from reconciler.cli.progress import ProgressDisplay

    with ProgressDisplay(terminal, planned.plan) as display:
        return await swarm.apply(planned.plan, planned.actual, limits, display.report)


async def _remove_volumes(terminal: Terminal, swarm: Swarm, names: Iterable[str]) -> list[Problem]:
    """Remove volumes that were asked for by name; return why some are still there."""
    kept: list[Problem] = []
    for name in names:
        try:
            await swarm.remove_volume(name)
        except SwarmctlError as error:
            kept.append(
                Problem(
                    ErrorCode.VOLUME_KEPT,
                    f"Volume {name} was not removed.",
                    why=error.problems[0].why or error.problems[0].what,
                    hint="A volume is on one node: point DOCKER_HOST at the node that has it, when nothing uses it.",
                )
            )
        else:
            terminal.note(f"volume.{name}: removed from this node", "green")
    return kept
