"""The swarm's certificate authority: its root, the certificates of nodes, and roots that are given to it."""

from reconciler.adapters.swarm_ca.given import given_root
from reconciler.adapters.swarm_ca.leaf import (
    EXPIRY_DEFAULT,
    NodeCertificate,
    issue,
    names_it,
    new_tls_key,
    renewal_at,
    was_issued_by,
)
from reconciler.adapters.swarm_ca.root import Root, TrustedIds, join_token, make_root, tls_info

__all__ = [
    "EXPIRY_DEFAULT",
    "NodeCertificate",
    "Root",
    "TrustedIds",
    "given_root",
    "issue",
    "join_token",
    "make_root",
    "names_it",
    "new_tls_key",
    "renewal_at",
    "tls_info",
    "was_issued_by",
]
