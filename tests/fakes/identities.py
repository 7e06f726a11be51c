"""Folders of nodes with certificates, good ones and all kinds of bad ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from reconciler.adapters.peers.certificates import KeyAndCertificate, make_authority, make_node
from reconciler.adapters.peers.identity import Identity, PeersFile, read_identity
from reconciler.adapters.peers.names import AUTHORITY_FILE, NODE_FILE, PEERS_FILE
from reconciler.model.replication import Address

HOST = "127.0.0.1"


class Authority:
    """The authority of one cluster, for tests."""

    def __init__(self, cluster: str = "c1") -> None:
        self.cluster = cluster
        self.now = datetime.now(UTC)
        self.made = make_authority(cluster, self.now - timedelta(days=365))

    def folder(
        self,
        place: Path,
        node: str,
        port: int = 0,
        *,
        certificate: KeyAndCertificate | None = None,
        trusts: Authority | None = None,
    ) -> Path:
        """Write a node's folder; `certificate` in place of its own, `trusts` in place of this authority."""
        place.mkdir(parents=True, mode=0o700, exist_ok=True)
        (place / PEERS_FILE).write_bytes(msgspec.json.encode(PeersFile(self.cluster, node, HOST, port)))
        (place / AUTHORITY_FILE).write_bytes((trusts or self).made.certificate_pem())
        found = certificate or self.certificate(node)
        (place / NODE_FILE).touch(mode=0o600)
        (place / NODE_FILE).write_bytes(found.key_pem() + found.certificate_pem())
        return place

    def identity(self, place: Path, node: str, port: int = 0) -> Identity:
        """Write a node's folder and read it."""
        return read_identity(str(self.folder(place, node, port)), self.now)

    def certificate(self, node: str, *, from_days: float = 0, days: float = 90) -> KeyAndCertificate:
        """A certificate that is valid from so many days on, for so many."""
        begin = self.now + timedelta(days=from_days)
        return make_node(self.made, self.cluster, node, begin, timedelta(days=days))

    def unchecked(self, place: Path, node: str, **bad: object) -> Identity:
        """An Identity of files that `read_identity` would refuse."""
        self.folder(place, node, **bad)  # type: ignore[arg-type]
        return Identity(str(place), self.cluster, node, Address(HOST, 0), self.now)
