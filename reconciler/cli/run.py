"""run: a controller, which keeps a swarm equal to its repositories for as long as it runs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.cli.ports import Outside
from reconciler.cli.terminal import Terminal


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the command to `app`."""
    del terminal

    @app.command()
    def run(
        config: Annotated[
            str, typer.Option("--config", "-c", help="The controller's file (kind: Controller).", metavar="FILE")
        ] = "/etc/swarmctl/controller.yaml",
    ) -> None:
        """Keep a swarm equal to what Git asks for, until SIGTERM or Ctrl-C. Logs to standard error."""
        asyncio.run(outside.run_controller(config))
