"""import: a live swarm, written down as a repository."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.options import BackendOption, ContextOption, EngineChoice, HostOption
from reconciler.cli.ports import Outside
from reconciler.cli.terminal import Terminal
from reconciler.manifests.export.repository import exported
from reconciler.manifests.inputs import Schemas
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode, ExitCode, Place, Problem, Severity
from reconciler.model.json import dig
from reconciler.model.objects import Kind
from reconciler.model.plan import Plan
from reconciler.model.sensitive import sounds_secret
from reconciler.model.words import many, some
from reconciler.planning.plan import plan as make_plan
from reconciler.planning.residual import residuals
from reconciler.settings import EndpointSettings

DEFAULT_NAME = "swarm"
SHOWN_MAX = 5
"""Names that one message lists."""


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the command to `app`."""

    @app.command("import")
    def import_(
        out: Annotated[
            str | None, typer.Option("--out", "-o", help="Folder to write to; default: print it all.", metavar="DIR")
        ] = None,
        name: Annotated[
            str | None, typer.Option("--name", help="metadata.name of the repository.", metavar="CLUSTER")
        ] = None,
        force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
        host: HostOption = None,
        context: ContextOption = None,
        backend: BackendOption = None,
    ) -> None:
        """Write a live swarm down as a repository of which `diff` says that there is nothing to change."""
        actual = asyncio.run(_observed(outside, options.endpoint(outside, EngineChoice(host, context, backend))))
        schemas = Schemas(outside.schema("cluster"), outside.schema("stack"))
        files, desired = exported(actual, name or owner_name(actual), schemas, residuals)
        sensitive = sensitive_variables(desired)
        if out is None:
            terminal.write(listing(files))
        else:
            private = {path for path in files if path in sensitive or not path.endswith(".yaml")}
            outside.write_files(out, files, private, force=force)
            terminal.say(_summary(out, files, desired), "green")
        plan = make_plan(desired, actual)
        terminal.problems([*(_sensitive(path, names) for path, names in sensitive.items()), *_differences(plan)])
        raise typer.Exit(ExitCode.OK if plan.is_empty else ExitCode.ERROR)


async def _observed(outside: Outside, endpoint: EndpointSettings) -> ActualState:
    async with outside.connect(endpoint) as swarm:
        return await swarm.observe()


def owner_name(actual: ActualState) -> str:
    """Return the name of the repository that wrote the swarm's objects, if there is one such name."""
    kinds = (Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE)
    owners = {found.owner for kind in kinds for found in actual.of_kind(kind) if found.owner}
    return owners.pop() if len(owners) == 1 else DEFAULT_NAME


def listing(files: Mapping[str, bytes]) -> str:
    """Return all files as one text, each under a line with its path. What is no plain text is only counted."""
    parts = []
    for path in sorted(files, key=lambda one: (one != "swarm.yaml", one)):
        text = files[path].decode(errors="replace")
        plain = all(char.isprintable() or char in "\n\t" for char in text) and "\ufffd" not in text
        body = text.rstrip("\n") if plain else f"({len(files[path])} bytes that are no plain text)"
        parts.append(f"==> {path} <==\n{body}\n")
    return "\n".join(parts)


def sensitive_variables(desired: DesiredState) -> dict[str, list[str]]:
    """Return {file: names of variables} whose names sound as if their values were secret."""
    found: dict[str, list[str]] = {}
    for service in desired.of_kind(Kind.SERVICE):
        for entry in dig(service.spec, "TaskTemplate", "ContainerSpec", "Env") or ():
            variable, _, value = entry.partition("=")
            names = found.get(service.place.file, [])
            if value and sounds_secret(variable) and variable not in names:
                found[service.place.file] = [*names, variable]
    return found


def _sensitive(path: str, names: list[str]) -> Problem:
    return Problem(
        ErrorCode.IMPORT_SENSITIVE,
        f"{path} holds the values of {some(names, SHOWN_MAX)}.",
        why="They are plain variables of services, which Swarm shows to whoever may list services.",
        hint="Before you commit the file, make secrets of them, or write ${NAME} in place of each value.",
        place=Place(path),
        severity=Severity.WARNING,
    )


def _differences(plan: Plan) -> list[Problem]:
    if plan.is_empty:
        return []
    lines = [f"{action.id} ({', '.join(change.path for change in action.changes)})" for action in plan.actions]
    lines += [one.id for one in plan.blocked]
    more = f" and {len(lines) - SHOWN_MAX} more" if len(lines) > SHOWN_MAX else ""
    return [
        Problem(
            ErrorCode.IMPORT_DIFFERS,
            f"The files do not say all that the swarm is: {'; '.join(lines[:SHOWN_MAX])}{more}.",
            why="A manifest has no way to ask for it.",
            hint="`swarmctl diff` shows the difference. Please report it.",
        )
    ]


def _summary(out: str, files: Mapping[str, bytes], desired: DesiredState) -> str:
    counts = [(len(files), "file"), (len(desired.stacks), "stack"), (len(desired.of_kind(Kind.SERVICE)), "service")]
    return f"Written to {out}: {', '.join(many(count, noun) for count, noun in counts)}."
