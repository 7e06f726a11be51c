"""The small certificate authority of a group: P-256, one authority, one certificate for each node."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from reconciler.adapters import signing
from reconciler.adapters.peers.names import uri_of

AUTHORITY_DAYS = 3650
NODE_DAYS = 90
"""As swarm mode's own node certificates (2160 h)."""


@dataclass(frozen=True, slots=True, repr=False)
class KeyAndCertificate:
    """A private key and what was signed for it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def certificate_pem(self) -> bytes:
        """The certificate only."""
        return signing.certificate_pem(self.certificate)

    def key_pem(self) -> bytes:
        """The private key only."""
        return signing.key_pem(self.key)


def make_authority(cluster: str, now: datetime) -> KeyAndCertificate:
    """Make the authority of a cluster, which can sign nodes and nothing else."""
    key = signing.new_key()
    certificate = signing.self_signed_root(
        f"swarmctl peers {cluster}", key, now, timedelta(days=AUTHORITY_DAYS), path_length=0
    )
    return KeyAndCertificate(key, certificate)


def make_node(
    authority: KeyAndCertificate, cluster: str, node: str, now: datetime, valid: timedelta = timedelta(days=NODE_DAYS)
) -> KeyAndCertificate:
    """Make a key and a certificate for a node, for both ends of a connection. It never outlives its authority."""
    key = signing.new_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, node)])
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri_of(cluster, node))])
    certificate = (
        signing.begun_leaf(name, authority.certificate, key.public_key(), now, valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(signing.usage("digital_signature"), critical=True)
        .add_extension(signing.BOTH_ENDS, critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return KeyAndCertificate(key, certificate)
