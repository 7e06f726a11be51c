"""A node's certificate, as Swarm's root gives it: who it is, its role, and in which swarm. (facts: swarmkit 6)"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from reconciler.adapters.swarm_ca.root import ROOT_NAME, Root
from reconciler.model.objects import NodeRole

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

EXPIRY_DEFAULT = timedelta(hours=2160)
RENEWED_FROM, RENEWED_UNTIL = 0.5, 0.8
"""Between which parts of its life a certificate is renewed."""


class NodeCertificate(msgspec.Struct, frozen=True):
    """Whose it is. `valid` is how long, from now on."""

    node_id: str
    cluster_id: str
    role: NodeRole
    valid: timedelta = EXPIRY_DEFAULT


def new_tls_key() -> str:
    """Return a new private key, as PEM."""
    from reconciler.adapters import signing  # noqa: PLC0415

    return signing.key_pem(signing.new_key()).decode()


def issue(root: Root, wanted: NodeCertificate, tls_key: str, now: datetime) -> str:
    """Return a certificate for a private key, signed by the root, as PEM."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415

    from reconciler.adapters import signing  # noqa: PLC0415

    issuer = x509.load_pem_x509_certificate(root.certificate.encode())
    root_key = serialization.load_pem_private_key(root.key.encode(), None)
    public = loaded_key(tls_key).public_key()
    names = host_names(wanted)
    subject = [
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, wanted.cluster_id),
        x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, unit_of(wanted.role)),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, wanted.node_id),
    ]
    builder = (
        signing.begun_leaf(x509.Name(subject), issuer, public, now, wanted.valid)
        .add_extension(signing.usage("digital_signature", "key_encipherment"), critical=True)
        .add_extension(signing.BOTH_ENDS, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_issuer_key(issuer), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    )
    signed = builder.sign(root_key, hashes.SHA256())  # type: ignore[arg-type]  # `given_root` lets only EC and RSA in
    return signing.certificate_pem(signed).decode()


def _issuer_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return which of the roots of this name has signed: they are all called the same."""
    from cryptography import x509  # noqa: PLC0415

    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def unit_of(role: NodeRole) -> str:
    """Return the organizational unit by which a role is known."""
    return f"swarm-{role}"


def host_names(wanted: NodeCertificate) -> list[str]:
    """Return the names that a node answers to: its role's, its own, and a manager to the authority's as well."""
    return [unit_of(wanted.role), wanted.node_id] + ([ROOT_NAME] if wanted.role is NodeRole.MANAGER else [])


def loaded_key(tls_key: str) -> ec.EllipticCurvePrivateKey:
    """Return a private key that `new_tls_key` made."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = serialization.load_pem_private_key(tls_key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def was_issued_by(root: Root, certificate: str, tls_key: str, now: datetime) -> bool:
    """Whether a certificate is the root's, for that private key, and valid now."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    try:
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(root.certificate.encode()))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return leaf.public_key() == loaded_key(tls_key).public_key() and now < leaf.not_valid_after_utc.astimezone(UTC)


def names_it(certificate: str, wanted: NodeCertificate) -> bool:
    """Whether a certificate names this node, its role and its swarm, and nothing else in their places."""
    from cryptography import x509  # noqa: PLC0415

    subject = x509.load_pem_x509_certificate(certificate.encode()).subject
    asked = {
        x509.NameOID.COMMON_NAME: wanted.node_id,
        x509.NameOID.ORGANIZATIONAL_UNIT_NAME: unit_of(wanted.role),
        x509.NameOID.ORGANIZATION_NAME: wanted.cluster_id,
    }
    return all([one.value for one in subject.get_attributes_for_oid(oid)] == [text] for oid, text in asked.items())


def renewal_at(certificate: str, chance: float) -> datetime:
    """Return when a certificate is to be renewed: between 50 and 80 % of its life, by `chance` of 0 to 1."""
    from cryptography import x509  # noqa: PLC0415

    leaf = x509.load_pem_x509_certificate(certificate.encode())
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    return leaf.not_valid_before_utc + life * (RENEWED_FROM + (RENEWED_UNTIL - RENEWED_FROM) * chance)
