"""The certificate of this node and the root that it trusts, in its folder: put there, and found again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from reconciler.adapters.swarm_ca import Root, renewal_at, was_issued_by
from reconciler.adapters.whole_file import sync_folder
from reconciler.assembly.folder import CERTIFICATES_FOLDER, put_file
from reconciler.assembly.node_keys import NodeKeys

ROOT_FILE = "swarm-root-ca.crt"
NODE_FILE = "swarm-node.crt"


class Certified(msgspec.Struct, frozen=True):
    """A certificate as PEM, and when it is to be made anew."""

    certificate: str
    renewal_at: datetime


class Chance(msgspec.Struct, frozen=True):
    """This moment, and a number of 0 to 1 that spreads the renewals of many nodes."""

    now: datetime
    part: float


def kept(folder: Path, keys: NodeKeys, root: Root, chance: Chance) -> Certified | None:
    """Return the certificate in a node's folder, None if it is not of this root, or too old."""
    certificate = in_force(folder)[0]
    if not certificate or not was_issued_by(root, certificate, keys.tls, chance.now):
        return None
    at = renewal_at(certificate, chance.part)
    return Certified(certificate, at) if chance.now < at else None


def put(folder: Path, root: Root, certificate: str, chance: Chance) -> Certified:
    """Have a certificate in a node's folder from now on, with its root."""
    place = folder / CERTIFICATES_FOLDER
    place.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder)
    put_file(place / ROOT_FILE, root.certificate)
    put_file(place / NODE_FILE, certificate)
    return Certified(certificate, renewal_at(certificate, chance.part))


def in_force(folder: Path) -> tuple[str, str]:
    """Return the certificate that a node has and its root, "" for what it does not have: both can be made again."""
    place = folder / CERTIFICATES_FOLDER
    return _read(place / NODE_FILE), _read(place / ROOT_FILE)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
