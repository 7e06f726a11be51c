"""diff: what apply would change, or what a pull request changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os.path import abspath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from msgspec.structs import replace

from reconciler.cli import options, plans
from reconciler.cli.options import (
    BackendOption,
    ComposeFilesOption,
    ContextOption,
    EngineChoice,
    HostOption,
    PathArgument,
    PlanFormat,
    PlanFormatOption,
    ResolveOption,
    RevisionOption,
    StackNameOption,
    StacksOption,
    StrictOption,
)
from reconciler.cli.ports import Outside, Source
from reconciler.cli.terminal import Terminal
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode, ExitCode, Problem, Severity, SwarmctlError
from reconciler.model.images import ResolveMode
from reconciler.model.planned import Planned, PlanRequest
from reconciler.settings import EndpointSettings

if TYPE_CHECKING:
    from reconciler.cli.connection import Connection

BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base", help="Compare with this revision: what changes from it is what was asked for.", metavar="REV"
    ),
]
HeadOption = Annotated[
    str | None, typer.Option("--head", help="The revision to compare with --base; default: the files.", metavar="REV")
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Compare --base and --head only; ask no swarm.")]
OutOption = Annotated[
    str | None, typer.Option("--out", "-o", help="Write the plan to a file for `apply FILE`.", metavar="FILE")
]


class Question(msgspec.Struct, frozen=True):
    """What `diff` was asked. `base` None means: against the swarm alone."""

    source: Source
    base: str | None
    offline: bool
    stacks: frozenset[str] | None
    resolve: ResolveMode


Connecting = Callable[[], "Connection"]
"""Opens the connection when it is needed: comparing two revisions needs none."""


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the command to `app`."""

    @app.command()
    def diff(
        path: PathArgument = ".",
        revision: RevisionOption = None,
        base: BaseOption = None,
        head: HeadOption = None,
        offline: OfflineOption = False,
        stack: StacksOption = None,
        stack_name: StackNameOption = None,
        compose_file: ComposeFilesOption = None,
        host: HostOption = None,
        context: ContextOption = None,
        backend: BackendOption = None,
        resolve_image: ResolveOption = None,
        strict: StrictOption = False,
        out: OutOption = None,
        output: PlanFormatOption = PlanFormat.TEXT,
    ) -> None:
        """Show what apply would change. Exit code 0: nothing; 2: something; 1: an error. Writes nothing."""
        check_revisions(revision, base, head, offline=offline, saved=out is not None)
        if out is not None:
            from reconciler.cli import saved

            saved.check_target(outside, out)
        source = options.source(path, revision if head is None else head, stack_name, compose_file)
        question = Question(source, base, offline, plans.selected(stack), resolve_image or ResolveMode.CHANGED)
        engine = EngineChoice(host, context, backend)
        endpoint = EndpointSettings() if offline else options.endpoint(outside, engine)
        if not offline:
            options.greet(outside, engine)
        planned = answer(outside, question, lambda: _connection(outside, endpoint))
        plans.show(terminal, planned.plan, output)
        plans.refuse_if_strict(planned.plan, strict=strict)
        if out is not None:
            saved.save(outside, out, planned, question.source, question.resolve, question.stacks, engine)
            terminal.note(f"Saved. To carry out exactly this plan: swarmctl apply {out}")
        raise typer.Exit(ExitCode.OK if planned.plan.is_empty else ExitCode.CHANGES)


def check_revisions(revision: str | None, base: str | None, head: str | None, *, offline: bool, saved: bool) -> None:
    """Raise usage for options that contradict each other."""
    if head is not None and revision is not None:
        raise SwarmctlError(ErrorCode.USAGE, "--head and --revision both name the revision.", hint="Give one of them.")
    if base is None and (offline or head is not None):
        named = "--offline" if offline else "--head"
        raise SwarmctlError(
            ErrorCode.USAGE,
            f"{named} needs --base.",
            why="It compares two revisions.",
            hint="Name the other one: --base main, for example.",
        )
    if base is not None and saved:
        raise SwarmctlError(
            ErrorCode.USAGE,
            "--base and --out don't go together.",
            why="A saved plan is made against what the swarm has recorded, not against another revision.",
            hint="Leave out --base to save a plan.",
        )


