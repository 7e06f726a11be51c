"""daemon: one node of an embedded swarm, which the docker CLI drives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from reconciler.cli.ports import DaemonOptions, Outside
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, SwarmctlError

HOSTNAME_LENGTH_MAX = 63


class Runtime(StrEnum):
    """What runs a node's tasks."""

    AUTO = "auto"
    DOCKER = "docker"
    PROCESS = "process"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the command to `app`."""

    @app.command()
    def daemon(
        data_dir: Annotated[
            str | None,
            typer.Option(
                "--data-dir", help="Folder of what the node knows; default: daemon in SWARMCTL_DATA_DIR.", metavar="DIR"
            ),
        ] = None,
        host: Annotated[
            list[str] | None,
            typer.Option(
                "--host",
                "-H",
                help="Where to listen: unix://PATH or tcp://127.0.0.1:PORT; repeatable. Default: swarm.sock there.",
                metavar="URL",
            ),
        ] = None,
        runtime: Annotated[
            Runtime,
            typer.Option(
                "--runtime", help="What runs tasks; auto: the node's Docker Engine if one answers, else processes."
            ),
        ] = Runtime.AUTO,
        docker_host: Annotated[
            str | None,
            typer.Option(
                "--docker-host",
                help="The node's Docker Engine; default: unix:///var/run/docker.sock.",
                metavar="unix://PATH",
            ),
        ] = None,
        hostname: Annotated[
            str | None,
            typer.Option("--hostname", help="Its name in the swarm; default: this machine's.", metavar="NAME"),
        ] = None,
        log_level: Annotated[LogLevel, typer.Option("--log-level", help="What is logged.")] = LogLevel.INFO,
    ) -> None:
        """Run one node in the foreground, in no swarm at first: `docker swarm init` begins one.

        What it knows is kept in its folder. Its tasks run on when it ends, and are taken over when it starts again.
        """
        if hostname is not None and not _is_hostname(hostname):
            raise SwarmctlError(
                ErrorCode.BAD_SETTING,
                "The hostname can't be used.",
                why=f"It is not 1 to {HOSTNAME_LENGTH_MAX} letters, digits, dots and dashes.",
                hint="Choose another one with --hostname.",
            )
        wanted = DaemonOptions(data_dir, tuple(host or ()), runtime.value, docker_host, hostname, log_level.value)
        asyncio.run(outside.run_daemon(wanted, lambda hosts: _tell(terminal, hosts)))


def _tell(terminal: Terminal, hosts: Sequence[str]) -> None:
    for host in hosts:
        terminal.note(f"Listening at {host}.")
    terminal.say(f"export DOCKER_HOST={hosts[0]}")


def _is_hostname(text: str) -> bool:
    return 0 < len(text) <= HOSTNAME_LENGTH_MAX and all(
        char.isascii() and (char.isalnum() or char in ".-_") for char in text
    )
