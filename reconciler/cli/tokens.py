"""token rotate: a new join token for those who are to join, at once."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.options import BackendOption, ContextOption, HostOption
from reconciler.cli.ports import Outside
from reconciler.cli.terminal import Terminal
from reconciler.model.objects import NodeRole
from reconciler.settings import EndpointSettings

RoleOption = Annotated[NodeRole, typer.Option("--role", help="Whose token: that of new workers, or of new managers.")]


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the commands to `app`."""
    token = typer.Typer(help="Join tokens, which let engines into the swarm.", no_args_is_help=True)
    app.add_typer(token, name="token")

    @token.callback()
    def group() -> None:
        """Join tokens, which let engines into the swarm."""

    @token.command()
    def rotate(
        role: RoleOption,
        host: HostOption = None,
        context: ContextOption = None,
        backend: BackendOption = None,
    ) -> None:
        """Make a join token invalid and a new one valid. Nodes that are in the swarm stay. Prints no token."""
        endpoint = options.endpoint(outside, host, context, backend)
        asyncio.run(_rotate(outside, endpoint, role))
        terminal.say(f"The join token of {role.value}s is a new one; the old one lets nobody in any more.", "green")
        terminal.note(f"`docker swarm join-token {role.value}` shows it. Nodes that have joined are not affected.")


async def _rotate(outside: Outside, endpoint: EndpointSettings, role: NodeRole) -> None:
    async with outside.connect(endpoint) as swarm:
        await swarm.rotate_join_token(role)