def _connection(outside: Outside, endpoint: EndpointSettings) -> Connection:
    from reconciler.cli.connection import Connection  # what it needs is read while the first call is under way

    return Connection(outside, endpoint)


def answer(outside: Outside, question: Question, connect: Connecting) -> Planned:
    """Return the plan that the question asks for. Nothing is written."""
    desired, baseline = outside.load(question.source), None
    if question.base is not None:
        baseline, told = _baseline(outside, question, question.base)
        desired = replace(desired, warnings=(*desired.warnings, *told))
        if baseline is None:
            baseline = DesiredState(desired.cluster, question.base, None)
    if baseline is not None and question.offline:
        from reconciler.planning.baseline import imagined
        from reconciler.planning.options import PlanOptions
        from reconciler.planning.plan import plan as make_plan

        before = imagined(baseline, outside.now(), desired.nodes)
        plan = make_plan(desired, before, PlanOptions(baseline=baseline, stacks=question.stacks))
        return Planned(plan, before, {})
    request = PlanRequest(desired, question.resolve, question.stacks, baseline)
    with connect() as connection:
        return connection.run(connection.swarm.plan(request))


def _baseline(outside: Outside, question: Question, base: str) -> tuple[DesiredState | None, tuple[Problem, ...]]:
    """Return what the base asks for, or None where it has no such manifests, and what to say of what it lacks.

    A pull request may be the first, or add a file that overrides others. What is wrong in the base's files is told as
    the base's, which no commit on top of it can mend.
    """
    source, told = replace(question.source, revision=base), list[Problem]()
    while True:
        try:
            return outside.load(source), tuple(told)
        except SwarmctlError as error:
            if _is_not_there(error.problems):
                return None, (*told, _all_is_new(question))
            added = _missing_override(source, error.problems)
            if added is None:
                named = (
                    replace(one, what=f"In the base {base}: {one.what}") if one.place else one for one in error.problems
                )
                raise SwarmctlError.from_problems(tuple(named)) from error
            source = replace(source, compose_files=tuple(one for one in source.compose_files if one != added))
            told.append(_override_is_new(base, added))


def _missing_override(source: Source, problems: Sequence[Problem]) -> str | None:
    """Return which of the files given beside the stack file the revision lacks, if that is what is wrong."""
    place = problems[0].place
    if len(problems) > 1 or problems[0].code is not ErrorCode.FILE_NOT_FOUND or place is None or place.line:
        return None
    below = PurePosixPath("/", place.file).parts[1:]
    return next((one for one in source.compose_files if Path(abspath(one)).parts[-len(below) :] == below), None)


def _is_not_there(problems: Sequence[Problem]) -> bool:
    from reconciler.manifests.load import CLUSTER_FILES

    [first, *others] = problems
    if others or first.code is not ErrorCode.FILE_NOT_FOUND:
        return not others and first.code is ErrorCode.PATH_NOT_FOUND
    # A place with a line is where another file is named.
    return first.place is not None and not first.place.line and PurePosixPath(first.place.file).name in CLUSTER_FILES


def _override_is_new(base: str, file: str) -> Problem:
    return Problem(
        ErrorCode.FILE_NOT_FOUND,
        f"The base {base} has no {file}: all that it says counts as new.",
        why="It is not in that commit.",
        hint="Where it was moved, compare with the swarm instead: leave out --base.",
        severity=Severity.WARNING,
    )


def _all_is_new(question: Question) -> Problem:
    return Problem(
        ErrorCode.PATH_NOT_FOUND,
        f"The base {question.base} has no manifests at {question.source.path}: everything counts as new.",
        why="They are not in that commit.",
        hint="Where they were moved to this path, compare with the swarm instead: leave out --base.",
        severity=Severity.WARNING,
    )
