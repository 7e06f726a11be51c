"""What is the same for all that we sign, of a swarm or of a group of controllers: P-256, and when it begins.

Which extensions a certificate has is its own affair: a swarm's are an engine's, a group's are as narrow as they can be.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

BACKDATED: Final = timedelta(hours=1)
"""How far clocks may differ; as in swarm mode."""
BOTH_ENDS: Final = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH])
"""A node serves others, and asks them."""
_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKeyTypes) -> bytes:
    """Return a private key as PEM, not encrypted."""
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, pkcs8, serialization.NoEncryption())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM; it ends with a newline."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def usage(*allowed: str) -> x509.KeyUsage:
    """Return the key usage that allows this much, by the names of x509.KeyUsage, and nothing else."""
    return x509.KeyUsage(**{name: name in allowed for name in _USAGES})


def self_signed_root(
    common_name: str, key: ec.EllipticCurvePrivateKey, now: datetime, valid: timedelta, path_length: int | None
) -> x509.Certificate:
    """Return a root that may sign certificates. `path_length` is how many authorities may be below it; None: any."""
    name, public = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]), key.public_key()
    return (
        _begun(name, name, public, now, now + valid)
        .add_extension(usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def begun_leaf(
    subject: x509.Name, issuer: x509.Certificate, public: ec.EllipticCurvePublicKey, now: datetime, valid: timedelta
) -> x509.CertificateBuilder:
    """Return a certificate that `issuer` is to sign, without extensions. It never outlives its issuer."""
    return _begun(subject, issuer.subject, public, now, min(now + valid, issuer.not_valid_after_utc))


def _begun(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
    )
