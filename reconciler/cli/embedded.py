"""up and down: an embedded swarm on this machine."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.cli.options import DataDirOption
from reconciler.cli.ports import EmbeddedOptions, Outside
from reconciler.cli.terminal import Terminal

NODES_MAX = 100
"""In one process; each node is a few objects, so the limit guards against a slip of the finger only."""


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the commands to `app`."""

    @app.command()
    def up(
        nodes: Annotated[
            int, typer.Option("--nodes", "-n", min=1, max=NODES_MAX, metavar="N", help="How many nodes.")
        ] = 3,
        data_dir: DataDirOption = None,
        foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and end with Ctrl-C.")] = False,
    ) -> None:
        """Start an embedded swarm on this machine and print the DOCKER_HOST to use.

        Its tasks are processes of this machine: images are not pulled.
        """
        folder = data_dir or outside.settings.data_dir
        host = outside.embedded_host(folder)
        wanted = EmbeddedOptions(nodes, folder, host)
        if foreground:
            terminal.note(f"Embedded swarm of {nodes} nodes at {host}. End it with Ctrl-C.")
            asyncio.run(outside.run_embedded(wanted))
            return
        pid = outside.start_embedded(wanted)
        terminal.note(f"Embedded swarm of {nodes} nodes is running (process {pid}).", "green")
        terminal.say(f"export DOCKER_HOST={host}")

    @app.command()
    def down(data_dir: DataDirOption = None) -> None:
        """End the embedded swarm of this machine with all its tasks. Its state is gone afterwards."""
        pid = outside.stop_embedded(data_dir or outside.settings.data_dir)
        if pid is None:
            terminal.note("The embedded swarm had been killed before; what its tasks had left is ended.", "green")
        else:
            terminal.note(f"Embedded swarm ended (process {pid}).", "green")
