"""A node's own identity, read from its folder and checked before anybody is dialled."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from reconciler.adapters.peers.names import AUTHORITY_FILE, NODE_FILE, NODE_NAME, PEERS_FILE, named_by
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address

FORMAT = 1
FILE_BYTES_MAX = 1024 * 1024
_PUT_AGAIN = "Carry the node's folder there again: `swarmctl peers renew NAME --out DIR`, where the authority is."


class PeersFile(msgspec.Struct, frozen=True):
    """The content of peers.json. `listen` is where this node listens and the others reach it."""

    cluster: str
    name: str
    host: str
    port: int
    format: int = FORMAT


class Identity(msgspec.Struct, frozen=True):
    """Who this node is. `expires` is when its certificate, or the authority's, ends: aware UTC."""

    folder: str
    cluster: str
    node: str
    listen: Address
    expires: datetime

    @property
    def authority_file(self) -> str:
        return str(Path(self.folder) / AUTHORITY_FILE)

    @property
    def node_file(self) -> str:
        return str(Path(self.folder) / NODE_FILE)

    def check_again(self) -> datetime:
        """Return when the certificate ends that is in the files now.

        Raises as `read_identity` does if they, which may have changed, are not this node's and valid now.
        """
        return check(
            self.folder, PeersFile(self.cluster, self.node, self.listen.host, self.listen.port), datetime.now(UTC)
        )


def read_identity(folder: str, now: datetime) -> Identity:
    """Read a node's folder and check that it can be used at `now` (aware UTC).

    Raises SwarmctlError: peers-missing, peers-unreadable, peers-exposed, peers-wrong-name, peers-wrong-ca,
    peers-expired, peers-not-yet-valid.
    """
    peers = read_peers_file(folder)
    expires = check(folder, peers, now)
    return Identity(folder, peers.cluster, peers.name, Address(peers.host, peers.port), expires)


def read_peers_file(folder: str) -> PeersFile:
    """Return what peers.json says."""
    path = Path(folder) / PEERS_FILE
    try:
        peers = msgspec.json.decode(read(path), type=PeersFile)
    except msgspec.DecodeError as error:
        raise unreadable(path, f"{error}.") from error
    if peers.format != FORMAT or not NODE_NAME.fullmatch(peers.name) or not 0 <= peers.port < 65536:
        raise unreadable(path, "It was written by a newer swarmctl, or edited by hand.")
    return peers


def check(folder: str, peers: PeersFile, now: datetime) -> datetime:
    """Check a node's certificates and key; return when the first of its certificates ends."""
    node_file, authority_file = Path(folder) / NODE_FILE, Path(folder) / AUTHORITY_FILE
    refuse_exposed(node_file)
    node = certificates(node_file)[0]
    check_key(node_file, node)
    uris = _uris(node)
    if named_by(uris, peers.cluster) != peers.name:
        raise SwarmctlError(
            ErrorCode.PEERS_WRONG_NAME,
            f"The certificate in {node_file} is not that of {peers.name}.",
            why=f"It names {', '.join(uris) or 'nobody'}; {PEERS_FILE} beside it says {peers.name} of {peers.cluster}.",
            hint="Put this node's own folder there, as `swarmctl peers add` has written it.",
        )
    authority = _authority_of(node, certificates(authority_file))
    if authority is None:
        raise SwarmctlError(
            ErrorCode.PEERS_WRONG_CA,
            f"The certificate in {node_file} was not signed by the authority in {authority_file}.",
            why="They come from two different `swarmctl peers init`.",
            hint=_PUT_AGAIN,
        )
    for path, certificate in ((node_file, node), (authority_file, authority)):
        check_time(path, certificate, now)
    return min(node.not_valid_after_utc, authority.not_valid_after_utc)


def read(path: Path) -> bytes:
    """Return a file's content. Raises peers-missing, peers-unreadable."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SwarmctlError(
            ErrorCode.PEERS_MISSING,
            f"{path} does not exist.",
            why="A manager proves to the others who it is with the files in this folder.",
            hint="On the first manager run `swarmctl peers init`; for others `swarmctl peers add` makes a folder. "
            "If it is elsewhere: `--dir DIR`, or `group.peers` in the file of a controller.",
        ) from error
    except OSError as error:
        raise unreadable(path, f"{error.strerror}.") from error
    return content


def certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, at least one."""
    try:
        return x509.load_pem_x509_certificates(read(path))
    except ValueError as error:
        raise unreadable(path, "It holds no certificate in PEM form.") from error


def check_key(path: Path, certificate: x509.Certificate) -> None:
    """Raise unless a file holds the private key of a certificate."""
    try:
        key = load_pem_private_key(read(path), password=None)
    except (ValueError, TypeError) as error:
        raise unreadable(path, "It holds no private key in PEM form, or one with a passphrase.") from error
    if key.public_key() != certificate.public_key():
        raise unreadable(path, "Its private key and its certificate don't belong together.")


def refuse_exposed(path: Path) -> None:
    """Raise peers-exposed if others than the owner may read or change a file with a private key."""
    try:
        modes = [(place, stat.S_IMODE(place.stat().st_mode)) for place in (path, path.parent)]
    except (FileNotFoundError, NotADirectoryError):
        read(path)
        return
    except OSError as error:
        raise unreadable(path, f"{error.strerror}.") from error
    for (place, mode), others in zip(modes, (0o077, 0o022), strict=True):
        if mode & others:
            raise SwarmctlError(
                ErrorCode.PEERS_EXPOSED,
                f"{place} is open to other users.",
                why=f"Its mode is {mode:o}, and it holds a private key: who has that is a manager.",
                hint=f"`chmod go= {place}`, and if others may have read it: make a new certificate.",
            )


def unreadable(path: Path, why: str) -> SwarmctlError:
    """A file is there and can't be used."""
    return SwarmctlError(ErrorCode.PEERS_UNREADABLE, f"{path} can't be used.", why=why, hint=_PUT_AGAIN)


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def _authority_of(node: x509.Certificate, authorities: list[x509.Certificate]) -> x509.Certificate | None:
    for authority in authorities:
        try:
            node.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return authority
    return None


def check_time(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    if now > certificate.not_valid_after_utc:
        raise SwarmctlError(
            ErrorCode.PEERS_EXPIRED,
            f"The certificate in {path} has expired.",
            why=f"It was valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC.",
            hint="Where the authority is: `swarmctl peers renew NAME`; a manager that runs takes it over by itself. "
            "Check the clock, too.",
        )
    if now < certificate.not_valid_before_utc:
        raise SwarmctlError(
            ErrorCode.PEERS_NOT_YET_VALID,
            f"The certificate in {path} is not valid yet.",
            why=f"It is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on.",
            hint="Set this machine's clock right.",
        )
