"""What a group's certificate authority has given to whom."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.model.replication import Address


class PeerCertificate(msgspec.Struct, frozen=True):
    """The newest certificate of a node. `address` is where it listens; `expires` is aware UTC."""

    node: str
    address: Address
    expires: datetime


class PeersListing(msgspec.Struct, frozen=True):
    """What a node's folder knows: all certificates where the authority is, else only the node's own.

    `authority_expires` is aware UTC; `own` is the node whose folder it is.
    """

    cluster: str
    own: str
    has_authority: bool
    authority_expires: datetime
    certificates: tuple[PeerCertificate, ...]


class WrittenIdentity(msgspec.Struct, frozen=True):
    """A node's identity was written to `path`; `set_aside` is where what was there before has gone, "" if nothing."""

    node: str
    path: str
    expires: datetime
    set_aside: str = ""
