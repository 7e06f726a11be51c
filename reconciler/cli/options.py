"""Options that several commands share, and what they make of the settings."""

from __future__ import annotations

import enum
import signal
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import msgspec
import typer
from msgspec.structs import replace

from reconciler.cli.ports import Outside, Source
from reconciler.model.errors import ErrorCode, ExitCode, SwarmctlError
from reconciler.model.images import ResolveMode
from reconciler.settings import EndpointSettings


class Backend(enum.StrEnum):
    DOCKER = "docker"
    EMBEDDED = "embedded"


class Format(enum.StrEnum):
    TEXT = "text"
    JSON = "json"


class PlanFormat(enum.StrEnum):
    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class EngineChoice(msgspec.Struct, frozen=True):
    """Which engine the options --host, --context and --backend name; none of them: what the environment says."""

    host: str | None
    context: str | None
    backend: Backend | None

    def __bool__(self) -> bool:
        return bool(self.host or self.context or self.backend)


PathArgument = Annotated[str, typer.Argument(metavar="PATH", help="Folder with swarm.yaml, or one stack file.")]
OptionalPath = Annotated[
    str | None, typer.Argument(metavar="PATH", help="Compare with this folder or stack file as well.")
]
RevisionOption = Annotated[
    str | None,
    typer.Option("--revision", "-r", help="Commit, branch or tag of the repository that PATH is in.", metavar="REV"),
]
StackNameOption = Annotated[
    str | None, typer.Option("--stack-name", help="What the stack of a lone stack file is called.", metavar="NAME")
]
ComposeFilesOption = Annotated[
    list[str] | None,
    typer.Option("--compose-file", "-C", help="Merge this stack file over PATH; may be repeated.", metavar="FILE"),
]
HostOption = Annotated[
    str | None,
    typer.Option("--host", "-H", help="unix://PATH, tcp://HOST:PORT or ssh://USER@HOST.", metavar="URL"),
]
ContextOption = Annotated[str | None, typer.Option("--context", "-c", help="Docker context to use.", metavar="NAME")]
BackendOption = Annotated[
    Backend | None,
    typer.Option("--backend", "-b", help="A Docker Swarm (the default), or the embedded swarm of `swarmctl up`."),
]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to print.")]
PlanFormatOption = Annotated[
    PlanFormat, typer.Option("--format", "-f", help="How to print; markdown is for a pull request comment.")
]
StacksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stack",
        "-s",
        help="Plan for this stack only, also for one that is declared no more; may be repeated.",
        metavar="NAME",
    ),
]
ResolveOption = Annotated[
    ResolveMode | None,
    typer.Option("--resolve-image", help="When to ask registries for digests; default: for new and changed images."),
]
StrictOption = Annotated[
    bool,
    typer.Option("--strict", help="Take what is blocked, and tasks that no node could run, for errors (exit code 1)."),
]
DataDirOption = Annotated[
    str | None,
    typer.Option("--data-dir", help="Folder of the embedded swarm; default: SWARMCTL_DATA_DIR.", metavar="DIR"),
]


def source(path: str, revision: str | None, stack_name: str | None, compose_files: list[str] | None = None) -> Source:
    """Return which manifests the options mean. Without a PATH the first --compose-file takes its place."""
    files = tuple(compose_files or ())
    if files and path == ".":
        path, files = files[0], files[1:]
    return Source(path, revision, stack_name, files)


def endpoint(outside: Outside, chosen: EngineChoice) -> EndpointSettings:
    """Return where the chosen engine is. A flag beats every variable, as in the docker CLI."""
    host, context = chosen.host, chosen.context
    if host and context:
        raise SwarmctlError(
            ErrorCode.USAGE,
            "--host and --context both say which engine to use.",
            hint="Give one of them.",
        )
    base = outside.settings.endpoint
    if chosen.backend is Backend.EMBEDDED:
        if host or context:
            raise SwarmctlError(
                ErrorCode.USAGE,
                "--backend embedded knows its own address.",
                why="--host or --context was given as well.",
                hint="Leave that out; `swarmctl up` prints the address for DOCKER_HOST.",
            )
        return replace(base, host=_embedded_host(outside), context=None)
    if host:
        return replace(base, host=host, context=None)
    if context:
        return replace(base, host=None, context=context)
    return base


def greet(outside: Outside, chosen: EngineChoice) -> None:
    """Begin to connect to the chosen engine, while something else is done.

    Reading manifests comes first in what is told: what is wrong with the options or the engine, the connection tells.
    SIGTERM ends the command from now on with the same exit code as later, when the connection sees to it.
    """
    signal.signal(signal.SIGTERM, _told_to_end)
    with suppress(SwarmctlError):
        outside.greet(endpoint(outside, chosen))


def _told_to_end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise typer.Exit(ExitCode.TERMINATED)


def _embedded_host(outside: Outside) -> str:
    data_dir = outside.settings.data_dir
    host = outside.embedded_host(data_dir)
    if not Path(host.removeprefix("unix://")).exists():
        raise SwarmctlError(
            ErrorCode.EMBEDDED_NOT_RUNNING,
            "No embedded swarm is running.",
            why=f"{host} does not exist.",
            hint="Start one with `swarmctl up`, with the same SWARMCTL_DATA_DIR if that is set.",
        )
    return host
