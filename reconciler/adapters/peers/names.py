"""The names and files that the identity of a node is made of.

A node's folder has `peers.json` (cluster, name, where it listens), `ca.pem` (the group's authority) and `node.pem`: its
certificate and its private key in one file, so that both are replaced at once. Where the authority was made there is
`ca-key.pem` too, and `issued.json`, the list of what it has signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

PEERS_FILE = "peers.json"
AUTHORITY_FILE = "ca.pem"
NODE_FILE = "node.pem"
AUTHORITY_KEY_FILE = "ca-key.pem"
ISSUED_FILE = "issued.json"

SCHEME = "swarmctl://"
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
"""What a node may be called: it is part of a URI, and short enough for a log line."""


def uri_of(cluster: str, node: str) -> str:
    """How a certificate names a node: a URI among its alternative names."""
    return f"{SCHEME}{cluster}/{node}"


def named_by(uris: Iterable[str], cluster: str) -> str | None:
    """The node of `cluster` that a certificate's URIs name; None unless they are exactly one name."""
    found = list(uris)
    prefix = uri_of(cluster, "")
    if len(found) != 1 or not found[0].startswith(prefix):
        return None
    node = found[0].removeprefix(prefix)
    return node if NODE_NAME.fullmatch(node) else None
