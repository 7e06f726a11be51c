"""Plans as files: `diff --out FILE` saves one, `apply FILE` carries out exactly that one or none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler import __version__
from reconciler.cli.options import Backend, EngineChoice
from reconciler.cli.ports import Outside, Source
from reconciler.model.errors import ErrorCode, Problem, Severity, SwarmctlError
from reconciler.model.images import ResolveMode
from reconciler.model.plan import Action, ActionType
from reconciler.model.planned import Planned, PlanRequest
from reconciler.settings import EndpointSettings

if TYPE_CHECKING:
    from reconciler.planning.plan_file import SavedPlan

ENDING = ".json"
"""What a file's name ends with that `apply` takes for a saved plan."""


def engine_of(saved: SavedPlan, known: EndpointSettings) -> EngineChoice:
    """Return which engine a plan was made with, as far as options said it; the environment's otherwise.

    Raises stale-plan where the environment names another one: the file alone may not say where secrets are sent.
    """
    source = saved.source
    named, here = source.host or source.context, known.host or known.context
    if named and here and (source.host, source.context) != (known.host, None if known.host else known.context):
        raise SwarmctlError(
            ErrorCode.STALE_PLAN,
            f"The saved plan was made with {named}, and the environment names {here}.",
            why="A plan file does not decide alone to which engine secrets and specs are sent.",
            hint=f"Say which one is meant with {'--host' if source.host else '--context'}.",
        )
    return EngineChoice(source.host, source.context, Backend(source.backend) if source.backend else None)


def check_target(outside: Outside, path: str) -> None:
    """Raise output-failed for what is there and is no plan: `--out stacks/web.yaml` would be the end of that stack.

    Asked before the plan is made, which takes its time.
    """
    if not path:
        raise SwarmctlError(
            ErrorCode.USAGE, "--out names no file.", why="Its value is empty.", hint="Name one: --out plan.json."
        )
    if path == "-":
        raise SwarmctlError(
            ErrorCode.USAGE,
            "--out writes to a file, not to standard output.",
            why="The plan that is shown goes there, and `apply` takes a saved one from a file only.",
            hint="Name a file: --out plan.json, or --out ./- for one of that name. To print it as JSON: --format json.",
        )
    if not Path(path).is_file() or not Path(path).stat().st_size:
        return
    from reconciler.planning import plan_file

    try:
        is_plan = plan_file.is_plan_file(outside.read_text(path))
    except SwarmctlError:
        is_plan = False
    if not is_plan:
        raise SwarmctlError(
            ErrorCode.OUTPUT_FAILED,
            f"{path} is not overwritten: it is no plan.",
            why="A file of that name exists, and holds something else.",
            hint="Name another file, or remove that one first.",
        )


def save(
    outside: Outside,
    path: str,
    planned: Planned,
    source: Source,
    resolve: ResolveMode,
    stacks: frozenset[str] | None,
    engine: EngineChoice,
) -> None:
    """Write the plan with all that it takes to make it again. Raises output-failed."""
    from reconciler.planning import plan_file

    how = plan_file.PlanSource(
        path=source.path,
        revision=source.revision,
        stack_name=source.stack_name,
        compose_files=source.compose_files,
        stacks=None if stacks is None else tuple(sorted(stacks)),
        backend=engine.backend.value if engine.backend else None,
        host=engine.host,
        context=engine.context,
        resolve=resolve,
        absolute=_absolute(source.path),
    )
    text = plan_file.encode(planned.plan, how, planned.actual, planned.images, outside.now(), __version__)
    outside.write_text(path, text)


def open_saved(outside: Outside, path: str) -> SavedPlan | None:
    """Return the saved plan at `path`, or None where that is no plan file but manifests.

    A name that ends in .json is a plan, unless the file says by itself that it is a stack; any other name is one if
    the file begins as a plan does. Raises plan-file-invalid.
    """
    if not Path(path).is_file():
        return None
    from reconciler.planning import plan_file

    text = outside.read_text(path)
    if plan_file.is_plan_file(text) or (path.endswith(ENDING) and not _is_stack(text)):
        return plan_file.decode(text)
    return None


def _is_stack(text: str) -> bool:
    """Return whether a file of JSON, which YAML takes as well, is a stack file."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and isinstance(content.get("services"), dict)


def request_again(outside: Outside, saved: SavedPlan) -> PlanRequest:
    """Return what to ask for to get the same plan; no registry is asked again."""
    how = saved.source
    desired = outside.load(Source(how.path, how.revision, how.stack_name, how.compose_files))
    stacks = None if how.stacks is None else frozenset(how.stacks)
    # The mode says for which services the answers count; with answers given, nobody is asked.
    return PlanRequest(desired, how.resolve, stacks, images=saved.images)


def reviewed(saved: SavedPlan, planned: Planned) -> Planned:
    """Return a plan made now as the saved one, without what has moved of objects which that does not touch.

    Raises stale-plan when it is not the same to the last byte.
    """
    from reconciler.gitops.narrowing import without
    from reconciler.planning.plan_file_check import check_fresh, moved_beside

    beside = moved_beside(saved, planned.plan)
    plan = without(planned.plan, beside, planned.actual)
    with made_elsewhere(saved):
        check_fresh(saved, plan, planned.actual)
    left = sorted((one for one in planned.plan.actions if one.id in beside), key=lambda one: one.id)
    return replace(planned, plan=replace(plan, notes=(*plan.notes, *map(_left_alone, left))))


def _left_alone(action: Action) -> Problem:
    what = "was changed in the swarm, and is left as it is"
    if action.type is ActionType.CREATE:
        what = "was removed from the swarm, and is not made anew"
    return Problem(
        ErrorCode.STALE_PLAN,
        f"{action.id} {what}.",
        why="The saved plan does not touch it.",
        hint="`swarmctl diff` shows what a new plan would do.",
        severity=Severity.WARNING,
    )


@contextmanager
def made_elsewhere(saved: SavedPlan) -> Iterator[None]:
    """Where the block fails, say first that the plan's path means something else here than where it was made."""
    try:
        yield
    except SwarmctlError as error:
        here, there = _absolute(saved.source.path), saved.source.absolute
        if not there or here == there:
            raise
        problem = Problem(
            ErrorCode.STALE_PLAN,
            f"The saved plan was made for {there}, and is applied to {here}.",
            why=f"Its path is {saved.source.path}, seen from the folder in which the command runs.",
            hint=f"Apply it where {saved.source.path} means the same manifests, or make a new plan here.",
        )
        raise SwarmctlError.from_problems((problem, *error.problems)) from error


def _absolute(path: str) -> str:
    """Return what a path means in this folder; "" for a URL, which means the same everywhere."""
    return "" if "://" in path else str(Path(path).resolve())


def refuse_with(*given: object) -> None:
    """Raise usage when an option was given that only a plan's making takes."""
    if any(given):
        raise SwarmctlError(
            ErrorCode.USAGE,
            "A saved plan says itself what to apply.",
            why="--revision, --stack, --stack-name, --compose-file or --resolve-image was given as well.",
            hint="Leave that out, or make a new plan with `swarmctl diff --out`.",
        )
