"""validate, render, schema: what the files say, without any cluster."""

from __future__ import annotations

import enum
from collections import Counter
from typing import Annotated

import typer
import yaml

from reconciler.cli.options import (
    ComposeFilesOption,
    Format,
    FormatOption,
    PathArgument,
    RevisionOption,
    StackNameOption,
    source,
)
from reconciler.cli.ports import Outside
from reconciler.cli.terminal import Terminal
from reconciler.manifests.published_schema import published
from reconciler.manifests.requests import create_requests, docker_warnings
from reconciler.model.desired import DesiredObject, DesiredState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import SENSITIVE
from reconciler.model.words import many


class SchemaName(enum.StrEnum):
    CLUSTER = "cluster"
    STACK = "stack"
    PLAN = "plan"
    CONTROLLER = "controller"


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the commands to `app`."""

    @app.command()
    def validate(
        path: PathArgument = ".",
        revision: RevisionOption = None,
        stack_name: StackNameOption = None,
        compose_file: ComposeFilesOption = None,
    ) -> None:
        """Check the manifests: every problem at once, each with its place. Needs no cluster."""
        desired = outside.load(source(path, revision, stack_name, compose_file))
        terminal.problems(desired.warnings)
        terminal.say(f"Valid: {_counts(desired)} ({desired.revision}).", "green")

    @app.command()
    def render(
        path: PathArgument = ".",
        revision: RevisionOption = None,
        stack_name: StackNameOption = None,
        compose_file: ComposeFilesOption = None,
        output: FormatOption = Format.TEXT,
        requests: Annotated[
            bool, typer.Option("--requests", help="Print the create requests that docker stack deploy sends, as JSON.")
        ] = False,
        with_secrets: Annotated[
            bool, typer.Option("--with-secrets", help="With --requests: print the contents of secrets too.")
        ] = False,
    ) -> None:
        """Print what the manifests ask for, as Docker Engine API objects (YAML, or JSON). Secrets are left out."""
        if with_secrets and not requests:
            raise SwarmctlError(
                ErrorCode.USAGE, "--with-secrets goes with --requests.", hint="Add --requests, or leave it out."
            )
        desired = outside.load(source(path, revision, stack_name, compose_file))
        if requests:
            for text in docker_warnings(desired.warnings):
                terminal.note(text)
            terminal.json(create_requests(desired, with_secrets=with_secrets))
            return
        terminal.problems(desired.warnings)
        document = rendered(desired)
        if output is Format.JSON:
            terminal.json(document)
        else:
            text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
            terminal.write(text)

    @app.command()
    def schema(name: Annotated[SchemaName, typer.Argument(metavar="NAME", help="What the schema is for.")]) -> None:
        """Print a JSON Schema: of manifests and of a controller's file for editors, of a plan for programs."""
        terminal.json(published(outside.schema(name.value)))


def _counts(desired: DesiredState) -> str:
    kinds = Counter(wanted.kind for wanted in desired.objects)
    parts = [(len(desired.stacks), "stack"), *((kinds[kind], kind.value) for kind in Kind if kinds[kind])]
    renewed = (desired.join_tokens.worker_every_s, desired.join_tokens.manager_every_s)
    parts += [
        (len(desired.nodes), "node"),
        (len(desired.settings_places), "setting"),
        (sum(every_s is not None for every_s in renewed), "join token"),
    ]
    return ", ".join(many(count, noun) for count, noun in parts if count) or "nothing declared"


def rendered(desired: DesiredState) -> JsonObject:
    """Return a DesiredState as a JSON object: cluster, settings, nodes, then the objects of each kind by name."""
    document: JsonObject = {"cluster": desired.cluster, "revision": desired.revision}
    if desired.settings:
        document["settings"] = desired.settings
    if desired.nodes:
        document["nodes"] = [
            {
                "id" if node.by_id else "hostname": node.selector,
                **({"role": node.role.value} if node.role else {}),
                **({"availability": node.availability} if node.availability else {}),
                **({"labels": dict(node.labels)} if node.labels is not None else {}),
            }
            for node in desired.nodes
        ]
    for kind in (Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE):
        if objects := desired.of_kind(kind):
            document[f"{kind.value}s"] = {wanted.name: _shown(wanted) for wanted in objects}
    return document


def _shown(wanted: DesiredObject) -> JsonObject:
    if wanted.kind is Kind.SECRET and "Data" in wanted.spec:
        return {**wanted.spec, "Data": SENSITIVE}
    return wanted.spec
