"""What `swarmctl peers` does: make the authority of a group, give nodes certificates, renew and list them."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from reconciler.adapters.peers import identity
from reconciler.adapters.peers.certificates import NODE_DAYS, KeyAndCertificate, make_authority, make_node
from reconciler.adapters.peers.identity import PeersFile, read_peers_file
from reconciler.adapters.peers.names import (
    AUTHORITY_FILE,
    AUTHORITY_KEY_FILE,
    ISSUED_FILE,
    NODE_FILE,
    NODE_NAME,
    PEERS_FILE,
)
from reconciler.adapters.peers.places import put, refuse_taken, replace_file
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.peers import PeerCertificate, PeersListing, WrittenIdentity
from reconciler.model.replication import Address

CLUSTER_ID_BYTES = 12

_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\.?$)(?:{_LABEL}\.)*(?![0-9]+\.?$){_LABEL}\.?")
"""RFC 1123, underscores too. The last part is no number: 300.1.1.1 is an address with a mistake in it."""


class Issued(msgspec.Struct, frozen=True):
    """One line of issued.json: the newest certificate of a node."""

    name: str
    host: str
    port: int
    expires: datetime

    def __str__(self) -> str:
        return str(Address(self.host, self.port))


_ISSUED = msgspec.json.Decoder(list[Issued])


class PeersFolder(msgspec.Struct, frozen=True):
    """A node's folder of certificates, for the commands on it. `now` is aware UTC."""

    folder: Path
    now: datetime

    def init(self, node: str, listen: Address, *, force: bool) -> WrittenIdentity:
        """Make a new group: its authority, and this node's own certificate.

        Raises SwarmctlError: usage, peers-exist, output-failed.
        """
        _check_node(node, listen)
        refuse_taken(self.folder, force=force)
        cluster = secrets.token_hex(CLUSTER_ID_BYTES)
        authority = make_authority(cluster, self.now)
        made = make_node(authority, cluster, node, self.now)
        files = _node_files(authority, made, PeersFile(cluster, node, listen.host, listen.port))
        files[AUTHORITY_KEY_FILE] = authority.key_pem()
        files[ISSUED_FILE] = _issued_file([_line(node, listen, made)])
        aside = put(self.folder, files, self.now)
        return WrittenIdentity(node, str(self.folder), made.certificate.not_valid_after_utc, aside)

    def add(self, node: str, listen: Address, out: str, *, force: bool) -> WrittenIdentity:
        """Make a certificate for another node, and write its folder, or a tar file, to carry there.

        Raises SwarmctlError: usage, peers-exist, output-failed, and what reading the authority does.
        """
        _check_node(node, listen)
        self._refuse_own(out)
        refuse_taken(Path(out), force=force)
        with self._authority() as (authority, cluster):
            issued = self._issued()
            if not force:
                _refuse_known(issued, node, listen)
            return self._give(authority, PeersFile(cluster, node, listen.host, listen.port), issued, Path(out))

    def renew(self, node: str, out: str | None, *, force: bool) -> WrittenIdentity:
        """Make a new key and certificate for a known node; "" means this one, whose file is replaced in place.

        Raises SwarmctlError: usage, peers-missing, peers-exist, output-failed, and what reading the authority does.
        """
        if out is not None:
            self._refuse_own(out)
            refuse_taken(Path(out), force=force)
        with self._authority() as (authority, cluster):
            own = read_peers_file(str(self.folder)).name
            issued = self._issued()
            line = next((line for line in issued if line.name == (node or own)), None)
            if line is None:
                raise SwarmctlError(
                    ErrorCode.PEERS_MISSING,
                    f"No certificate was given to {node or own} here.",
                    why=f"{self.folder / ISSUED_FILE} knows {', '.join(line.name for line in issued) or 'nobody'}.",
                    hint="`swarmctl peers add NAME HOST:PORT` gives the first one.",
                )
            if out is None and line.name != own:
                raise SwarmctlError(
                    ErrorCode.USAGE,
                    f"{line.name} is another node: say where its new certificate is to be written.",
                    hint="Give --out DIR, and carry that folder there.",
                )
            peers = PeersFile(cluster, line.name, line.host, line.port)
            return self._give(authority, peers, issued, None if out is None else Path(out))

    def listing(self) -> PeersListing:
        """Return who has a certificate, and until when. Raises SwarmctlError: peers-missing, peers-unreadable."""
        peers = read_peers_file(str(self.folder))
        authority = identity.certificates(self.folder / AUTHORITY_FILE)[0]
        known = (self.folder / ISSUED_FILE).exists()
        if known:
            issued = sorted(self._issued(), key=lambda line: line.name)
            lines = [PeerCertificate(line.name, Address(line.host, line.port), line.expires) for line in issued]
        else:
            own = identity.certificates(self.folder / NODE_FILE)[0]
            lines = [PeerCertificate(peers.name, Address(peers.host, peers.port), own.not_valid_after_utc)]
        return PeersListing(peers.cluster, peers.name, known, authority.not_valid_after_utc, tuple(lines))

    def _give(
        self, authority: KeyAndCertificate, peers: PeersFile, issued: list[Issued], out: Path | None
    ) -> WrittenIdentity:
        """Sign, note it, write it: in this order, so that no certificate is given that is not on the list."""
        made = make_node(authority, peers.cluster, peers.name, self.now, timedelta(days=NODE_DAYS))
        line = _line(peers.name, Address(peers.host, peers.port), made)
        others = [other for other in issued if other.name != peers.name]
        replace_file(self.folder / ISSUED_FILE, _issued_file([*others, line]))
        files = _node_files(authority, made, peers)
        aside = ""
        if out is None:
            replace_file(self.folder / NODE_FILE, files[NODE_FILE])
        else:
            try:
                aside = put(out, files, self.now)
            except SwarmctlError:
                if not os.path.lexists(out):  # nobody has it: the same name can be asked for again
                    replace_file(self.folder / ISSUED_FILE, _issued_file(issued))
                raise
        place = self.folder / NODE_FILE if out is None else out
        return WrittenIdentity(peers.name, str(place), line.expires, aside)

    def _refuse_own(self, out: str) -> None:
        """Raise if another node's files would take the place of the authority, which --force sets aside as well."""
        own, there = self.folder.resolve(), Path(out).resolve()
        if there == own or there in own.parents:
            raise SwarmctlError(
                ErrorCode.USAGE,
                f"{out} is where this authority is. Nothing was written.",
                why="What is given with --out is carried to another node.",
                hint="Name another place.",
            )

    @contextmanager
    def _authority(self) -> Iterator[tuple[KeyAndCertificate, str]]:
        """The authority and its cluster, for one command at a time."""
        path = self.folder / AUTHORITY_KEY_FILE
        peers = read_peers_file(str(self.folder))
        if not path.exists():
            raise SwarmctlError(
                ErrorCode.PEERS_MISSING,
                f"{path} does not exist.",
                why="Certificates are signed where `swarmctl peers init` was run; this folder is another node's.",
                hint="Run this there, or name that folder with --dir.",
            )
        identity.refuse_exposed(path)
        certificate = identity.certificates(self.folder / AUTHORITY_FILE)[0]
        identity.check_time(self.folder / AUTHORITY_FILE, certificate, self.now)
        identity.check_key(path, certificate)
        key = load_pem_private_key(identity.read(path), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise identity.unreadable(path, "It is not a key that swarmctl made.")
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield KeyAndCertificate(key, certificate), peers.cluster

    def _issued(self) -> list[Issued]:
        path = self.folder / ISSUED_FILE
        try:
            return _ISSUED.decode(identity.read(path))
        except msgspec.DecodeError as error:
            raise identity.unreadable(path, f"{error}.") from error


def _check_node(node: str, listen: Address) -> None:
    if not NODE_NAME.fullmatch(node):
        raise SwarmctlError(
            ErrorCode.USAGE,
            f"{node!r} can't be the name of a node.",
            why="It has 1 to 63 letters, digits, dots, underscores and hyphens, and begins with a letter or digit.",
            hint="Its hostname will do.",
        )
    try:
        everywhere = ipaddress.ip_address(listen.host).is_unspecified
    except ValueError:
        everywhere = False
        if not _HOSTNAME.fullmatch(listen.host):
            raise SwarmctlError(
                ErrorCode.USAGE,
                f"{listen.host!r} is neither an address nor the name of a machine.",
                hint="For example 10.0.0.1, node1.example, or fd00::1.",
            ) from None
    if everywhere:
        raise SwarmctlError(
            ErrorCode.USAGE,
            f"{listen} is no address that others can reach.",
            why="It stands for all addresses of a machine.",
            hint="Give the one in the managers' own network.",
        )


def _refuse_known(issued: list[Issued], node: str, listen: Address) -> None:
    for line in issued:
        if line.name == node:
            raise SwarmctlError(
                ErrorCode.PEERS_EXIST,
                f"{node} has a certificate already. Nothing was written.",
                why=f"It is valid until {line.expires:%Y-%m-%d}, for {line}.",
                hint=f"`swarmctl peers renew {node}` makes a new one. A node that lost its disk needs a new name.",
            )
        if (line.host, line.port) == (listen.host, listen.port):
            raise SwarmctlError(
                ErrorCode.PEERS_EXIST,
                f"{listen} is the address of {line.name}. Nothing was written.",
                hint=f"Give {node} an address of its own, or --force if {line.name} is gone for good.",
            )


def _node_files(authority: KeyAndCertificate, made: KeyAndCertificate, peers: PeersFile) -> dict[str, bytes]:
    return {
        AUTHORITY_FILE: authority.certificate_pem(),
        NODE_FILE: made.key_pem() + made.certificate_pem(),
        PEERS_FILE: msgspec.json.format(msgspec.json.encode(peers), indent=2) + b"\n",
    }


def _line(node: str, listen: Address, made: KeyAndCertificate) -> Issued:
    return Issued(node, listen.host, listen.port, made.certificate.not_valid_after_utc)


def _issued_file(lines: list[Issued]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(lines), indent=2) + b"\n"
