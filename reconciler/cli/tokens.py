"""token issue, token rotate: letting machines in, and nobody else any more."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.options import BackendOption, ContextOption, EngineChoice, HostOption
from reconciler.cli.ports import Outside
from reconciler.cli.remote import ControllerOption, both_asked, wish
from reconciler.cli.terminal import Terminal
from reconciler.model.objects import NodeRole
from reconciler.settings import EndpointSettings

RoleOption = Annotated[NodeRole, typer.Option("--role", help="Whose token: that of new workers, or of new managers.")]
ForOption = Annotated[
    str, typer.Option("--for", help="What the machine is called that is to join.", metavar="HOSTNAME")
]
ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="A file for the command, which this user only may read; default: standard output.",
        metavar="FILE",
    ),
]


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the commands to `app`."""
    token = typer.Typer(help="Join tokens, which let engines into the swarm.", no_args_is_help=True)
    app.add_typer(token, name="token")

    @token.command()
    def issue(role: RoleOption, for_: ForOption, to: ToOption = None, controller: ControllerOption = None) -> None:
        """Ask a running controller for the command that lets a machine in. Who got it, and for which, is kept."""
        found = wish(outside, controller, "/v1/tokens/issue", {"role": role.value, "hostname": for_})
        command = f"{found['command']}\n"
        if to is None:
            terminal.write(command)
        else:
            outside.write_text(to, command)
            terminal.note(f"{to} has the command for {for_}. Remove it once the machine has joined.", "green")
        terminal.note(f"It lets in any machine until `swarmctl token rotate --role {role.value}`.")

    @token.command()
    def rotate(
        role: RoleOption,
        host: HostOption = None,
        context: ContextOption = None,
        backend: BackendOption = None,
        controller: ControllerOption = None,
    ) -> None:
        """Make a join token invalid and a new one valid. Nodes that are in the swarm stay. Prints no token.

        With --controller, or SWARMCTL_CONTROLLER and nothing else: a running controller does it, and tells of it.
        """
        engine = EngineChoice(host, context, backend)
        if controller and engine:
            raise both_asked()
        if controller or (outside.settings.controller.is_named and not engine):
            wish(outside, controller, "/v1/tokens/rotate", {"role": role.value})
            terminal.note("The controller has it; `swarmctl events` shows what comes of it.", "green")
            return
        endpoint = options.endpoint(outside, engine)
        asyncio.run(_rotate(outside, endpoint, role))
        terminal.say(f"The join token of {role.value}s is a new one; the old one lets nobody in any more.", "green")
        terminal.note(f"`docker swarm join-token {role.value}` shows it. Nodes that have joined are not affected.")


async def _rotate(outside: Outside, endpoint: EndpointSettings, role: NodeRole) -> None:
    async with outside.connect(endpoint) as swarm:
        await swarm.rotate_join_token(role)
