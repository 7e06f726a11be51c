"""store: backups of the replicated store, and what is done to that of a controller that does not run."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.cli.confirming import confirm
from reconciler.cli.ports import Outside
from reconciler.cli.remote import ControllerOption
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, SwarmctlError

ConfigOption = Annotated[str, typer.Option("--config", "-c", help="The controller's file.", metavar="FILE")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
DataDirOption = Annotated[str | None, typer.Option("--data-dir", help="A daemon's, by its folder.", metavar="DIR")]
DEFAULT_CONFIG = "/etc/swarmctl/controller.yaml"


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help="Backups of the replicated store, and going on with them.", no_args_is_help=True)
    app.add_typer(group, name="store")

    @group.command(name="force-new-group")
    def force_new_group(config: ConfigOption = DEFAULT_CONFIG, yes: YesOption = False) -> None:
        """Let one survivor go on alone, with all that it has. Only when the others are gone for good."""
        if not yes:
            terminal.note("The other controllers must never start again with what they have; their names are used up.")
            confirm(terminal, "Is this one to go on alone?", "Give --yes to go on without being asked.")
        outside.force_new_group(config)
        terminal.say("This controller is the only member now. Start it; new ones join under new names.", "green")

    @group.command()
    def backup(
        to: Annotated[
            str, typer.Option("--to", help="Where to put it; a file of that name is replaced.", metavar="FILE")
        ],
        controller: ControllerOption = None,
        data_dir: DataDirOption = None,
        host: Annotated[
            str | None, typer.Option("--host", "-H", help="A daemon's, by its socket: unix://PATH.", metavar="URL")
        ] = None,
    ) -> None:
        """Copy the whole state of a running controller, or of a running daemon, to a file; check its checksums."""
        if [controller, data_dir, host].count(None) < 2:
            raise SwarmctlError(
                ErrorCode.USAGE, "One thing is backed up at a time.", hint="Give --controller, --data-dir or --host."
            )
        if controller is not None or (data_dir is None and host is None):
            index = asyncio.run(outside.back_up_store(controller, to))
            note = "`swarmctl store restore` makes a new group of it."
        else:
            index = asyncio.run(outside.back_up_daemon(host or outside.embedded_host(data_dir or ""), to))
            note = (
                "`swarmctl store restore --data-dir` goes on with it. Who has it, has the swarm, unless it is locked."
            )
        terminal.say(f"{to} has the state as of index {index}, whole.", "green")
        terminal.note(note)

    @group.command()
    def verify(
        file: Annotated[str, typer.Argument(help="A backup, or a snapshot in a controller's folder.", metavar="FILE")],
    ) -> None:
        """Check that a backup is whole, by its checksums."""
        terminal.say(f"{file} is whole: the state as of index {outside.verify_backup(file)}.", "green")

    @group.command()
    def restore(
        file: Annotated[str, typer.Argument(help="The backup.", metavar="FILE")],
        config: ConfigOption = DEFAULT_CONFIG,
        data_dir: DataDirOption = None,
    ) -> None:
        """Make the empty store of this controller a group of one, with the state of a backup.

        With --data-dir: put the swarm of a daemon's backup into that folder, for a daemon to go on with.
        """
        if data_dir is not None:
            index = outside.restore_daemon(data_dir, file)
            terminal.say(f"{data_dir} has the swarm as of index {index}. Start its daemon.", "green")
            terminal.note("The daemon that it was copied from must never start again.")
            return
        index = outside.restore_store(config, file)
        terminal.say(f"The store has the state as of index {index}. Start this controller; others join it.", "green")
