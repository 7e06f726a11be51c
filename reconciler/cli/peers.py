"""peers init, add, renew, list: who the managers of a group without a swarm's own authority are to each other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from reconciler.cli.options import Format, FormatOption
from reconciler.cli.ports import Outside, Peers
from reconciler.cli.tables import titled
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.peers import PeersListing, WrittenIdentity
from reconciler.model.replication import Address

FolderOption = Annotated[
    str | None,
    typer.Option(
        "--dir", help="This node's folder of certificates; default: peers in SWARMCTL_DATA_DIR.", metavar="DIR"
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Set aside what is there, and write anew.")]
OutOption = Annotated[
    str, typer.Option("--out", "-o", help="Folder to write, or a file that ends in .tar.", metavar="PATH")
]
ADDRESS = "HOST:PORT where the node listens and the other managers reach it."
SOON_DAYS = 30


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help="Certificates by which managers know each other.", no_args_is_help=True)
    app.add_typer(group, name="peers")

    @group.command()
    def init(
        name: Annotated[str, typer.Option("--name", metavar="NAME", help="What this node is called.")],
        listen: Annotated[str, typer.Option("--listen", help=ADDRESS, metavar="HOST:PORT")],
        folder: FolderOption = None,
        force: ForceOption = False,
    ) -> None:
        """Make a new group: its certificate authority, and the certificate of this node, its first manager."""
        written = _folder(outside, folder).init(name, address_of(listen), force=force)
        _tell(terminal, f"A new group of managers. {name} has its identity in {written.path}.", written)
        terminal.note("Keep ca-key.pem safe: who has it can make managers.")
        there = f" --dir {folder}" if folder else ""
        terminal.note(f"`swarmctl peers add NAME HOST:PORT --out DIR{there}` makes the folder of another manager.")

    @group.command()
    def add(
        name: Annotated[str, typer.Argument(metavar="NAME", help="The other node's name, one never used before.")],
        address: Annotated[str, typer.Argument(help=ADDRESS, metavar="HOST:PORT")],
        out: OutOption,
        folder: FolderOption = None,
        force: ForceOption = False,
    ) -> None:
        """Make the identity of another manager, to carry there."""
        written = _folder(outside, folder).add(name, address_of(address), out, force=force)
        _tell(terminal, f"The identity of {name} is in {written.path}.", written)
        terminal.note(f"Carry it to {name} over a safe way, and remove it here: it holds a private key.")

    @group.command()
    def renew(
        name: Annotated[
            str | None, typer.Argument(metavar="NAME", help="Whose certificate; by default this node's own.")
        ] = None,
        out: Annotated[
            str | None,
            typer.Option("--out", "-o", help="Folder to write, or a file that ends in .tar.", metavar="PATH"),
        ] = None,
        folder: FolderOption = None,
        force: ForceOption = False,
    ) -> None:
        """Make a new key and certificate. A manager that runs takes its new node.pem over by itself."""
        if name == "":  # a variable that is not set, rather than nobody
            raise SwarmctlError(
                ErrorCode.USAGE, "NAME is empty.", hint="Name a node, or leave it out for this node's own certificate."
            )
        written = _folder(outside, folder).renew(name or "", out, force=force)
        _tell(terminal, f"The new certificate of {written.node} is in {written.path}.", written)
        if out is not None:
            terminal.note(f"Carry it to {written.node}, and put its node.pem in place of the old one.")

    @group.command(name="list")
    def list_(folder: FolderOption = None, output: FormatOption = Format.TEXT) -> None:
        """Show who has a certificate, and until when. The authority's own folder knows all of them."""
        listing = _folder(outside, folder).listing()
        if output is Format.JSON:
            terminal.json(as_json(listing))
        else:
            _show(terminal, listing, outside.now())


def address_of(text: str) -> Address:
    """Return HOST:PORT as an address; IPv6 in brackets. Raises SwarmctlError (usage)."""
    address = Address.read(text)
    if address is None:
        raise SwarmctlError(
            ErrorCode.USAGE,
            f"{text!r} is not HOST:PORT.",
            hint="For example 10.0.0.1:7946, node1.example:7946, or [fd00::1]:7946.",
        )
    return address


def as_json(listing: PeersListing) -> JsonObject:
    """Return the listing for programs."""
    return {
        "cluster": listing.cluster,
        "own": listing.own,
        "hasAuthority": listing.has_authority,
        "authorityExpires": listing.authority_expires.isoformat(),
        "certificates": [
            {"node": found.node, "address": str(found.address), "expires": found.expires.isoformat()}
            for found in listing.certificates
        ],
    }


def _folder(outside: Outside, folder: str | None) -> Peers:
    return outside.peers(folder or f"{outside.settings.data_dir}/peers")


def _tell(terminal: Terminal, what: str, written: WrittenIdentity) -> None:
    terminal.say(what, "green")
    terminal.note(f"Its certificate is valid until {written.expires:%Y-%m-%d}; `swarmctl peers renew` makes a new one.")
    if written.set_aside:
        terminal.note(f"What was there before is in {written.set_aside}.", "yellow")


def _show(terminal: Terminal, listing: PeersListing, now: datetime) -> None:
    table = titled("NODE", "ADDRESS", "EXPIRES", "")
    for found in listing.certificates:
        own = " (this node)" if found.node == listing.own else ""
        table.add_row(f"{found.node}{own}", str(found.address), f"{found.expires:%Y-%m-%d}", _left(found.expires, now))
    terminal.out.print(table)
    expires = listing.authority_expires
    terminal.note(f"Cluster {listing.cluster}, authority valid until {expires:%Y-%m-%d} {_left(expires, now)}".rstrip())
    if not listing.has_authority:
        terminal.note("This folder has no authority: it knows its own certificate only.")


def _left(expires: datetime, now: datetime) -> str:
    if expires <= now:
        return "expired"
    days = (expires - now).days
    return f"in {days} days: renew it" if days < SOON_DAYS else ""
